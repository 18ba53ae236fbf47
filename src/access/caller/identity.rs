//! The identity of a caller, and its credential.

use chitty_core::ChittyId;

use crate::access::rates::Overrides;
use crate::store::ids::{DelegationId, KeyId};

/// The name of this gateway as a target service, in the form in which names are compared.
pub const THIS_GATEWAY: &str = "connect";

/// The credential of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A token that ChittyAuth vouches for.
    Token {
        /// SHA-256 of the token, in hex.
        sha256: String,
        /// When it ends (ISO-8601 UTC), if that is known.
        expires_at: Option<String>,
        /// Whether ChittyAuth made it at the request of another caller of this gateway. It then
        /// depends on the credential that made that request.
        is_made: bool,
    },
    /// A delegated token of this gateway, whose bearer acts for the delegator.
    Delegation {
        /// SHA-256 of the token, in hex.
        sha256: String,
        /// Its id.
        id: DelegationId,
        /// The ids of the delegations from the first of the chain to this one, each followed by `/`.
        path: String,
    },
    /// An API key of this gateway.
    Key {
        /// SHA-256 of the key, in hex.
        sha256: String,
        /// Its id.
        id: KeyId,
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
    /// The actor's principal at ChittyAuth, if ChittyAuth or the token names it.
    pub(super) principal_id: Option<String>,
    /// The scopes that the credential itself carries.
    pub(super) scopes: Vec<String>,
    /// For a ChittyAuth token, the scopes that an administrator has granted the actor in addition.
    /// For any other credential, those of its scopes that are still backed. The isolate may have
    /// cached them: they decide what the caller may hand on, never what it may do.
    pub(super) granted: Vec<String>,
    pub(super) credential: Credential,
    /// The service for which the credential is valid; `None` is this gateway.
    pub(super) audience: Option<String>,
    /// When the credential ends, in ms since the Unix epoch, if that is known.
    pub(super) ends_ms: Option<u64>,
    /// The actor against whose limits the caller's requests count, if another caller had its identity minted.
    pub(super) sponsor: Option<String>,
    pub(super) limits: Overrides,
}

/// SQL for the sponsor of the actor bound as `?1`.
pub(super) const SPONSOR: &str = "(SELECT sponsor_chitty_id FROM sponsors WHERE chitty_id = ?1)";

impl Caller {
    /// The caller's ChittyID.
    pub fn actor(&self) -> &str {
        self.actor.as_str()
    }

    /// The caller's principal at ChittyAuth, if its credential names it.
    pub fn principal_id(&self) -> Option<&str> {
        self.principal_id.as_deref()
    }

    /// The actor against whose limits the caller's requests count: the caller itself, or the caller
    /// that had its identity minted.
    pub fn answers_for(&self) -> &str {
        self.sponsor.as_deref().unwrap_or_else(|| self.actor())
    }

    /// The credential of the request.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The scopes that the credential itself carries.
    pub fn carried_scopes(&self) -> &[String] {
        &self.scopes
    }

    /// Whether the credential is a ChittyAuth token that depends on no other credential.
    pub(super) fn is_vouched_for(&self) -> bool {
        matches!(self.credential, Credential::Token { is_made: false, .. })
    }

    /// The limits that an operator has set for the actor in place of the usual ones.
    pub fn limits(&self) -> &Overrides {
        &self.limits
    }
}
