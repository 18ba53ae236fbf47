//! The creation of a connection.
//!
//! A credential may be good for one use only, and a key that ChittyAuth makes stays good until it ends or is
//! revoked. So everything that can refuse the creation comes first, and if a creation fails, the credential
//! that was made or renewed for it is revoked (see `intents`).

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::time;
use serde_json::json;

use crate::access::caller::{Grant, Scope, WriteError};
use crate::access::creation::Creation;
use crate::access::idempotency::{self, Idempotency};
use crate::access::quota::{Quota, QuotaKind, Quotas};
use crate::access::reply::{Outcome, Reply};
use crate::app::{App, Settings};
use crate::connections::call::{Base, is_closed};
use crate::connections::check::{self, Health};
use crate::connections::credential::{Credential, CredentialInput};
use crate::connections::input::{self, Draft};
use crate::connections::intents::{self, Intent, NewCredential};
use crate::connections::renewal::{self, Renewal};
use crate::connections::store::{self, FirstCheck, Insertion, SealedCredential};
use crate::connections::{provisioned, secrets};
use crate::discovery;
use crate::store::Ready;
use crate::store::event::{Event, EventKind};
use crate::store::ids::ConnectionId;

#[cfg(not(target_family = "wasm"))]
use crate::connections::views::{ConnectionDraftView, ConnectionReplyView};

/// Connect a context or yourself to a service.
///
/// There is at most one active connection for each source, service and endpoint. The gateway tries a
/// credential once at `check_path`, if there is one, seals it before storing it, and never returns it. A
/// ChittyOS service needs no endpoint, and ChittyAuth can make the key for it (`provisioned`). You must hold
/// the scopes of that key yourself, such as `cases:read` for `read` at ChittyCases, and the key ends with
/// your credential. For the services that make identities and credentials, only an administrator can have a
/// key made.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/connections",
    operation_id = "connectionsCreate",
    tag = "connections",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body = ConnectionDraftView,
    responses(
        (status = 201, description = "Connected.", body = ConnectionReplyView, headers(("ETag" = String), ("Location" = String))),
        (status = 403, description = "The key to be made would have scopes that you do not hold, or your token is a delegated one (`delegated_credential`); or you have as many connections as you may (`quota_exceeded`)."),
        (status = 404, description = "You have no such source."),
        (status = 409, description = "`connection_exists`: there is an active connection, `existing_connection_id`."),
        (status = 422, description = "A value is not acceptable, or the target refuses the credential (`credential_refused`)."),
    ),
))]
pub async fn create(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the draft, with the address that ChittyRegistry lists for a service that is not built in.
    let body = request.json_bytes().await?;
    let registered = match input::unknown_service(&body) {
        Some(service) => discovery::find(app, ready, &service).await?,
        None => None,
    };
    let draft = input::draft(&body, request.now_ms, registered.as_ref())?;
    // 2. Refuse a service that the token is not for, and this gateway as the target.
    admit_target(app, &scope, &draft)?;
    // 3. Replay a stored reply, or check that the source exists and has no such connection, and the quotas.
    let key = Idempotency::of(request, "connections.create", &body)?;
    let look_up = key.as_ref().map(|key| key.look_up(&scope, request.now_ms));
    let quotas = quotas(app, &scope, &draft, request.now_ms);
    // Quotas are checked here before a credential is made or renewed. Without a credential, the batch checks
    // them in time.
    let asked = if draft.credentials.is_some() { quotas.as_slice() } else { &[] };
    let stored = store::check_free(ready, &scope, &draft, asked, look_up).await?;
    if let Some(replay) = idempotency::replay(key.as_ref(), stored)? {
        return Ok(replay);
    }
    // 4. Settle the authority of a key that ChittyAuth is to make.
    let grant = match &draft.credentials {
        Some(CredentialInput::Provision) => {
            let (service, scopes) = (&draft.target_service, &draft.scopes);
            let now_ms = request.now_ms;
            Some(provisioned::grant(ready, &scope, service, scopes, now_ms).await?)
        }
        _ => None,
    };
    // 5. Obtain the credential, and seal it.
    let id = ConnectionId::new(app.now_ms());
    let (credential, intent) = match obtain(app, ready, request, &draft, &id, grant.as_ref()).await
    {
        Ok(Some(NewCredential { credential, intent })) => (Some(credential), intent),
        Ok(None) => (None, None),
        // Another request with this idempotency key may have used up the refresh token.
        Err(problem) => return twin(app, ready, &scope, key.as_ref(), request, problem).await,
    };
    let seal = |one: &Credential| secrets::seal(app, id.as_str(), one);
    let sealed = credential.as_ref().map(seal).transpose()?;
    // Steps 6 to 8 are in `perform`.
    let checked = CheckedCreation {
        app,
        ready,
        scope,
        request,
        draft,
        quotas,
        key,
        id,
        credential,
        intent,
        sealed,
        grant,
    };
    let made = checked.perform().await;
    // 9. Have a new credential revoked that no connection has got.
    let is_replay = |reply: &Reply| reply.header_value("idempotency-replayed").is_some();
    if made.as_ref().map_or(true, is_replay) {
        checked.abandon_credential().await;
    }
    made
}

/// A creation after its credential was obtained.
struct CheckedCreation<'a> {
    app: &'a App,
    ready: Ready<'a>,
    scope: Scope,
    request: &'a Request<'a>,
    draft: Draft,
    quotas: Vec<Quota>,
    key: Option<Idempotency>,
    id: ConnectionId,
    credential: Option<Credential>,
    intent: Option<Intent>,
    sealed: Option<SealedCredential>,
    grant: Option<Grant>,
}

impl CheckedCreation<'_> {
    /// Tries the credential, then makes the connection.
    async fn perform(&self) -> Outcome {
        // 6. Try the credential at the target.
        let CheckedCreation { app, draft, credential, .. } = self;
        let base = Base::of(app, &draft.target_service, &draft.endpoint());
        let path = draft.check_path.as_deref();
        let health = first_check(app, &base, path, credential.as_ref()).await?;
        let check = FirstCheck {
            at: health.as_ref().map(|_| time::iso8601(app.now_ms())),
            error: health.and_then(|health| health.error()),
            due_at: path.map(|_| check::next(app)),
        };
        // 7. Store the connection, its credential, the event and the reply in one batch.
        let payload = json!({
            "source": draft.source.as_str(), "target_service": draft.target_service,
            "credential_type": credential.as_ref().map(Credential::kind),
        });
        let (kind, now_ms) = (EventKind::ConnectionCreated, app.now_ms());
        let id = self.id.as_str();
        let event = Event::caused(self.request, &self.scope, kind, id, payload, now_ms);
        let creation =
            Creation::new(app, event, "/v1/connections", &self.quotas, self.key.as_ref());
        let insertion = Insertion {
            draft,
            sealed: self.sealed.as_ref(),
            intent: self.intent.as_ref(),
            grant: self.grant.as_ref(),
            check: &check,
            creation: &creation,
        };
        match store::insert(self.ready, &self.scope, &insertion).await {
            // 8. Reply, and announce the event.
            Ok(Some(text)) => Ok(creation.reply(text)),
            Ok(None) => {
                store::check_free(self.ready, &self.scope, draft, &self.quotas, None).await?;
                Err(Problem::new(
                    Code::CredentialUnavailable,
                    "It took too long, so the new credential is being revoked. Repeat the request.",
                ))
            }
            Err(WriteError::Refused(problem)) => Err(problem),
            Err(error) => self.after_failure(error).await,
        }
    }

    /// Has the credential revoked that was made or renewed for the connection. If a batch whose answer was lost
    /// has stored it in a connection, this does nothing.
    async fn abandon_credential(&self) {
        let Some(intent) = &self.intent else { return };
        let is_key = matches!(self.credential, Some(Credential::Provisioned { .. }));
        let key = self.sealed.as_ref().filter(|_| is_key).map(|sealed| sealed.text.as_str());
        intent.abandon(self.app, self.ready, key).await;
    }

    /// Answers a request whose batch failed: with the reply of a faster request with this idempotency key,
    /// with what else prevents the creation (such as an existing connection or a missing source), or with
    /// the error.
    async fn after_failure(&self, error: WriteError) -> Outcome {
        let CheckedCreation { ready, scope, key, draft, quotas, request, .. } = self;
        if let Some(replay) = idempotency::find(*ready, scope, key.as_ref(), request.now_ms).await?
        {
            return Ok(replay);
        }
        if store::is_taken(&error) {
            return Err(store::conflict(*ready, draft).await);
        }
        store::check_free(*ready, scope, draft, quotas, None).await?;
        Err(error.into())
    }
}

/// Waits a little for the reply of another request with the same idempotency key, if the credential was
/// refused. Returns that reply, or `problem` if there is none.
async fn twin(
    app: &App,
    ready: Ready<'_>,
    scope: &Scope,
    key: Option<&Idempotency>,
    request: &Request<'_>,
    problem: Problem,
) -> Outcome {
    const WAIT_MS: u64 = 3000;
    const LOOK_MS: u64 = 150;
    if key.is_none() || problem.code != Code::CredentialRefused {
        return Err(problem);
    }
    for _ in 0..WAIT_MS / LOOK_MS {
        if let Some(replay) = idempotency::find(ready, scope, key, request.now_ms).await? {
            return Ok(replay);
        }
        app.sleep(LOOK_MS).await;
    }
    Err(problem)
}

/// Refuses a token for one service that is to make a connection to another, and this gateway as the target.
fn admit_target(app: &App, scope: &Scope, draft: &Draft) -> Result<(), Problem> {
    let service = draft.target_service.as_str();
    if let Some(audience) = scope.audience().filter(|audience| *audience != service) {
        let detail = format!("This token can make connections to the service `{audience}` only.");
        return Err(Problem::new(Code::WrongTargetService, detail));
    }
    if is_closed(app, service, &draft.endpoint()) {
        let detail = "is this gateway itself, to which no connection may lead";
        return Err(Problem::invalid("/target_endpoint", detail));
    }
    Ok(())
}

/// The quotas against which a connection counts.
fn quotas(app: &App, scope: &Scope, draft: &Draft, now_ms: u64) -> Vec<Quota> {
    let now = time::iso8601(now_ms);
    let quota = |kind| Quotas::of(app).of_caller(kind, scope, &now);
    let checked = draft.check_path.is_some().then(|| quota(QuotaKind::CheckedConnections));
    [quota(QuotaKind::Connections)].into_iter().chain(checked).collect()
}

/// Returns the credential to store: the one that was handed in, with an access token if it needs one, or one
/// that ChittyAuth makes.
async fn obtain(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    draft: &Draft,
    id: &ConnectionId,
    grant: Option<&Grant>,
) -> Result<Option<NewCredential>, Problem> {
    match (&draft.credentials, grant) {
        (Some(CredentialInput::In(credential)), _) => {
            complete(app, ready, id, credential).await.map(Some)
        }
        (Some(CredentialInput::Provision), Some(grant)) => {
            let of = (draft.source.as_str(), draft.target_service.as_str());
            provisioned::make(app, ready, request, id.as_str(), of, grant).await.map(Some)
        }
        (Some(CredentialInput::Provision), None) | (None, _) => Ok(None),
    }
}

/// Returns the credential that was handed in, with a new access token if it needs one.
pub(super) async fn complete(
    app: &App,
    ready: Ready<'_>,
    id: &ConnectionId,
    handed: &Credential,
) -> Result<NewCredential, Problem> {
    // Fails without a sealing key, before the token endpoint is asked for a token that could not be stored.
    secrets::seal(app, id.as_str(), handed)?;
    let oauth = match handed {
        Credential::Oauth(oauth) if !oauth.is_good_for(0, app.now_ms()) => oauth,
        _ => return Ok(NewCredential { credential: handed.clone(), intent: None }),
    };
    match renewal::renew(app, oauth).await {
        Renewal::Done(renewed) => intents::record_renewal(app, ready, id, oauth, renewed).await,
        Renewal::Refused => Err(refused("The token endpoint refused to renew the access token.")),
        Renewal::Open { .. } => Err(Problem::new(
            Code::CredentialUnavailable,
            "The token endpoint gave no usable answer, so nothing was stored. Repeat the request.",
        )),
    }
}

pub(super) fn refused(detail: &'static str) -> Problem {
    Problem::new(Code::CredentialRefused, format!("{detail} Nothing was stored."))
}

/// Calls the target once at its check path, with the credential if there is one. Fails with 422 if the target
/// refuses the credential.
pub(super) async fn first_check(
    app: &App,
    base: &Base,
    path: Option<&str>,
    credential: Option<&Credential>,
) -> Result<Option<Health>, Problem> {
    let Some(path) = path else { return Ok(None) };
    let health = check::ask(app, base, path, credential).await;
    match (&health, credential) {
        (Health::Refused, Some(_)) => Err(refused("The target does not accept this credential.")),
        _ => Ok(Some(health)),
    }
}
