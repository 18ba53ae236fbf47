//! What a handler works with: the rows that a caller may touch, and what must hold while it does.
//!
//! Suspension, revocation, the state of a key and the reach of a delegation hold from the next request
//! on, so they are never remembered: they are read in the same round trip as the handler's own data
//! ([`Scope::read`]), and asserted in the same transaction as its changes ([`Scope::write`]).

use std::rc::Rc;

use super::scopes::{ADMIN, Permission, intersection, is_admin};
use super::{Caller, Credential, invalid_token};
use crate::http::problem::{Code, Problem};
use crate::init::Ready;
use crate::platform::db::{DbError, Row, Statement, Value};
use crate::platform::time;

/// The rows that a caller may touch: those of one owner.
#[derive(Debug, Clone)]
pub struct Scope {
    caller: Rc<Caller>,
    /// The scope to name where it is missing.
    wanted: &'static str,
    /// The scopes of which the database must find one, as a JSON array; `None` where the caller's
    /// token carries the permission itself.
    needs: Option<String>,
    now_ms: u64,
}

/// Why nothing was changed.
#[derive(Debug)]
pub enum WriteError {
    /// The caller may not, or not any more.
    Refused(Problem),
    /// The database failed.
    Db(DbError),
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(problem) => problem,
            WriteError::Db(error) => error.into(),
        }
    }
}

impl From<DbError> for WriteError {
    fn from(error: DbError) -> Self {
        WriteError::Db(error)
    }
}

impl WriteError {
    /// Whether the constraint over `columns` was in the way.
    pub fn is_unique(&self, columns: &str) -> bool {
        matches!(self, WriteError::Db(error) if error.is_unique(columns))
    }
}

/// A list of scopes as it is stored.
pub(super) fn list(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}

impl Scope {
    pub(super) fn of(
        caller: Rc<Caller>,
        permission: Permission,
        now_ms: u64,
    ) -> Result<Self, Problem> {
        let wanted = permission.as_str();
        let carried = permission.is_granted_by(&caller.scopes);
        // A token for another service is good for the connections to that service, and to be handed
        // on.
        let reaches = caller.audience.is_none()
            || matches!(
                permission,
                Permission::ConnectionsRead
                    | Permission::ConnectionsWrite
                    | Permission::DelegationsRead
                    | Permission::DelegationsWrite
            );
        if !reaches {
            return Err(for_another_service(&caller));
        }
        let needs = match (&caller.credential, carried) {
            (Credential::Token { .. }, true) => None,
            // Perhaps an administrator has granted it.
            (Credential::Token { .. }, false) | (_, true) => Some(permission.granting()),
            (_, false) => return Err(insufficient(wanted)),
        };
        Ok(Scope { caller, wanted, needs, now_ms })
    }

    /// The same caller as an administrator, if it seems to be one; the database confirms it.
    pub fn as_admin(&self) -> Option<Scope> {
        let token_is = matches!(self.caller.credential, Credential::Token { .. })
            && is_admin(&self.caller.scopes);
        if token_is {
            return Some(Scope { needs: None, ..self.clone() });
        }
        is_admin(&self.caller.granted).then(|| Scope {
            wanted: "admin",
            needs: Some(serde_json::json!(ADMIN).to_string()),
            ..self.clone()
        })
    }

    /// Whose rows these are, and who does what is done.
    pub fn actor(&self) -> &str {
        self.caller.actor.as_str()
    }

    /// By which credential, where it is not a token of the actor's own: `key:key_…` or
    /// `delegation:dlg_…`.
    pub fn via(&self) -> Option<String> {
        match &self.caller.credential {
            Credential::Token { .. } => None,
            Credential::Key { id, .. } => Some(format!("key:{id}")),
            Credential::Delegation { id, .. } => Some(format!("delegation:{id}")),
        }
    }

    /// The credential.
    pub fn credential(&self) -> &Credential {
        &self.caller.credential
    }

    /// For which service the credential is good, where that is not this gateway.
    pub fn audience(&self) -> Option<&str> {
        self.caller.audience.as_deref()
    }

    /// What the caller holds, as of a moment ago: what its credential carries and what an administrator
    /// has granted it.
    pub fn held(&self) -> Vec<String> {
        match self.caller.credential {
            Credential::Token { .. } => {
                let mut held = self.caller.scopes.clone();
                held.extend(self.caller.granted.iter().cloned());
                intersection(&held, &held)
            }
            _ => self.caller.granted.clone(),
        }
    }

    /// What the credential itself carries.
    pub fn carried(&self) -> &[String] {
        &self.caller.scopes
    }

    /// What would outlive a delegation cannot be done by one.
    ///
    /// # Errors
    /// 403 for a delegated token.
    pub fn not_delegated(&self) -> Result<(), Problem> {
        match self.caller.credential {
            Credential::Delegation { .. } => Err(Problem::new(
                Code::DelegatedCredential,
                "A delegated token cannot do this, because what it did would outlive it. Use the \
                 actor's own token.",
            )),
            _ => Ok(()),
        }
    }

    /// What lasts is made by who has shown a token of ChittyAuth.
    ///
    /// # Errors
    /// 403 for a delegated token or an API key.
    pub fn by_own_token(&self) -> Result<(), Problem> {
        match self.caller.credential {
            Credential::Token { .. } => Ok(()),
            _ => Err(Problem::new(
                Code::DelegatedCredential,
                "Only a ChittyAuth token of the actor's own can do this.",
            )),
        }
    }

    /// Reads in one round trip, behind what must hold.
    ///
    /// # Errors
    /// 401 or 403 when it does not; storage failures.
    pub async fn read(
        &self,
        ready: Ready<'_>,
        mut statements: Vec<Statement>,
    ) -> Result<Vec<Vec<Row>>, Problem> {
        statements.insert(0, self.question());
        let mut results = ready.db().batch(statements).await?.into_iter();
        self.judge(results.next().unwrap_or_default())?;
        Ok(results.collect())
    }

    /// Reads with one statement; see [`Scope::read`].
    ///
    /// # Errors
    /// Those of [`Scope::read`].
    pub async fn rows(&self, ready: Ready<'_>, statement: Statement) -> Result<Vec<Row>, Problem> {
        Ok(self.read(ready, vec![statement]).await?.pop().unwrap_or_default())
    }

    /// SQL for the state of the actor bound as `?1`, for a statement whose first column it is, so that
    /// a hot read need not be a batch; [`Scope::rows_with_state`] runs it and [`Scope::admit`] judges
    /// that column. An actor without a row is active.
    pub const STATE_SQL: &'static str = "(SELECT status FROM actors WHERE chitty_id = ?1)";

    /// Reads with one statement that reads [`Scope::STATE_SQL`] itself. For an actor's own token that
    /// is all there is to know, and nothing is added.
    ///
    /// # Errors
    /// Those of [`Scope::read`].
    pub async fn rows_with_state(
        &self,
        ready: Ready<'_>,
        statement: Statement,
    ) -> Result<Vec<Row>, Problem> {
        match self.needs {
            None => Ok(ready.db().rows(statement).await?),
            Some(_) => self.rows(ready, statement).await,
        }
    }

    /// Judges what [`Scope::STATE_SQL`] read.
    ///
    /// # Errors
    /// 403 for an actor that is suspended or deleted.
    pub fn admit(state: Option<&str>) -> Result<(), Problem> {
        match state {
            None | Some("active") => Ok(()),
            Some(_) => Err(suspended()),
        }
    }

    /// Judges what must hold, and nothing else.
    ///
    /// # Errors
    /// Those of [`Scope::read`].
    pub async fn check(&self, ready: Ready<'_>) -> Result<(), Problem> {
        self.judge(ready.db().rows(self.question()).await?)
    }

    /// Changes in one transaction, which what must hold is part of: where it does not, nothing is
    /// changed.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn write(
        &self,
        ready: Ready<'_>,
        mut statements: Vec<Statement>,
    ) -> Result<Vec<Vec<Row>>, WriteError> {
        statements.insert(0, self.assertion());
        match ready.db().batch(statements).await {
            Ok(mut results) => Ok(results.split_off(results.len().min(1))),
            Err(DbError::Unauthorized) => Err(WriteError::Refused(match self.check(ready).await {
                Err(problem) => problem,
                // What did not hold a moment ago holds again.
                Ok(()) => Problem::new(
                    Code::StorageUnavailable,
                    "What you may do has just changed. Repeat the request.",
                ),
            })),
            Err(error) => Err(error.into()),
        }
    }

    /// The question whether the caller may: one row, one word.
    fn question(&self) -> Statement {
        let (sql, params) = self.verdict();
        Statement { sql: format!("SELECT {sql}").into(), params }
    }

    /// Fails the transaction that it is part of unless the caller may.
    fn assertion(&self) -> Statement {
        let (sql, params) = self.verdict();
        let sql = format!("INSERT INTO assertions (held) SELECT 0 WHERE {sql} <> 'ok'");
        Statement { sql: sql.into(), params }
    }

    /// SQL for a word: `ok`, `suspended`, `scope` or `unknown`; `?1` is the actor.
    fn verdict(&self) -> (String, Vec<Value>) {
        const SUSPENDED: &str =
            "EXISTS (SELECT 1 FROM actors WHERE chitty_id = ?1 AND status <> 'active')";
        let actor = Value::from(self.actor());
        let Some(needs) = &self.needs else {
            return (format!("iif({SUSPENDED}, 'suspended', 'ok')"), vec![actor]);
        };
        let needs = Value::from(needs.as_str());
        // `?2` are the scopes of which one must be there.
        let among = |scopes: &str| {
            format!(
                "EXISTS (SELECT 1 FROM json_each({scopes}) \
                 WHERE value IN (SELECT value FROM json_each(?2)))"
            )
        };
        let granted = format!(
            "EXISTS (SELECT 1 FROM actors AS a, json_each(a.capabilities) AS c \
             WHERE a.chitty_id = ?1 AND c.value IN (SELECT value FROM json_each(?2)))"
        );
        let kept = |from: &str| {
            let (scopes, backing) = (among("k.scopes"), among("k.source_scopes"));
            format!(
                "coalesce((SELECT CASE WHEN {SUSPENDED} THEN 'suspended' \
                 WHEN {scopes} AND ({backing} OR {granted}) THEN 'ok' ELSE 'scope' END \
                 FROM {from} AND k.revoked_at IS NULL \
                 AND ifnull(k.expires_at, '9999') > ?4), 'unknown')"
            )
        };
        let now = Value::from(time::iso8601(self.now_ms));
        match &self.caller.credential {
            Credential::Token { .. } => {
                let sql = format!(
                    "CASE WHEN {SUSPENDED} THEN 'suspended' WHEN {granted} THEN 'ok' \
                     ELSE 'scope' END"
                );
                (sql, vec![actor, needs])
            }
            Credential::Delegation { sha256, .. } => {
                let sql = kept(
                    "delegations AS k WHERE k.token_sha256 = ?3 AND k.delegator_chitty_id = ?1",
                );
                (sql, vec![actor, needs, Value::from(sha256.as_str()), now])
            }
            Credential::Key { sha256, .. } => {
                let sql = kept(
                    "key_secrets AS s JOIN keys AS k USING (key_id) WHERE s.secret_sha256 = ?3 \
                     AND k.owner_chitty_id = ?1 AND ifnull(s.valid_until, '9999') > ?4",
                );
                (sql, vec![actor, needs, Value::from(sha256.as_str()), now])
            }
        }
    }

    fn judge(&self, rows: Vec<Row>) -> Result<(), Problem> {
        let mut row = rows.into_iter().next().ok_or(DbError::Shape)?;
        match row.text(0)?.as_str() {
            "ok" => Ok(()),
            "suspended" => Err(suspended()),
            "scope" => Err(insufficient(self.wanted)),
            _ => Err(invalid_token()),
        }
    }
}

fn suspended() -> Problem {
    Problem::new(
        Code::ActorSuspended,
        "This actor may do nothing at the moment. Ask an administrator.",
    )
}

fn insufficient(wanted: &str) -> Problem {
    Problem::new(Code::InsufficientScope, format!("Use a token that carries the scope `{wanted}`."))
}

fn for_another_service(caller: &Caller) -> Problem {
    let service = caller.audience.as_deref().unwrap_or_default();
    Problem::new(
        Code::WrongTargetService,
        format!(
            "This token is good for the service `{service}` only: use it there, or through a \
             connection to it."
        ),
    )
}
