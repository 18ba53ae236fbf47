//! What a handler works with: the rows that a caller may touch, and what must hold while it does.
//!
//! Suspension, revocation, the state of a key and the reach of a delegation hold from the next request
//! on, so they are never remembered: they are read in the same round trip as the handler's own data
//! ([`Scope::read`]), and asserted in the same transaction as its changes ([`Scope::write`]).

use std::borrow::Cow;
use std::rc::Rc;

use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Params, Row, Statement};
use seams::time;

use super::bearer::invalid_token;
use super::identity::{Caller, Credential};
use super::scopes::{self, ADMIN, Permission, intersection, is_admin};
use super::standing::{self, active, among, vouched};
use crate::access::rates::Overrides;
use crate::store::Ready;

/// The rows that a caller may touch: those of one owner.
#[derive(Debug, Clone)]
pub struct Scope {
    caller: Rc<Caller>,
    /// The scope to name where it is missing.
    wanted: Cow<'static, str>,
    /// The scopes of which the database must find one, as a JSON array; `None` where no more than the
    /// credential itself has to be good.
    needs: Option<String>,
    /// Whether the credential itself carries the permission.
    is_carried: bool,
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

impl Caller {
    /// What of the caller's rows a request may touch under a permission. Whether it has that is judged
    /// with the handler's first read or write.
    pub fn scope(self: Rc<Self>, permission: Permission, now_ms: u64) -> Scope {
        Scope::of(self, permission, now_ms)
    }
}

impl Scope {
    pub(super) fn of(caller: Rc<Caller>, permission: Permission, now_ms: u64) -> Self {
        let is_carried = permission.is_granted_by(&caller.scopes);
        // Without it, perhaps an administrator has granted it.
        let needs = (!caller.is_vouched_for() || !is_carried).then(|| permission.granting());
        Scope { caller, wanted: permission.as_str().into(), needs, is_carried, now_ms }
    }

    /// The same caller, who must hold all of `scope` at this moment for whatever is done by the result.
    #[must_use]
    pub fn demanding(&self, scope: &str) -> Scope {
        let is_carried = self.caller.is_vouched_for() && scopes::holds(&self.caller.scopes, scope);
        let needs = (!is_carried).then(|| scopes::granting(scope));
        Scope { wanted: scope.to_owned().into(), needs, is_carried, ..self.clone() }
    }

    /// Judges what is not left to the handler's first read: whether the credential is for this gateway,
    /// and for a change whether there is the permission, so that nobody learns what is wrong with a body
    /// who may not send one.
    ///
    /// # Errors
    /// 403; 401 first where the credential is not good any more.
    pub async fn admit_to(
        &self,
        ready: Ready<'_>,
        permission: Permission,
        is_change: bool,
    ) -> Result<(), Problem> {
        // A token for another service is good for the connections to that service, and to be handed
        // on.
        let reaches = self.caller.audience.is_none()
            || matches!(
                permission,
                Permission::ConnectionsRead
                    | Permission::ConnectionsWrite
                    | Permission::DelegationsRead
                    | Permission::DelegationsWrite
            );
        if !reaches {
            return Err(self.unless_gone(ready, for_another_service(&self.caller)).await);
        }
        if is_change && !self.is_carried {
            return self.check(ready).await;
        }
        Ok(())
    }

    /// A refusal, unless the credential is not good any more: then that is said.
    async fn unless_gone(&self, ready: Ready<'_>, refusal: Problem) -> Problem {
        let standing = Scope { needs: None, ..self.clone() };
        standing.check(ready).await.err().unwrap_or(refusal)
    }

    /// Whether the caller's own token makes it an administrator.
    fn has_admin_token(&self) -> bool {
        self.caller.is_vouched_for() && is_admin(&self.caller.scopes)
    }

    /// The same caller, who must be an administrator for whatever is done by this scope.
    #[must_use]
    pub fn demanding_admin(&self) -> Scope {
        if self.has_admin_token() {
            return Scope { needs: None, ..self.clone() };
        }
        let needs = Some(serde_json::json!(ADMIN).to_string());
        Scope { wanted: "admin".into(), needs, ..self.clone() }
    }

    /// SQL for whether the caller is an administrator at this moment, to widen what a statement reaches;
    /// its placeholders are added to `params`.
    pub fn is_admin_sql(&self, params: &mut Params) -> String {
        if self.has_admin_token() {
            return "1".to_owned();
        }
        // Whoever acts at one service administers nothing here.
        if self.audience().is_some() {
            return "0".to_owned();
        }
        format!("({} = 'ok')", self.demanding_admin().verdict(params))
    }

    /// SQL for whether the caller may at this moment, for a statement that is to do nothing otherwise; its
    /// placeholders are added to `params`.
    pub fn may_sql(&self, params: &mut Params) -> String {
        format!("({} = 'ok')", self.verdict(params))
    }

    /// The same caller at a later instant, in ms since the Unix epoch: what has ended by then is not good.
    #[must_use]
    pub fn at(&self, now_ms: u64) -> Scope {
        Scope { now_ms, ..self.clone() }
    }

    /// Whose rows these are, and who does what is done.
    pub fn actor(&self) -> &str {
        self.caller.actor.as_str()
    }

    /// By which credential, for the record: `key:key_…`, `delegation:dlg_…`, or `token:` and the
    /// beginning of the SHA-256 of the actor's own token.
    pub fn credential_name(&self) -> String {
        match &self.caller.credential {
            Credential::Token { sha256, .. } => {
                format!("token:{}", sha256.get(..16).unwrap_or_default())
            }
            Credential::Key { id, .. } => format!("key:{id}"),
            Credential::Delegation { id, .. } => format!("delegation:{id}"),
        }
    }

    /// The credential.
    pub fn credential(&self) -> &Credential {
        &self.caller.credential
    }

    /// What an operator has set for the caller in place of the usual limits and quotas.
    pub fn overrides(&self) -> &Overrides {
        self.caller.limits()
    }

    /// The caller's principal at ChittyAuth, where its credential says it.
    pub fn principal_id(&self) -> Option<&str> {
        self.caller.principal_id()
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

    /// When the credential ends, in ms since the Unix epoch, as far as is known.
    pub fn ends_ms(&self) -> Option<u64> {
        self.caller.ends_ms
    }

    /// What the credential itself carries.
    pub fn carried(&self) -> &[String] {
        &self.caller.scopes
    }

    /// What would outlive a delegation cannot be done by one.
    ///
    /// # Errors
    /// 403 for a delegated token; 401 where it is not good any more.
    pub async fn not_delegated(&self, ready: Ready<'_>) -> Result<(), Problem> {
        match self.caller.credential {
            Credential::Delegation { .. } => {
                let refusal = Problem::new(
                    Code::DelegatedCredential,
                    "A delegated token cannot do this, because what it did would outlive it. Use \
                     the actor's own token.",
                );
                Err(self.unless_gone(ready, refusal).await)
            }
            _ => Ok(()),
        }
    }

    /// What an actor says of itself it says by a token of ChittyAuth.
    ///
    /// # Errors
    /// 403 for a delegated token or an API key; 401 where it is not good any more.
    pub async fn by_own_token(&self, ready: Ready<'_>) -> Result<(), Problem> {
        match self.caller.credential {
            Credential::Token { .. } => Ok(()),
            _ => Err(self.unless_gone(ready, own_token_needed()).await),
        }
    }

    /// What lasts is made by a token of ChittyAuth that stands on nothing else here.
    ///
    /// # Errors
    /// 403 for whatever was made by another credential; 401 where it is not good any more.
    pub async fn by_lasting_token(&self, ready: Ready<'_>) -> Result<(), Problem> {
        match self.caller.is_vouched_for() {
            true => Ok(()),
            false => Err(self.unless_gone(ready, own_token_needed()).await),
        }
    }

    /// What is made elsewhere, where its end cannot be enforced, is not made by what was itself made
    /// by another credential.
    ///
    /// # Errors
    /// 403 for a delegated token, or a token that was made for another caller; 401 where it is not
    /// good any more.
    pub async fn first_hand(&self, ready: Ready<'_>) -> Result<(), Problem> {
        match self.caller.credential {
            Credential::Key { .. } | Credential::Token { is_made: false, .. } => Ok(()),
            _ => {
                let refusal = Problem::new(
                    Code::DelegatedCredential,
                    "A token that was itself made by another credential cannot do this. Use the \
                     actor's own token, or an API key.",
                );
                Err(self.unless_gone(ready, refusal).await)
            }
        }
    }

    /// The refusal for want of a scope, unless the credential is not good any more: then that is said.
    pub async fn lacking(&self, ready: Ready<'_>, scope: &str) -> Problem {
        self.unless_gone(ready, insufficient(scope)).await
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
        let mut params = Params::default();
        let verdict = self.verdict(&mut params);
        params.statement(format!("SELECT {verdict} AS verdict"))
    }

    /// Fails the transaction that it is part of unless the caller may.
    fn assertion(&self) -> Statement {
        let mut params = Params::default();
        let verdict = self.verdict(&mut params);
        let sql = format!("INSERT INTO assertions (held) SELECT 0 WHERE {verdict} <> 'ok'");
        params.statement(sql)
    }

    /// SQL for a word: `ok`, `suspended`, `scope` or `unknown`.
    fn verdict(&self, params: &mut Params) -> String {
        let actor = params.add(self.actor());
        let suspended = format!("NOT {}", active(&actor));
        let needs = self.needs.as_ref().map(|needs| params.add(needs.as_str()));
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
        // What there must be of a credential that stands on another, or on its actor.
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

    fn judge(&self, rows: Vec<Row>) -> Result<(), Problem> {
        let mut row = rows.into_iter().next().ok_or(DbError::Shape)?;
        match row.text(0)?.as_str() {
            "ok" => Ok(()),
            "suspended" => Err(suspended()),
            "scope" => Err(insufficient(&self.wanted)),
            _ => Err(invalid_token()),
        }
    }
}

/// The kinds of credentials that stand on something here.
enum StoredCredential {
    MadeToken,
    Delegation,
    Key,
}

/// Where the row of such a credential is, if it is good, as `k`; and who made it.
struct CredentialSql {
    rows: String,
    source_actor: &'static str,
    /// Whether it may have been made by another credential of this gateway.
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

fn own_token_needed() -> Problem {
    Problem::new(
        Code::DelegatedCredential,
        "Only a ChittyAuth token of the actor's own can do this.",
    )
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
