//! The kinds of things that a quota limits.

/// A kind of thing that a quota limits for each actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Contexts that are not deleted.
    Contexts,
    /// Connections that are not disconnected.
    Connections,
    /// Connections that are not disconnected and that the cron checks.
    CheckedConnections,
    /// API keys that are neither revoked nor expired.
    Keys,
    /// Delegations that are neither revoked nor expired.
    Delegations,
    /// Identities that were ever minted on request: an identity is never given back.
    Identities,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 6] = [
        Kind::Contexts,
        Kind::Connections,
        Kind::CheckedConnections,
        Kind::Keys,
        Kind::Delegations,
        Kind::Identities,
    ];

    /// The kind's column in `quota_assertions`, and its name in `RATE_LIMIT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Contexts => "contexts",
            Kind::Connections => "connections",
            Kind::CheckedConnections => "checked_connections",
            Kind::Keys => "keys",
            Kind::Delegations => "delegations",
            Kind::Identities => "identities",
        }
    }
}
