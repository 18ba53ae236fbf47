//! Who a caller is, and by which credential it calls.

use chitty_core::ChittyId;

use crate::access::rates::Overrides;

/// The names by which this gateway is the target itself.
pub const THIS_GATEWAY: &str = "connect";

/// By which credential somebody calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A token that ChittyAuth vouches for.
    Token {
        /// SHA-256 of the token, in hex.
        sha256: String,
        /// When it ends (ISO-8601 UTC), if that is known.
        expires_at: Option<String>,
        /// Whether it was made at the request of another caller of this gateway: then it stands on
        /// the credential by which that called.
        is_made: bool,
    },
    /// A token that this gateway has made for somebody to act for its delegator.
    Delegation {
        /// SHA-256 of the token, in hex.
        sha256: String,
        /// `dlg_…`
        id: String,
        /// The path of its delegation.
        path: String,
    },
    /// An API key of this gateway.
    Key {
        /// SHA-256 of the key, in hex.
        sha256: String,
        /// `key_…`
        id: String,
    },
}

impl Credential {
    /// Its SHA-256, in hex.
    pub fn sha256(&self) -> &str {
        match self {
            Credential::Token { sha256, .. }
            | Credential::Delegation { sha256, .. }
            | Credential::Key { sha256, .. } => sha256,
        }
    }
}

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) actor: ChittyId,
    /// Its principal at ChittyAuth, where ChittyAuth or the token says it.
    pub(super) principal_id: Option<String>,
    /// What the credential itself carries.
    pub(super) scopes: Vec<String>,
    /// A token: what an administrator has granted beside what it carries. Any other credential: what
    /// of what it carries still has something to stand on. As of a moment ago: it says what the
    /// caller may hand on, never what it may do.
    pub(super) granted: Vec<String>,
    pub(super) credential: Credential,
    /// For which service it is good, where that is not this gateway.
    pub(super) audience: Option<String>,
    /// When the credential ends, in ms since the Unix epoch, as far as is known.
    pub(super) ends_ms: Option<u64>,
    /// Against whose limits its requests count, where the identity was minted for another caller.
    pub(super) sponsor: Option<String>,
    pub(super) limits: Overrides,
}

/// SQL for the sponsor of the actor bound as `?1`.
pub(super) const SPONSOR: &str = "(SELECT sponsor_chitty_id FROM sponsors WHERE chitty_id = ?1)";

impl Caller {
    /// Who it is.
    pub fn actor(&self) -> &str {
        self.actor.as_str()
    }

    /// Its principal at ChittyAuth, where its credential says it.
    pub fn principal_id(&self) -> Option<&str> {
        self.principal_id.as_deref()
    }

    /// Against whose limits its requests count: its own, or those of the caller for whom its identity
    /// was minted.
    pub fn answers_for(&self) -> &str {
        self.sponsor.as_deref().unwrap_or_else(|| self.actor())
    }

    /// By which credential.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// What the credential itself carries.
    pub fn carried(&self) -> &[String] {
        &self.scopes
    }

    /// Whether ChittyAuth vouches for the credential itself, and it stands on nothing else.
    pub(super) fn is_vouched_for(&self) -> bool {
        matches!(self.credential, Credential::Token { is_made: false, .. })
    }

    /// What an operator has set for the actor in place of the usual limits.
    pub fn limits(&self) -> &Overrides {
        &self.limits
    }
}
