//! Making a connection.
//!
//! A credential may be good for one use only, and a key that ChittyAuth makes is one more in the
//! world: so everything that can refuse the creation comes first, and what was made or renewed for a
//! creation that comes to nothing is taken back.

use chitty_core::ProvisionRequest;
use serde_json::json;

use crate::app::App;
use crate::connections::call::Base;
use crate::connections::check::{self, Health};
use crate::connections::credential::{Credential, Handed};
use crate::connections::input::{self, Draft};
use crate::connections::secrets::{self, Renewal};
use crate::connections::store::{self, FirstCheck, Insertion, Sealed};
use crate::events::{Event, EventKind};
use crate::http::Outcome;
use crate::http::caller::{Scope, WriteError};
use crate::http::idempotency::{self, Idempotency};
use crate::http::precondition::etag;
use crate::http::problem::{Code, Problem};
use crate::http::quota::{Kind, Quota};
use crate::http::reply::{After, Body, Reply};
use crate::http::request::Request;
use crate::init::Ready;
use crate::platform::{ids, time};

#[cfg(not(target_family = "wasm"))]
use crate::openapi::schemas::{LinkDraftView, LinkReplyView};

/// Connect a context or yourself to a service.
///
/// One active connection for each source, service and endpoint. A credential is tried once at
/// `check_path`, where there is one, and sealed before it is stored; it is never returned. A
/// ChittyOS service needs no endpoint, and ChittyAuth can make the key for it (`provisioned`).
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/connections",
    operation_id = "connectionsCreate",
    tag = "connections",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body = LinkDraftView,
    responses(
        (status = 201, description = "Connected.", body = LinkReplyView, headers(("ETag" = String), ("Location" = String))),
        (status = 403, description = "`quota_exceeded`: you have as many as you may."),
        (status = 404, description = "You have no such source."),
        (status = 409, description = "`connection_exists`: `existing_connection_id` is the one that is there."),
        (status = 422, description = "A value is not acceptable, or the target refuses the credential (`credential_refused`)."),
    ),
))]
pub async fn create(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let body = request.json_bytes().await?;
    let draft = input::draft(&body, request.now_ms)?;
    within_audience(&scope, &draft.target_service)?;
    let key = Idempotency::of(request, "connections.create", &body)?;
    let look_up = key.as_ref().map(|key| key.look_up(&scope, request.now_ms));
    let now = time::iso8601(request.now_ms);
    let quota = |kind| app.config.quotas.of_caller(kind, &scope, &now);
    let checked = draft.check_path.is_some().then(|| quota(Kind::CheckedConnections));
    let quotas: Vec<Quota> = [quota(Kind::Connections)].into_iter().chain(checked).collect();
    // Before a credential is made or renewed for it; without one the batch says so in time.
    let asked = if draft.credentials.is_some() { quotas.as_slice() } else { &[] };
    let stored = store::check_free(ready, &scope, &draft, asked, look_up).await?;
    if let Some(replay) = idempotency::replay(key.as_ref(), stored)? {
        return Ok(replay);
    }
    let handed = draft.credentials.as_ref();
    let credential = match obtain(app, request, &draft, handed).await {
        Ok(credential) => credential,
        // A refresh token may be good for one use only, and that by another request with this key.
        Err(problem) => return twin(app, ready, &scope, key.as_ref(), request, problem).await,
    };
    // What was made or renewed for this is to be taken back if nothing comes of it.
    let is_ours = handed.is_some_and(|handed| match (handed, &credential) {
        (Handed::In(handed), Some(obtained)) => handed != obtained,
        (Handed::Provision, _) => true,
        (Handed::In(_), None) => false,
    });
    let id = format!("conn_{}", ids::uuid_v7(app.now_ms()));
    let sealed = credential.as_ref().map(|one| secrets::seal(app, &id, one)).transpose()?;
    let creation =
        Creation { app, ready, scope, request, draft, quotas, key, id, credential, sealed };
    let made = creation.perform().await;
    let is_new =
        made.as_ref().is_ok_and(|reply| reply.header_value("idempotency-replayed").is_none());
    if let (false, true, Some(sealed)) = (is_new, is_ours, &creation.sealed) {
        secrets::abandon(app, ready, &creation.id, &sealed.text).await;
    }
    made
}

/// A creation that has its credential.
struct Creation<'a> {
    app: &'a App,
    ready: Ready<'a>,
    scope: Scope,
    request: &'a Request<'a>,
    draft: Draft,
    quotas: Vec<Quota>,
    key: Option<Idempotency>,
    id: String,
    credential: Option<Credential>,
    sealed: Option<Sealed>,
}

impl Creation<'_> {
    /// Tries the credential, then makes the connection.
    async fn perform(&self) -> Outcome {
        let Creation { app, draft, credential, .. } = self;
        let base = Base::of(app, &draft.target_service, &draft.endpoint());
        let path = draft.check_path.as_deref();
        let health = first_check(app, &base, path, credential.as_ref()).await?;
        let check = FirstCheck {
            at: health.as_ref().map(|_| time::iso8601(app.now_ms())),
            error: health.and_then(|health| health.error()),
            due_at: path.map(|_| check::next(app)),
        };
        let payload = json!({
            "source": draft.source.as_str(), "target_service": draft.target_service,
            "credential_type": credential.as_ref().map(Credential::kind),
        });
        let (kind, now_ms) = (EventKind::ConnectionCreated, app.now_ms());
        let event = Event::caused(self.request, &self.scope, kind, &self.id, payload, now_ms);
        let insertion = Insertion {
            draft,
            sealed: self.sealed.as_ref(),
            check: &check,
            event: &event,
            overdue_ms: app.config.outbox_overdue_ms,
            quotas: &self.quotas,
            key: self.key.as_ref(),
        };
        match store::insert(self.ready, &self.scope, &insertion).await {
            Ok(Some(text)) => Ok(Reply::new(201, Body::Json(text))
                .header("etag", etag(&event.id))
                .header("location", format!("/v1/connections/{}", self.id))
                .then(After::Announce(event))),
            Ok(None) => Err(Problem::not_found(draft.source_type)),
            Err(WriteError::Refused(problem)) => Err(problem),
            Err(error) => self.lost(error).await,
        }
    }

    /// After a batch that failed: the reply of a faster request with this key, the connection that is
    /// in the way, the source that is gone, or just the failure.
    async fn lost(&self, error: WriteError) -> Outcome {
        let Creation { ready, scope, key, draft, quotas, request, .. } = self;
        if let Some(replay) = idempotency::find(*ready, scope, key.as_ref(), request.now_ms).await?
        {
            return Ok(replay);
        }
        if store::is_taken(&error) {
            return Err(store::taken(*ready, draft).await);
        }
        store::check_free(*ready, scope, draft, quotas, None).await?;
        Err(error.into())
    }
}

/// The reply of another request with the same idempotency key, if there is one that is about to end;
/// the problem otherwise.
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

/// A token for one service makes connections to that service only.
fn within_audience(scope: &Scope, service: &str) -> Result<(), Problem> {
    match scope.audience() {
        Some(audience) if audience != service => Err(Problem::new(
            Code::WrongTargetService,
            format!("This token is good for the service `{audience}` only."),
        )),
        _ => Ok(()),
    }
}

/// The credential to be stored: as it was handed in, with an access token where it needs one, or made
/// by ChittyAuth.
async fn obtain(
    app: &App,
    request: &Request<'_>,
    draft: &Draft,
    handed: Option<&Handed>,
) -> Result<Option<Credential>, Problem> {
    match handed {
        None => Ok(None),
        Some(Handed::In(credential)) => complete(app, credential).await.map(Some),
        Some(Handed::Provision) => {
            let wanted = ProvisionRequest {
                chitty_id: draft.source.as_str().to_owned(),
                scopes: draft
                    .scopes
                    .iter()
                    .map(|scope| format!("{}:{scope}", draft.target_service))
                    .collect(),
                service: draft.target_service.clone(),
                expires_in_s: None,
                idempotency_key: None,
            };
            let made = request.session(app).auth().provision_key(&wanted).await;
            let made = made.map_err(|error| {
                Problem::upstream(
                    Code::CredentialUnavailable,
                    "ChittyAuth did not make a key, so nothing was stored. Repeat the request.",
                    &error,
                )
            })?;
            Ok(Some(Credential::Provisioned { key: made.secret, key_id: made.id }))
        }
    }
}

/// A credential as it was handed in, with an access token where it needs one.
pub(super) async fn complete(app: &App, credential: &Credential) -> Result<Credential, Problem> {
    let Credential::Oauth(oauth) = credential else { return Ok(credential.clone()) };
    if oauth.is_good_for(0, app.now_ms()) {
        return Ok(credential.clone());
    }
    match secrets::renew(app, oauth).await {
        Renewal::Done(renewed) => Ok(Credential::Oauth(renewed)),
        Renewal::Refused => Err(refused("The token endpoint does not renew this.")),
        Renewal::Open => Err(Problem::new(
            Code::CredentialUnavailable,
            "The token endpoint did not answer, so nothing was stored. Repeat the request.",
        )),
    }
}

pub(super) fn refused(detail: &'static str) -> Problem {
    Problem::new(Code::CredentialRefused, format!("{detail} Nothing was stored."))
}

/// Tries a credential, or the bare target, once.
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
