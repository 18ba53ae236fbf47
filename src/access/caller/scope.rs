//! The scope of a handler: the rows that the caller may touch, and the conditions that must hold
//! while it does.
//!
//! Suspension, revocation, the state of a key and the reach of a delegation take effect with the next
//! request, so they are never cached: [`Scope::read`] reads them in the same round trip as the handler's
//! own data, and [`Scope::write`] asserts them in the same transaction as the handler's changes.

use std::borrow::Cow;
use std::rc::Rc;

use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Params, Row, Statement};

use super::identity::{Caller, Credential};
use super::scope_verdict::{Verdict, insufficient, judge, suspended};
use super::scopes::{self, ADMIN, Permission, intersection, is_admin};
use super::write_error::WriteError;
use crate::access::rates::Overrides;
use crate::store::Ready;

/// The rows that a caller may touch: those of one owner. A `Scope` is a caller that is bound to a permission;
/// a scope in lower case, such as `contexts:read`, is a right that a credential carries (see [`scopes`]).
#[derive(Debug, Clone)]
pub struct Scope {
    caller: Rc<Caller>,
    /// The scope that the 403 names if it is missing.
    wanted: Cow<'static, str>,
    /// The scopes of which the database must find one, as a JSON array; `None` if it is enough that
    /// the credential is valid.
    needs: Option<String>,
    /// Whether the credential itself carries the permission.
    is_carried: bool,
    now_ms: u64,
}

impl Caller {
    /// Returns the scope of a request that needs a permission. The handler's first read or write
    /// checks whether the caller has the permission.
    pub fn scope(self: Rc<Self>, permission: Permission, now_ms: u64) -> Scope {
        Scope::of(self, permission, now_ms)
    }
}

impl Scope {
    pub(super) fn of(caller: Rc<Caller>, permission: Permission, now_ms: u64) -> Self {
        let is_carried = permission.is_granted_by(&caller.scopes);
        // If the credential does not carry it, an administrator may have granted it.
        let needs = (!caller.is_vouched_for() || !is_carried).then(|| permission.granting());
        Scope { caller, wanted: permission.as_str().into(), needs, is_carried, now_ms }
    }

    /// Returns a scope of the same caller whose reads and writes require that the caller holds all
    /// of `scope` at that moment.
    #[must_use]
    pub fn demanding(&self, scope: &str) -> Scope {
        let is_carried = self.caller.is_vouched_for() && scopes::holds(&self.caller.scopes, scope);
        let needs = (!is_carried).then(|| scopes::granting(scope));
        Scope { wanted: scope.to_owned().into(), needs, is_carried, ..self.clone() }
    }

    /// Checks what cannot wait for the handler's first read: that the credential is for this
    /// gateway, and for a change that the caller has the permission. Otherwise a caller without it
    /// would learn what is wrong with its body.
    ///
    /// # Errors
    /// 403; 401 instead if the credential is no longer valid.
    pub async fn admit_to(
        &self,
        ready: Ready<'_>,
        permission: Permission,
        is_change: bool,
    ) -> Result<(), Problem> {
        // A token for another service may use the connections to that service, and may be delegated further.
        let reaches = self.caller.audience.is_none()
            || matches!(
                permission,
                Permission::ConnectionsRead
                    | Permission::ConnectionsWrite
                    | Permission::DelegationsRead
                    | Permission::DelegationsWrite
            );
        if !reaches {
            return Err(self.refusal_or_invalid(ready, for_another_service(&self.caller)).await);
        }
        if is_change && !self.is_carried {
            return self.check(ready).await;
        }
        Ok(())
    }

    /// Returns `refusal`, unless the credential itself is no longer valid: then 401 if it has been
    /// revoked or has expired, or 403 if its actor is suspended.
    async fn refusal_or_invalid(&self, ready: Ready<'_>, refusal: Problem) -> Problem {
        let standing = Scope { needs: None, ..self.clone() };
        standing.check(ready).await.err().unwrap_or(refusal)
    }

    /// Whether the caller's own token makes it an administrator.
    fn has_admin_token(&self) -> bool {
        self.caller.is_vouched_for() && is_admin(&self.caller.scopes)
    }

    /// Returns a scope of the same caller whose reads and writes require that the caller is an administrator.
    #[must_use]
    pub fn demanding_admin(&self) -> Scope {
        if self.has_admin_token() {
            return Scope { needs: None, ..self.clone() };
        }
        let needs = Some(serde_json::json!(ADMIN).to_string());
        Scope { wanted: "admin".into(), needs, ..self.clone() }
    }

    /// SQL for whether the caller is an administrator at this moment, so that a statement can reach
    /// more rows; adds its placeholders to `params`.
    pub fn is_admin_sql(&self, params: &mut Params) -> String {
        if self.has_admin_token() {
            return "1".to_owned();
        }
        // A token for another service gives no administration here.
        if self.audience().is_some() {
            return "0".to_owned();
        }
        format!("({} = 'ok')", self.demanding_admin().verdict().sql(params))
    }

    /// SQL for whether the caller has the permission at this moment, for a statement that must do
    /// nothing otherwise; adds its placeholders to `params`.
    pub fn may_sql(&self, params: &mut Params) -> String {
        format!("({} = 'ok')", self.verdict().sql(params))
    }

    /// Returns the same scope at a later instant, in ms since the Unix epoch: a credential that has
    /// ended by then is not valid.
    #[must_use]
    pub fn at(&self, now_ms: u64) -> Scope {
        Scope { now_ms, ..self.clone() }
    }

    /// The caller's ChittyID: the owner of the rows, and the actor of every change.
    pub fn actor(&self) -> &str {
        self.caller.actor.as_str()
    }

    /// The credential's name in the audit record: `key:key_…`, `delegation:dlg_…`, or `token:` and
    /// the first 16 hex digits of the SHA-256 of the actor's own token.
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

    /// The limits and quotas that an operator has set for the caller in place of the usual ones.
    pub fn overrides(&self) -> &Overrides {
        self.caller.limits()
    }

    /// The caller's principal at ChittyAuth, if its credential names it.
    pub fn principal_id(&self) -> Option<&str> {
        self.caller.principal_id()
    }

    /// The service for which the credential is valid; `None` is this gateway.
    pub fn audience(&self) -> Option<&str> {
        self.caller.audience.as_deref()
    }

    /// Returns the scopes that the caller holds, as far as the isolate's cache knows: those that
    /// its credential carries, and those that an administrator has granted it.
    pub fn held_scopes(&self) -> Vec<String> {
        match self.caller.credential {
            Credential::Token { .. } => {
                let mut held = self.caller.scopes.clone();
                held.extend(self.caller.granted.iter().cloned());
                intersection(&held, &held)
            }
            _ => self.caller.granted.clone(),
        }
    }

    /// When the credential ends, in ms since the Unix epoch, if that is known.
    pub fn ends_ms(&self) -> Option<u64> {
        self.caller.ends_ms
    }

    /// The scopes that the credential itself carries.
    pub fn carried_scopes(&self) -> &[String] {
        &self.caller.scopes
    }

    /// Refuses a delegated token, for actions whose effect would outlive the delegation.
    ///
    /// # Errors
    /// 403 for a delegated token; 401 instead if it is no longer valid.
    pub async fn not_delegated(&self, ready: Ready<'_>) -> Result<(), Problem> {
        match self.caller.credential {
            Credential::Delegation { .. } => {
                let refusal = Problem::new(
                    Code::DelegatedCredential,
                    "A delegated token cannot do this, because the effect would outlive the \
                     token. Use the actor's own token.",
                );
                Err(self.refusal_or_invalid(ready, refusal).await)
            }
            _ => Ok(()),
        }
    }

    /// Refuses every credential but a ChittyAuth token, for statements of an actor about itself.
    ///
    /// # Errors
    /// 403 for a delegated token or an API key; 401 instead if it is no longer valid.
    pub async fn by_own_token(&self, ready: Ready<'_>) -> Result<(), Problem> {
        match self.caller.credential {
            Credential::Token { .. } => Ok(()),
            _ => Err(self.refusal_or_invalid(ready, own_token_needed()).await),
        }
    }

    /// Refuses every credential but a ChittyAuth token that depends on no other credential, for the
    /// creation of credentials that last.
    ///
    /// # Errors
    /// 403 for a credential that another credential made, or an API key; 401 instead if it is no
    /// longer valid.
    pub async fn by_lasting_token(&self, ready: Ready<'_>) -> Result<(), Problem> {
        match self.caller.is_vouched_for() {
            true => Ok(()),
            false => Err(self.refusal_or_invalid(ready, own_token_needed()).await),
        }
    }

    /// Refuses a credential that another credential made, for credentials and identities that are
    /// made at other services, where this gateway cannot enforce their end.
    ///
    /// # Errors
    /// 403 for a delegated token, or a token that was made for another caller; 401 instead if it is
    /// no longer valid.
    pub async fn first_hand(&self, ready: Ready<'_>) -> Result<(), Problem> {
        match self.caller.credential {
            Credential::Key { .. } | Credential::Token { is_made: false, .. } => Ok(()),
            _ => {
                let refusal = Problem::new(
                    Code::DelegatedCredential,
                    "A token that was itself made by another credential cannot do this. Use the \
                     actor's own token, or an API key.",
                );
                Err(self.refusal_or_invalid(ready, refusal).await)
            }
        }
    }

    /// Returns the 403 for a missing scope, or 401 if the credential is no longer valid.
    pub async fn lacking(&self, ready: Ready<'_>, scope: &str) -> Problem {
        self.refusal_or_invalid(ready, insufficient(scope)).await
    }

    /// Runs reading statements in one round trip, which also checks that the caller has the permission.
    ///
    /// # Errors
    /// 401 or 403 if the caller lacks it; storage failures.
    pub async fn read(
        &self,
        ready: Ready<'_>,
        mut statements: Vec<Statement>,
    ) -> Result<Vec<Vec<Row>>, Problem> {
        statements.insert(0, self.verdict().question());
        let mut results = ready.db().batch(statements).await?.into_iter();
        judge(results.next().unwrap_or_default(), &self.wanted)?;
        Ok(results.collect())
    }

    /// Runs one reading statement; see [`Scope::read`].
    ///
    /// # Errors
    /// Those of [`Scope::read`].
    pub async fn rows(&self, ready: Ready<'_>, statement: Statement) -> Result<Vec<Row>, Problem> {
        Ok(self.read(ready, vec![statement]).await?.pop().unwrap_or_default())
    }

    /// SQL for the column `caller_status`: the status of the actor bound as `?1`. A frequent read
    /// selects it, so that it need not be a batch: [`Scope::rows_with_state`] runs the statement, and
    /// [`Scope::admit`] judges that column. An actor without a row is active.
    pub const STATE_SQL: &'static str =
        "(SELECT status FROM actors WHERE chitty_id = ?1) AS caller_status";

    /// Runs one statement that selects [`Scope::STATE_SQL`] itself. If the actor's own token
    /// carries the permission, the status is all that must be checked, and no other check is added.
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

    /// Judges the status that [`Scope::STATE_SQL`] selected.
    ///
    /// # Errors
    /// 403 for an actor that is suspended or deleted.
    pub fn admit(state: Option<&str>) -> Result<(), Problem> {
        match state {
            None | Some("active") => Ok(()),
            Some(_) => Err(suspended()),
        }
    }

    /// Checks that the caller has the permission, and reads nothing else.
    ///
    /// # Errors
    /// Those of [`Scope::read`].
    pub async fn check(&self, ready: Ready<'_>) -> Result<(), Problem> {
        let question = self.verdict().question();
        judge(ready.db().rows(question).await?, &self.wanted)
    }

    /// Runs changing statements in one transaction, which also asserts that the caller has the
    /// permission. Without it, nothing is changed.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn write(
        &self,
        ready: Ready<'_>,
        mut statements: Vec<Statement>,
    ) -> Result<Vec<Vec<Row>>, WriteError> {
        statements.insert(0, self.verdict().assertion());
        match ready.db().batch(statements).await {
            Ok(mut results) => Ok(results.split_off(results.len().min(1))),
            Err(DbError::Unauthorized) => Err(WriteError::Refused(match self.check(ready).await {
                Err(problem) => problem,
                // The caller lacked the permission a moment ago and has it again.
                Ok(()) => Problem::new(
                    Code::StorageUnavailable,
                    "Your permissions have just changed. Repeat the request.",
                ),
            })),
            Err(error) => Err(error.into()),
        }
    }

    fn verdict(&self) -> Verdict<'_> {
        Verdict { caller: &self.caller, needs: self.needs.as_deref(), now_ms: self.now_ms }
    }
}

fn own_token_needed() -> Problem {
    Problem::new(Code::DelegatedCredential, "Only the actor's own ChittyAuth token can do this.")
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
