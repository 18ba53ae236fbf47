//! Credentials that this gateway stores itself, each as its SHA-256 in D1: delegated tokens and API
//! keys. They contain 256 random bits, so a plain hash reveals nothing about them, and neither does
//! the time that a look-up by hash takes.

use chitty_core::ChittyId;
use http_kit::problem::Problem;
use seams::db::{DbError, Row, Statement};
use seams::time;

use super::bearer::invalid_token;
use super::cache::Expiry;
use super::identity::THIS_GATEWAY;
use super::identity::{Caller, Credential, SPONSOR};
use super::standing::{self, Backing, CredentialTable};
use crate::access::rates::Overrides;
use crate::store::Ready;
use crate::store::ids::{DelegationId, KeyId};

/// The prefix of every delegated token.
pub(super) const DELEGATION_PREFIX: &str = "cdt_";

/// The prefix of every API key, as in the predecessor.
pub(super) const KEY_PREFIX: &str = "chitty_";

/// Returns the caller behind a delegated token, and when the token ends; 401 if it is not valid.
pub(super) async fn delegation(
    ready: Ready<'_>,
    sha256: String,
    now_ms: u64,
) -> Result<(Caller, Expiry), Problem> {
    let columns = Backing::columns(CredentialTable::Delegation, "?3");
    let sponsor = SPONSOR.replace("?1", "k.delegator_chitty_id");
    let query = Statement::new(format!(
        "SELECT k.delegator_chitty_id AS actor_id, k.expires_at, {sponsor} AS sponsor, {columns}, \
         k.delegation_id, k.path, k.target_service FROM delegations AS k \
         WHERE k.token_sha256 = ?1 AND k.revoked_at IS NULL AND k.expires_at > ?2"
    ));
    let mut row = credential_row(ready, query, &sha256, now_ms).await?;
    let bearer = Bearer::read(&mut row)?;
    let id = DelegationId::from_row(&mut row, "delegation_id")?;
    let credential = Credential::Delegation { sha256, id, path: row.text("path")? };
    let audience = Some(row.text("target_service")?).filter(|service| service != THIS_GATEWAY);
    Ok(bearer.calling_by(credential, audience))
}

/// Returns the caller behind an API key, and when the key ends; 401 if it is not valid.
pub(super) async fn key(
    ready: Ready<'_>,
    sha256: String,
    now_ms: u64,
) -> Result<(Caller, Expiry), Problem> {
    let columns = Backing::columns(CredentialTable::Key, "?3");
    let sponsor = SPONSOR.replace("?1", "k.owner_chitty_id");
    let query = Statement::new(format!(
        "SELECT k.owner_chitty_id AS actor_id, \
         min(ifnull(k.expires_at, '9999'), ifnull(s.valid_until, '9999')) AS expires_at, \
         {sponsor} AS sponsor, {columns}, k.key_id FROM key_secrets AS s JOIN keys AS k USING (key_id) \
         WHERE s.secret_sha256 = ?1 AND k.revoked_at IS NULL \
         AND ifnull(k.expires_at, '9999') > ?2 AND ifnull(s.valid_until, '9999') > ?2"
    ));
    let mut row = credential_row(ready, query, &sha256, now_ms).await?;
    let bearer = Bearer::read(&mut row)?;
    let credential = Credential::Key { sha256, id: KeyId::from_row(&mut row, "key_id")? };
    Ok(bearer.calling_by(credential, None))
}

async fn credential_row(
    ready: Ready<'_>,
    query: Statement,
    sha256: &str,
    now_ms: u64,
) -> Result<Row, Problem> {
    let query = query.bind(sha256).bind(time::iso8601(now_ms)).bind(standing::cutoff(now_ms));
    ready.db().rows(query).await?.into_iter().next().ok_or_else(invalid_token)
}

/// The columns that both queries have.
struct Bearer {
    actor: ChittyId,
    expiry: Expiry,
    sponsor: Option<String>,
    backing: Backing,
}

impl Bearer {
    fn read(row: &mut Row) -> Result<Self, DbError> {
        Ok(Bearer {
            actor: ChittyId::parse(&row.text("actor_id")?).map_err(|_| DbError::Shape)?,
            expiry: time::parse(&row.text("expires_at")?).map_or(Expiry::Open, Expiry::At),
            sponsor: row.optional_text("sponsor")?,
            backing: Backing::read(row)?,
        })
    }

    fn calling_by(self, credential: Credential, audience: Option<String>) -> (Caller, Expiry) {
        let caller = Caller {
            actor: self.actor,
            principal_id: None,
            scopes: super::scopes::list(&self.backing.scopes),
            granted: self.backing.held_scopes(),
            credential,
            audience,
            ends_ms: match self.expiry {
                Expiry::At(at) => Some(at),
                Expiry::Open | Expiry::Unreadable => None,
            },
            sponsor: self.sponsor,
            limits: Overrides::default(),
        };
        (caller, self.expiry)
    }
}
