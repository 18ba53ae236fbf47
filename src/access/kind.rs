//! What an actor may have only so many of.

/// What there is a quota of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Contexts that are not deleted.
    Contexts,
    /// Connections that are not disconnected.
    Connections,
    /// Those of them that the cron checks.
    CheckedConnections,
    /// API keys that are good.
    Keys,
    /// Delegations that are good.
    Delegations,
    /// Identities that were minted on request; they are for good.
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

    /// Its column of `quota_assertions`, and its name in `RATE_LIMIT`.
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
