//! Credentials that this gateway keeps itself, each as its SHA-256 in D1: delegated tokens and API
//! keys. They hold 256 random bits, so a plain hash says nothing about them, and looking one up by
//! its hash tells nothing by the time it takes.

use chitty_core::ChittyId;

use super::cache::Expiry;
use super::scopes::{intersection, list};
use super::{Caller, Credential, invalid_token};
use crate::delegation::THIS_GATEWAY;
use crate::http::limits::Overrides;
use crate::http::problem::Problem;
use crate::init::Ready;
use crate::platform::db::{DbError, Row, Statement};
use crate::platform::time;

/// What every delegated token begins with.
pub(super) const DELEGATION_PREFIX: &str = "cdt_";

/// What every API key begins with, as the predecessor's did.
pub(super) const KEY_PREFIX: &str = "chitty_";

/// Whoever acts by a delegated token.
pub(super) async fn delegation(
    ready: Ready<'_>,
    sha256: String,
    now_ms: u64,
) -> Result<(Caller, Expiry), Problem> {
    let query = Statement::new(
        "SELECT delegator_chitty_id, scopes, source_scopes, \
         (SELECT capabilities FROM actors WHERE chitty_id = delegator_chitty_id), expires_at, \
         delegation_id, path, target_service FROM delegations \
         WHERE token_sha256 = ?1 AND revoked_at IS NULL AND expires_at > ?2",
    );
    let mut row = found(ready, query, &sha256, now_ms).await?;
    let Held { actor, scopes, granted, expiry } = Held::read(&mut row)?;
    let credential = Credential::Delegation { sha256, id: row.text(5)?, path: row.text(6)? };
    let audience = Some(row.text(7)?).filter(|service| service != THIS_GATEWAY);
    let limits = Overrides::default();
    Ok((Caller { actor, scopes, granted, credential, audience, limits }, expiry))
}

/// Whoever calls by an API key.
pub(super) async fn key(
    ready: Ready<'_>,
    sha256: String,
    now_ms: u64,
) -> Result<(Caller, Expiry), Problem> {
    let query = Statement::new(
        "SELECT owner_chitty_id, scopes, source_scopes, \
         (SELECT capabilities FROM actors WHERE chitty_id = owner_chitty_id), \
         min(ifnull(expires_at, '9999'), ifnull(valid_until, '9999')), key_id \
         FROM key_secrets JOIN keys USING (key_id) \
         WHERE secret_sha256 = ?1 AND revoked_at IS NULL \
         AND ifnull(expires_at, '9999') > ?2 AND ifnull(valid_until, '9999') > ?2",
    );
    let mut row = found(ready, query, &sha256, now_ms).await?;
    let Held { actor, scopes, granted, expiry } = Held::read(&mut row)?;
    let credential = Credential::Key { sha256, id: row.text(5)? };
    let limits = Overrides::default();
    Ok((Caller { actor, scopes, granted, credential, audience: None, limits }, expiry))
}

async fn found(
    ready: Ready<'_>,
    query: Statement,
    sha256: &str,
    now_ms: u64,
) -> Result<Row, Problem> {
    let query = query.bind(sha256).bind(time::iso8601(now_ms));
    ready.db().rows(query).await?.into_iter().next().ok_or_else(invalid_token)
}

/// The columns that both have first.
struct Held {
    actor: ChittyId,
    scopes: Vec<String>,
    granted: Vec<String>,
    expiry: Expiry,
}

impl Held {
    fn read(row: &mut Row) -> Result<Self, DbError> {
        let actor = ChittyId::parse(&row.text(0)?).map_err(|_| DbError::Shape)?;
        let scopes = list(&row.text(1)?);
        let mut backing = list(&row.text(2)?);
        backing.extend(list(&row.optional_text(3)?.unwrap_or_default()));
        let expiry = time::parse(&row.text(4)?).map_or(Expiry::Open, Expiry::At);
        let granted = intersection(&scopes, &backing);
        Ok(Held { actor, scopes, granted, expiry })
    }
}
