//! The kinds of things that a quota limits: all that the code knows of each.

use serde::Deserialize;

/// How the things of an owner are counted. In the SQL, `{owner}` and `{now}` stand for the owner's ChittyID and
/// for the present instant.
#[derive(Debug, Clone, Copy)]
pub enum Count {
    /// One by one, no further than the quota goes: the text after `FROM`.
    Rows(&'static str),
    /// By a row that has their number: its column, and the text after `FROM`.
    Total(&'static str, &'static str),
}

/// What applies to a kind.
#[derive(Debug, Clone, Copy)]
pub struct QuotaRules {
    /// The setting for the usual quota of an actor.
    pub setting: &'static str,
    /// The usual quota where there is no such setting.
    pub usual: u32,
    /// What counts.
    pub count: Count,
    /// What is used up, and how to make room: a sentence that goes on with another way.
    pub advice: &'static str,
}

/// Makes the kinds, and the quotas that an operator sets for one actor. The name of a kind is its name in
/// `RATE_LIMIT` and its column in `quota_assertions`.
macro_rules! quota_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident, $name:ident: $rules:expr;)+) => {
        /// A kind of thing that a quota limits for each actor.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum QuotaKind { $($(#[doc = $doc])+ $kind,)+ }

        impl QuotaKind {
            /// Every kind.
            pub const ALL: &[QuotaKind] = &[$(QuotaKind::$kind,)+];

            /// The kind's column in `quota_assertions`, and its name in `RATE_LIMIT`.
            pub fn as_str(self) -> &'static str {
                match self { $(QuotaKind::$kind => stringify!($name),)+ }
            }

            /// What applies to the kind.
            pub fn rules(self) -> QuotaRules {
                match self { $(QuotaKind::$kind => $rules,)+ }
            }
        }

        /// The quotas that an operator has set for one actor.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
        #[serde(default)]
        pub struct QuotaOverrides { $($name: Option<u32>,)+ }

        impl QuotaOverrides {
            /// The quota of a kind, if the operator has set one.
            pub fn of(&self, kind: QuotaKind) -> Option<u32> {
                match kind { $(QuotaKind::$kind => self.$name,)+ }
            }
        }
    };
}

quota_kinds! {
    /// Contexts that are not deleted.
    Contexts, contexts: QuotaRules {
        setting: "QUOTA_CONTEXTS",
        usual: 250_000,
        count: Count::Total("live", "context_counts WHERE owner_chitty_id = {owner}"),
        advice: "You have as many contexts as you may. Delete one",
    };
    /// Connections that are not disconnected.
    Connections, connections: QuotaRules {
        setting: "QUOTA_CONNECTIONS",
        usual: 2_000,
        count: Count::Rows(
            "connections WHERE owner_chitty_id = {owner} AND status <> 'disconnected'",
        ),
        advice: "You have as many connections as you may. Disconnect one",
    };
    /// Connections that are not disconnected and that the cron checks.
    CheckedConnections, checked_connections: QuotaRules {
        setting: "QUOTA_CHECKED_CONNECTIONS",
        usual: 500,
        count: Count::Rows(
            "connections WHERE owner_chitty_id = {owner} AND check_path IS NOT NULL \
             AND status <> 'disconnected'",
        ),
        advice: "You have as many connections with a `check_path` as you may. Set it to null here \
                 or on another",
    };
    /// API keys that are neither revoked nor expired.
    Keys, keys: QuotaRules {
        setting: "QUOTA_KEYS",
        usual: 500,
        count: Count::Rows(
            "keys WHERE owner_chitty_id = {owner} AND revoked_at IS NULL \
             AND ifnull(expires_at, '9999') > {now}",
        ),
        advice: "The owner has as many API keys as it may. Revoke one",
    };
    /// Delegations that are neither revoked nor expired.
    Delegations, delegations: QuotaRules {
        setting: "QUOTA_DELEGATIONS",
        usual: 5_000,
        count: Count::Rows(
            "delegations WHERE delegator_chitty_id = {owner} AND revoked_at IS NULL \
             AND ifnull(expires_at, '9999') > {now}",
        ),
        advice: "You have as many delegations as you may. Revoke one, wait until one ends",
    };
    /// Identities that were ever minted on request: an identity is never given back.
    Identities, identities: QuotaRules {
        setting: "QUOTA_IDENTITIES",
        usual: 100_000,
        count: Count::Total("minted", "identity_counts WHERE owner_chitty_id = {owner}"),
        advice: "You have had as many identities minted as you may. Use one that you have",
    };
}
