//! `/api/chittyid`.

use std::slice;

use chitty_core::{ChittyId, IdError, Validity};
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::DbError;
use seams::time;
use serde_json::{Map, Value, json};

use crate::access::caller::{Scope, WriteError};
use crate::access::creation::{Creation, Recovery};
use crate::access::idempotency::{self, Idempotency};
use crate::access::quota::{Quota, QuotaKind, Quotas};
use crate::access::reply::{Body, Outcome, Reply};
use crate::app::{App, Settings};
use crate::identities::input::{self, MintDraft};
use crate::identities::store::{self, Failure, Insertion};
use crate::store::Ready;
use crate::store::event::{Event, EventKind};
use crate::store::minting::MintIntent;

#[cfg(not(target_family = "wasm"))]
use crate::identities::views::{
    IdentityDraftView, IdentityReplyView, IdentityValidationView, ValidityView,
};

/// Have a ChittyID minted, of one of nine kinds.
///
/// The service ChittyID mints it; while ChittyID is down, the answer is 503 and nothing is stored. Send an
/// `Idempotency-Key` to be able to repeat the request safely for 24 hours. If ChittyID's answer was lost,
/// the repeat calls ChittyID under the same key.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/api/chittyid/mint",
    operation_id = "identitiesMint",
    tag = "identities",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body = IdentityDraftView,
    responses(
        (status = 201, description = "Minted.", body = IdentityReplyView,
            headers(("ETag" = String), ("Location" = String), ("Idempotency-Replayed" = String))),
        (status = 403, description = "`quota_exceeded`: you have had as many identities minted as your quota allows."),
        (status = 422, description = "A value is not acceptable, such as an e-mail address in `metadata`."),
    ),
))]
pub async fn mint(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the draft and the idempotency key.
    let body = request.json_bytes().await?;
    let draft = input::draft(&body)?;
    let key = Idempotency::of(request, "chittyid.mint", &body)?;
    // 2. Replay a stored reply, or check the quota and record the intent to mint, in one round trip.
    let intent = match &key {
        Some(key) => MintIntent::keyed(app, "identity", scope.actor(), key.key()),
        None => MintIntent::new(app, "identity", scope.actor()),
    };
    let now = time::iso8601(request.now_ms);
    let quota = Quotas::of(app).of_caller(QuotaKind::Identities, &scope, &now);
    let stored = store::admit(ready, &scope, &quota, key.as_ref(), &intent, request.now_ms).await?;
    if let Some(replay) = idempotency::replay(key.as_ref(), stored)? {
        return Ok(replay);
    }
    // 3. Have ChittyID mint the id.
    let metadata = metadata(&draft, &scope);
    let minted = intent.mint(app, ready, &request.session(&app.core), draft.label, metadata).await;
    let id = minted.map_err(|error| {
        Problem::upstream(
            Code::IdentityAuthorityUnavailable,
            "ChittyID did not mint an identity, so nothing was stored. Repeat the request later.",
            &error,
        )
    })?;
    // Steps 4 and 5 are in `perform`.
    CheckedMint { app, ready, scope, request, draft, quota, key, intent, id }.perform().await
}

/// Returns the metadata that ChittyID keeps with the id: that of the caller, and the names of the caller and
/// of this gateway.
fn metadata(draft: &MintDraft, scope: &Scope) -> Value {
    let mut metadata: Map<String, Value> = draft.metadata.as_object().cloned().unwrap_or_default();
    metadata.insert("owner".to_owned(), scope.actor().into());
    metadata.insert("service".to_owned(), "chittyconnect".into());
    metadata.into()
}

/// A mint that has passed every check and has its id from ChittyID.
struct CheckedMint<'a> {
    app: &'a App,
    ready: Ready<'a>,
    scope: Scope,
    request: &'a Request<'a>,
    draft: MintDraft,
    quota: Quota,
    key: Option<Idempotency>,
    intent: MintIntent,
    id: ChittyId,
}

impl CheckedMint<'_> {
    async fn perform(&self) -> Outcome {
        // 4. Store the identity, the event and the reply in one batch.
        let payload = json!({ "type": self.draft.label.label() });
        let (kind, now_ms) = (EventKind::IdentityMinted, self.app.now_ms());
        let id = self.id.as_str();
        let event = Event::caused(self.request, &self.scope, kind, id, payload, now_ms);
        let quotas = slice::from_ref(&self.quota);
        let place = "/api/chittyid/validate";
        let creation = Creation::new(self.app, event, place, quotas, self.key.as_ref());
        let (intent, draft) = (&self.intent, &self.draft);
        let insertion = Insertion { id: &self.id, draft, intent, creation: &creation };
        let text = match store::insert(self.ready, &self.scope, &insertion).await {
            Ok(text) => text,
            Err(failure) => match self.recover(failure, &creation.event).await? {
                Recovery::Committed(text) => text,
                Recovery::Replayed(reply) => return Ok(reply),
            },
        };
        // 5. Reply, and announce the event.
        Ok(creation.reply(text))
    }

    /// Handles a batch that failed. Returns the reply if there is one in spite of that, or the problem.
    async fn recover(&self, failure: Failure, event: &Event) -> Result<Recovery, Problem> {
        let reason = match &failure {
            Failure::Other(WriteError::Db(DbError::OverQuota(_))) => "quota_exceeded",
            Failure::Other(WriteError::Refused(_)) => "not_authorized",
            Failure::Other(WriteError::Db(_)) => {
                if let Ok(Some(text)) = store::committed_reply(self.ready, &self.id, event).await {
                    return Ok(Recovery::Committed(text));
                }
                "storage_unavailable"
            }
            Failure::Given | Failure::LostRace => {
                // An authority that recognises repeats has given both requests the same identity, which the
                // stored reply contains.
                if let Some(reply) = self.replay().await? {
                    self.settle(&reply).await;
                    return Ok(Recovery::Replayed(reply));
                }
                if let Failure::Given = failure {
                    // The identity belongs to another request, so this one must not report it. ChittyID may
                    // have minted one for this request too, so the intent stays to be reported.
                    return Err(failure.into());
                }
                "idempotency_race"
            }
        };
        self.intent.report_orphan(self.app, self.ready, &self.id, reason).await;
        Err(failure.into())
    }

    /// Settles the intent after a faster request with the same key: withdraws it if that request stored the
    /// same id, else reports this request's id as orphaned.
    async fn settle(&self, reply: &Reply) {
        let is_same = match &reply.body {
            Body::Json(text) => serde_json::from_str::<Value>(text)
                .is_ok_and(|body| body.get("chitty_id") == Some(&self.id.as_str().into())),
            _ => false,
        };
        match is_same {
            true => self.intent.withdraw(self.ready).await,
            false => {
                self.intent.report_orphan(self.app, self.ready, &self.id, "idempotency_race").await;
            }
        }
    }

    /// Returns the reply that another request with this key has stored, if there is one.
    async fn replay(&self) -> Result<Option<Reply>, Problem> {
        let now_ms = self.request.now_ms;
        idempotency::find(self.ready, &self.scope, self.key.as_ref(), now_ms).await
    }
}

/// Have a ChittyID validated.
///
/// A text without the form or the checksum of a ChittyID is not valid; the gateway does not ask ChittyID
/// about it.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/api/chittyid/validate",
    operation_id = "identitiesValidate",
    tag = "identities",
    request_body = IdentityValidationView,
    responses(
        (status = 200, description = "Whether it is valid.", body = ValidityView),
        (status = 422, description = "There is no id in the body."),
    ),
))]
pub async fn validate(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the id. Steps 2 to 4 are in `verdict`.
    let body = request.json_bytes().await?;
    let asked = input::id_text(&body)?;
    verdict(app, ready, &scope, request, &asked).await
}

/// Have the ChittyID of the path validated.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/api/chittyid/validate/{id}",
    operation_id = "identitiesShowValidity",
    tag = "identities",
    params(("id" = String, Path, description = "The ChittyID.")),
    responses((status = 200, description = "Whether it is valid.", body = ValidityView)),
))]
pub async fn show(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    verdict(app, ready, &scope, request, &request.id).await
}

async fn verdict(
    app: &App,
    ready: Ready<'_>,
    scope: &Scope,
    request: &Request<'_>,
    asked: &str,
) -> Outcome {
    // 2. Check the permission.
    scope.check(ready).await?;
    // 3. Ask ChittyID about an id that has the form of one.
    let (status, id, reason) = match ChittyId::parse(asked) {
        Err(error @ IdError::ErrorId) => ("pending", None, Some(error.to_string())),
        Err(error) => ("invalid", None, Some(error.to_string())),
        Ok(id) => {
            let said =
                request.session(&app.core).id().validate(id.as_str()).await.map_err(|error| {
                    Problem::upstream(
                        Code::IdentityAuthorityUnavailable,
                        "ChittyID did not say whether the id is valid. Repeat the request later.",
                        &error,
                    )
                })?;
            let (status, reason) = match said {
                Validity::Valid => ("valid", None),
                Validity::Invalid => {
                    ("invalid", Some("ChittyID says that it is not valid".to_owned()))
                }
                Validity::Pending => {
                    ("pending", Some("it stands for an identity not minted yet".to_owned()))
                }
            };
            (status, Some(id), reason)
        }
    };
    // 4. Reply with the verdict.
    let shown = id.as_ref().map_or(asked, ChittyId::as_str);
    let text = json!({
        "success": true,
        "valid": status == "valid",
        "status": status,
        "chittyId": shown,
        "chitty_id": shown,
        "error": reason,
    });
    Ok(Reply::json(text.to_string()))
}
