//! The kinds of things that a quota limits.

/// A kind of thing that a quota limits for each actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaKind {
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

impl QuotaKind {
    /// Every kind.
    pub const ALL: [QuotaKind; 6] = [
        QuotaKind::Contexts,
        QuotaKind::Connections,
        QuotaKind::CheckedConnections,
        QuotaKind::Keys,
        QuotaKind::Delegations,
        QuotaKind::Identities,
    ];

    /// The kind's column in `quota_assertions`, and its name in `RATE_LIMIT`.
    pub fn as_str(self) -> &'static str {
        match self {
            QuotaKind::Contexts => "contexts",
            QuotaKind::Connections => "connections",
            QuotaKind::CheckedConnections => "checked_connections",
            QuotaKind::Keys => "keys",
            QuotaKind::Delegations => "delegations",
            QuotaKind::Identities => "identities",
        }
    }
}
