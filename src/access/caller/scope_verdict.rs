//! The verdict on a caller: whether its actor is active, its credential valid, and the permission still there.
//!
//! The database decides it, in one word, in the statement or the batch of the handler itself. So a verdict
//! is never older than what the handler reads or writes.

use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Params, Row, Statement};
use seams::time;

use super::bearer::invalid_token;
use super::identity::{Caller, Credential};
use super::standing::{self, active, among, vouched};
use crate::store::fail_if;

/// What a verdict is about.
pub(super) struct Verdict<'a> {
    pub(super) caller: &'a Caller,
    /// The scopes of which the database must find one, as a JSON array; `None` if it is enough that
    /// the credential is valid.
    pub(super) needs: Option<&'a str>,
    pub(super) now_ms: u64,
}

impl Verdict<'_> {
    /// Returns the query for whether the caller has the permission: one row with the verdict, one word.
    pub(super) fn question(&self) -> Statement {
        let mut params = Params::default();
        let verdict = self.sql(&mut params);
        params.statement(format!("SELECT {verdict} AS verdict"))
    }

    /// Returns a statement that fails its transaction unless the caller has the permission.
    pub(super) fn assertion(&self) -> Statement {
        let mut params = Params::default();
        let verdict = self.sql(&mut params);
        let sql = fail_if(&format!("{verdict} <> 'ok'"));
        params.statement(sql)
    }

    /// SQL for the verdict, one word: `ok`, `suspended` (the actor is not active), `scope` (a scope
    /// is missing) or `unknown` (the credential is not valid).
    pub(super) fn sql(&self, params: &mut Params) -> String {
        let actor = params.add(self.caller.actor());
        let suspended = format!("NOT {}", active(&actor));
        let needs = self.needs.map(|needs| params.add(needs));
        let granted = |needs: &str| {
            format!(
                "EXISTS (SELECT 1 FROM actors AS a, json_each(a.capabilities) AS c WHERE \
                 a.chitty_id = {actor} AND c.value IN (SELECT value FROM json_each({needs})))"
            )
        };
        let (sha256, from) = match &self.caller.credential {
            Credential::Token { is_made: false, .. } => {
                return match &needs {
                    None => format!("iif({suspended}, 'suspended', 'ok')"),
                    Some(needs) => format!(
                        "CASE WHEN {suspended} THEN 'suspended' WHEN {} THEN 'ok' ELSE 'scope' END",
                        granted(needs)
                    ),
                };
            }
            Credential::Token { sha256, .. } => (sha256, StoredCredential::MadeToken),
            Credential::Delegation { sha256, .. } => (sha256, StoredCredential::Delegation),
            Credential::Key { sha256, .. } => (sha256, StoredCredential::Key),
        };
        let (sha256, now) = (params.add(sha256.as_str()), params.add(time::iso8601(self.now_ms)));
        let from = from.sql(&sha256, &actor, &now);
        // The condition on the scopes of a credential that depends on another one, or on its actor.
        let suffices = match &needs {
            None => "1".to_owned(),
            Some(needs) => {
                let cutoff = params.add(standing::cutoff(self.now_ms));
                let carried_above = match from.has_above {
                    true => standing::carried_above(needs),
                    false => "1".to_owned(),
                };
                format!(
                    "({} AND (({} AND {} AND {carried_above}) OR {}))",
                    among("k.scopes", needs),
                    among("k.source_scopes", needs),
                    vouched(&format!("{actor}, {}", from.source_actor), needs, &cutoff),
                    granted(needs)
                )
            }
        };
        format!(
            "coalesce((SELECT CASE WHEN {suspended} THEN 'suspended' WHEN {suffices} THEN 'ok' \
             ELSE 'scope' END FROM {}), 'unknown')",
            from.rows
        )
    }
}

/// Judges the rows of [`Verdict::question`]. `wanted` is the scope that the 403 names if it is missing.
pub(super) fn judge(rows: Vec<Row>, wanted: &str) -> Result<(), Problem> {
    let mut row = rows.into_iter().next().ok_or(DbError::Shape)?;
    match row.text("verdict")?.as_str() {
        "ok" => Ok(()),
        "suspended" => Err(suspended()),
        "scope" => Err(insufficient(wanted)),
        _ => Err(invalid_token()),
    }
}

/// The kinds of credentials that depend on a row in this database.
enum StoredCredential {
    MadeToken,
    Delegation,
    Key,
}

/// SQL for the row of such a credential as `k`, if the credential is valid, and for the actor that made it.
struct CredentialSql {
    rows: String,
    source_actor: &'static str,
    /// Whether another credential of this gateway may have made it.
    has_above: bool,
}

impl StoredCredential {
    fn sql(&self, sha256: &str, actor: &str, now: &str) -> CredentialSql {
        let source_is_good = standing::source_is_good(now, actor);
        match self {
            StoredCredential::MadeToken => CredentialSql {
                rows: format!(
                    "made_tokens AS k WHERE k.token_sha256 = {sha256} AND k.chitty_id = {actor} \
                     AND k.expires_at > {now} AND {source_is_good}"
                ),
                source_actor: "k.source_actor",
                has_above: true,
            },
            StoredCredential::Delegation => CredentialSql {
                rows: format!(
                    "delegations AS k WHERE k.token_sha256 = {sha256} \
                     AND k.delegator_chitty_id = {actor} AND k.revoked_at IS NULL \
                     AND k.expires_at > {now} AND {source_is_good}"
                ),
                source_actor: "k.source_actor",
                has_above: true,
            },
            StoredCredential::Key => CredentialSql {
                rows: format!(
                    "key_secrets AS s JOIN keys AS k USING (key_id) \
                     WHERE s.secret_sha256 = {sha256} AND k.owner_chitty_id = {actor} \
                     AND ifnull(s.valid_until, '9999') > {now} AND k.revoked_at IS NULL \
                     AND ifnull(k.expires_at, '9999') > {now} \
                     AND (k.created_by = {actor} OR {})",
                    active("k.created_by")
                ),
                source_actor: "k.created_by",
                has_above: false,
            },
        }
    }
}

pub(super) fn suspended() -> Problem {
    Problem::new(
        Code::ActorSuspended,
        "This actor is suspended or deleted, so it may do nothing. Ask an administrator.",
    )
}

pub(super) fn insufficient(wanted: &str) -> Problem {
    Problem::new(Code::InsufficientScope, format!("Use a token that carries the scope `{wanted}`."))
}
