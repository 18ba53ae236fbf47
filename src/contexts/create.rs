//! The creation of a context.
//!
//! A mint cannot be repeated safely or undone, so everything that can be checked is checked before it: the
//! body, the idempotency key, the state of the caller, the name, the quota, the authority for a key. If a
//! later step fails, the minted id is either in use or reported as orphaned.

use std::slice;

use chitty_core::{ChittyId, EntityLabel};
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::time;
use serde_json::json;

use crate::access::caller::Scope;
use crate::access::creation::{Creation, Recovery};
use crate::access::idempotency::{self, Idempotency};
use crate::access::quota::{Quota, QuotaKind, Quotas};
use crate::access::reply::Reply;
use crate::app::{App, Settings};
use crate::contexts::credentials::{self, Key};
use crate::contexts::event;
use crate::contexts::input::{self, Draft};
use crate::contexts::store::{self, Failure, Insertion};
use crate::store::Ready;
use crate::store::event::EventKind;
use crate::store::minting::MintIntent;

#[cfg(not(target_family = "wasm"))]
use crate::contexts::ContextReply;
#[cfg(not(target_family = "wasm"))]
use crate::contexts::views::ContextDraft;

/// Create a context.
///
/// The service ChittyID mints the ChittyID of the context; while ChittyID is down, the answer is 503 and
/// nothing is stored.
/// With `credentials`, ChittyAuth makes a key for the context, which only this reply shows. The key carries
/// scopes that you hold yourself, and ends with your credential at the latest. While ChittyAuth is down, the
/// answer is 503 and nothing is stored. A key that no context gets is revoked.
/// Send an `Idempotency-Key` to be able to repeat the request safely for 24 hours.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/contexts",
    operation_id = "contextsCreate",
    tag = "contexts",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters, best a fresh UUID. The same key with the same body gives the same reply, with `Idempotency-Replayed: true`."),
    ),
    request_body = ContextDraft,
    responses(
        (status = 201, description = "Created.", body = ContextReply,
            headers(("ETag" = String), ("Location" = String), ("Idempotency-Replayed" = String))),
        (status = 403, description = "`quota_exceeded`: you have as many contexts as your quota allows; or the key that you request would carry scopes that you do not hold, or your token is a delegated one (`delegated_credential`)."),
        (status = 409, description = "`name_taken`: `existing_chitty_id` is the context that has the name."),
        (status = 422, description = "A value is not acceptable, or the idempotency key was used for another request."),
    ),
))]
pub async fn create(
    app: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    // 1. Read the draft and the idempotency key.
    let body = request.json_bytes().await?;
    let draft = input::draft(&body)?;
    let key = Idempotency::of(request, "contexts.create", &body)?;
    // 2. Replay a stored reply, or check that nothing refuses the creation and record the intent to mint.
    let intent = MintIntent::new(app, "context", scope.actor());
    let now = time::iso8601(request.now_ms);
    let quota = Quotas::of(app).of_caller(QuotaKind::Contexts, &scope, &now);
    let wanted = store::CreationNeeds { name: &draft.name, quota: &quota, now_ms: request.now_ms };
    let stored = store::check_free(ready, &scope, &wanted, key.as_ref(), &intent).await?;
    if let Some(replay) = idempotency::replay(key.as_ref(), stored)? {
        return Ok(replay);
    }
    // 3. Settle the authority of the key for the context, if one is asked for.
    let grant = match &draft.key {
        None => None,
        Some(wanted) => {
            match credentials::grant(app, ready, &scope, wanted, request.now_ms).await {
                Ok(grant) => Some(grant),
                Err(problem) => {
                    intent.withdraw(ready).await;
                    return Err(problem);
                }
            }
        }
    };
    // 4. Have ChittyID mint the id.
    let metadata = json!({ "owner": scope.actor(), "service": "chittyconnect" });
    let session = request.session(&app.core);
    let minted = intent.mint(app, ready, &session, EntityLabel::Context, metadata).await;
    let id = minted.map_err(|error| {
        Problem::upstream(
            Code::IdentityAuthorityUnavailable,
            "ChittyID did not mint an identity, so nothing was stored. Repeat the request later.",
            &error,
        )
    })?;
    // 5. Have ChittyAuth make the key for the id. Without the key there is no creation: report the id.
    let made_for_it = match grant {
        None => None,
        Some(grant) => match Key::make(app, ready, request, &id, grant).await {
            Ok(made) => Some(made),
            Err(problem) => {
                intent.report_orphan(app, ready, &id, "credential_unavailable").await;
                return Err(problem);
            }
        },
    };
    // Steps 6 and 7 are in `perform`.
    let checked =
        CheckedCreation { app, ready, scope, request, draft, quota, key, intent, id, made_for_it };
    checked.perform().await
}

/// A creation that has passed every check and has its id.
struct CheckedCreation<'a> {
    app: &'a App,
    ready: Ready<'a>,
    scope: Scope,
    request: &'a Request<'a>,
    draft: Draft,
    quota: Quota,
    key: Option<Idempotency>,
    intent: MintIntent,
    id: ChittyId,
    made_for_it: Option<Key>,
}

impl CheckedCreation<'_> {
    async fn perform(&self) -> Result<Reply, Problem> {
        // 6. Store the context, its key, the event and the reply in one batch.
        let mut fields = json!({ "status": self.draft.status.as_str() });
        if let (Some(made), Some(fields)) = (&self.made_for_it, fields.as_object_mut()) {
            fields.insert("credentials".to_owned(), made.description());
        }
        let kind = EventKind::ContextCreated;
        let event = event(self.app, kind, &self.id, &self.scope, fields, self.request);
        let quotas = slice::from_ref(&self.quota);
        let creation = Creation::new(self.app, event, "/v1/contexts", quotas, self.key.as_ref());
        let insertion = Insertion {
            id: &self.id,
            intent: &self.intent,
            draft: &self.draft,
            creation: &creation,
            made_for_it: self.made_for_it.as_ref(),
        };
        let text = match store::insert(self.ready, &self.scope, &insertion).await {
            Ok(text) => text,
            Err(failure) => match self.recover(failure).await? {
                Recovery::Committed(text) => text,
                Recovery::Replayed(reply) => return Ok(reply),
            },
        };
        // 7. Reply, with the key if one was made, which no other reply shows; announce the event.
        Ok(creation.reply(match &self.made_for_it {
            Some(made) => made.show_in(&text),
            None => text,
        }))
    }

    /// Handles a batch that failed. Returns the reply if there is one in spite of that, or the problem.
    async fn recover(&self, failure: Failure) -> Result<Recovery, Problem> {
        if let Failure::Db(_) = failure
            && let Ok(Some(text)) = store::committed_reply(self.ready, &self.id).await
        {
            return Ok(Recovery::Committed(text));
        }
        if let Some(made) = &self.made_for_it {
            made.abandon(self.app, self.ready).await;
        }
        let reason = match &failure {
            Failure::NameTaken(_) => "name_taken",
            Failure::LostRace => "idempotency_race",
            Failure::OverQuota(_) => "quota_exceeded",
            Failure::Refused(_) => "not_authorized",
            Failure::TakenBack => "credential_unavailable",
            Failure::Db(_) => "storage_unavailable",
        };
        self.intent.report_orphan(self.app, self.ready, &self.id, reason).await;
        match failure {
            Failure::Refused(_) | Failure::OverQuota(_) | Failure::TakenBack | Failure::Db(_) => {
                Err(failure.into())
            }
            // A request with the same idempotency key has the same name, so either of the two unique
            // constraints may have failed first.
            Failure::NameTaken(_) | Failure::LostRace => match self.replay().await? {
                Some(reply) => Ok(Recovery::Replayed(reply)),
                None => {
                    Err(store::explain(self.ready, &self.scope, self.draft.name.key(), failure)
                        .await)
                }
            },
        }
    }

    /// Returns the reply that another request with this key has stored, if there is one.
    async fn replay(&self) -> Result<Option<Reply>, Problem> {
        let now_ms = self.request.now_ms;
        idempotency::find(self.ready, &self.scope, self.key.as_ref(), now_ms).await
    }
}
