//! `POST /integrations/github/webhook`: receives GitHub's deliveries.
//!
//! 1. The handler verifies the signature before it reads anything else of the delivery.
//! 2. It refuses a delivery that can never be read with a 4xx, which GitHub shows as failed (red).
//! 3. It puts the delivery on the queue. A payload that is too long for a message goes to storage, and
//!    the message carries its key.
//! 4. Only then it acknowledges the delivery. Any other failure before that is a 5xx, so that GitHub
//!    counts the delivery as failed; nothing has marked it as seen, so a redelivery is accepted.
//!
//! The consumer detects duplicates when it records a delivery ([`super::deliveries`]). A check here would
//! cost each delivery a round trip and would change nothing in the end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;

use futures_util::future::{Either, select};
use http_kit::problem::{Code, FieldError, Problem};
use http_kit::request::{Request, no_body};
use seams::inbound::{BodyError, Intake, RuntimeBody};
use seams::{log, time};
use serde_json::json;

use crate::access::limits::Limits;
use crate::access::rates::Class;
use crate::access::reply::{Body, Outcome, Reply};
use crate::app::{App, Settings as _, Slot};
use crate::github::encoding::Encoding;
use crate::github::message::{self, MessageKind, PayloadPlace, WebhookDelivery};
use crate::github::payload::Facts;
use crate::github::settings::Settings;
use crate::github::signature;

#[cfg(not(target_family = "wasm"))]
use crate::github::views::WebhookView;

/// The largest payload that GitHub sends: 25 MB.
const MAX_PAYLOAD_BYTES: usize = 25 << 20;

/// The longest body, in bytes, whose signature this program verifies itself; for longer ones the
/// runtime's HMAC is faster.
const VERIFIED_HERE_BYTES: usize = 2 << 10;

/// The most bytes of long payloads that an isolate holds at a time. The platform gives an isolate 128 MB
/// in all, and while a payload is assembled from its pieces a second copy of it exists.
const MAX_HELD_BYTES: usize = 52 << 20;

/// The most of these bytes that one sender may hold, so that no sender can keep out all others.
const MAX_SENDER_BYTES: usize = MAX_HELD_BYTES / 2;

/// How long the upload of a long body may take, in ms. GitHub itself gives up after ten seconds.
const MAX_BODY_MS: u64 = 30_000;

/// How long the upload may stall, in ms.
const MAX_IDLE_MS: u64 = 5_000;

/// How long a stored payload is kept until it is recorded, in seconds: seven days, longer than the three
/// days for which GitHub redelivers.
const STORED_FOR_S: u32 = 7 * 24 * 3600;

/// How many bytes of long payloads this isolate holds at the moment, by sender.
#[derive(Debug, Default)]
pub struct Payloads(RefCell<BTreeMap<String, usize>>);

impl Slot for Payloads {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// The bytes of one incoming body that count against the limits: as many as have arrived. Dropping the
/// share frees them.
struct Share<'a> {
    held: &'a Payloads,
    sender: String,
    bytes: Cell<usize>,
}

impl Payloads {
    /// Returns a share of no bytes yet.
    fn share(&self, sender: String) -> Share<'_> {
        Share { held: self, sender, bytes: Cell::new(0) }
    }
}

impl Intake for Share<'_> {
    fn take(&self, bytes: usize) -> bool {
        let mut held = self.held.0.borrow_mut();
        let own = held.get(&self.sender).copied().unwrap_or_default() + bytes;
        let all = held.values().sum::<usize>() + bytes;
        if own > MAX_SENDER_BYTES || all > MAX_HELD_BYTES {
            return false;
        }
        held.insert(self.sender.clone(), own);
        self.bytes.set(self.bytes.get() + bytes);
        true
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut held = self.held.0.borrow_mut();
        let left = held.get(&self.sender).copied().unwrap_or_default();
        match left.saturating_sub(self.bytes.get()) {
            0 => held.remove(&self.sender),
            left => held.insert(self.sender.clone(), left),
        };
    }
}

/// Accept a webhook delivery from GitHub.
///
/// The gateway acknowledges a delivery as soon as it is safely on the queue, and processes it once, later.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/integrations/github/webhook",
    operation_id = "githubWebhook",
    tag = "github",
    params(
        ("X-Hub-Signature-256" = String, Header, description = "`sha256=` and the HMAC-SHA256 of the body."),
        ("X-GitHub-Event" = String, Header, description = "The name of the event."),
        ("X-GitHub-Delivery" = String, Header, description = "The id of the delivery."),
    ),
    request_body(description = "The payload, up to 25 MB: as JSON, or as the field `payload` of a form. The signature covers the body as sent.", content(
        (serde_json::Value = "application/json"),
        (String = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 202, description = "The delivery is on the queue.", body = WebhookView),
        (status = 400, description = "A header is missing, or the body is not JSON."),
        (status = 401, description = "`invalid_signature`: the signature is missing or wrong."),
        (status = 415, description = "The `Content-Type` is neither JSON nor a form."),
        (status = 422, description = "The payload lacks a member that this event always has at GitHub."),
    ),
))]
pub async fn receive(app: &App, request: &Request<'_>) -> Outcome {
    let share = Payloads::of(app).share(Limits::sender(request));
    // 1. Verify the signature over the body as it was sent.
    let body = verified_body(app, request, &share).await?;
    // 2. Read the headers and the payload; refuse a delivery that can never be read.
    let delivered = read_headers(request)?;
    let payload = payload(&delivered, &*body)?;
    // 3. Put the delivery on the queue, and a payload that is too long for it into storage.
    let reply = accepted(&delivered);
    enqueue(app, delivered, &*body, payload).await?;
    drop(share);
    // 4. Acknowledge the delivery.
    Ok(reply)
}

/// Decodes the payload of a delivery and refuses one that the App cannot read. Returns `None` for a
/// payload that is too long for a queue message. At most one long payload at a time is in this program's
/// memory, as in the consumer.
fn payload(delivered: &WebhookDelivery, body: &dyn RuntimeBody) -> Result<Option<String>, Problem> {
    let note = |error: &str| {
        let fields = [("delivery_id", delivered.delivery_id.as_str()), ("error", error)];
        log::warn("webhook_unreadable", &fields);
    };
    let broken = |error: String| {
        note(&error);
        let detail = format!("The delivery is signed but cannot be read: {error}.");
        Problem::new(Code::MalformedRequest, detail)
    };
    let is_long = body.length() + 1024 > message::MAX_BYTES;
    let payload = delivered.encoding.payload(body.bytes()).map_err(broken)?;
    let payload = String::from_utf8(payload).map_err(|_| broken("it is not UTF-8".to_owned()))?;
    let facts = Facts::read(payload.as_bytes()).map_err(broken)?;
    let missing = facts.missing(&delivered.event);
    if missing.is_empty() {
        return Ok((!is_long).then_some(payload));
    }
    note(&format!("{} lacks {}", delivered.event, missing.join(", ")));
    let wrong = |pointer: &&str| FieldError::new(*pointer, "is missing, or not as GitHub sends it");
    Err(Problem::validation(missing.iter().map(wrong).collect()))
}

/// Returns the body, if it is signed with one of the webhook secrets.
async fn verified_body(
    app: &App,
    request: &Request<'_>,
    share: &Share<'_>,
) -> Result<Box<dyn RuntimeBody>, Problem> {
    let secrets = &Settings::of(app).webhook_secrets;
    if secrets.is_empty() {
        return Err(Problem::new(
            Code::NotReady,
            "This gateway has no webhook secret; GET /health lists what is missing.",
        ));
    }
    let Some(header) = request.header("x-hub-signature-256") else {
        return Err(refused(app, request, UNSIGNED).await);
    };
    let Some(code) = signature::code(&header) else {
        return Err(refused(app, request, NO_SIGNATURE).await);
    };
    let body = match is_long(request) {
        false => request.held_body(message::MAX_BYTES).await?,
        true => long_body(app, request, share).await?,
    };
    let is_good = if body.length() <= VERIFIED_HERE_BYTES {
        signature::is_good(secrets, &body.bytes(), &code)
    } else {
        let mut is_good = false;
        for secret in secrets {
            is_good |= body.has_hmac(secret, &code).await.map_err(|error| {
                log::error("signature_not_checked", &[("error", &error)]);
                not_accepted("the signature could not be checked")
            })?;
        }
        is_good
    };
    if is_good {
        return Ok(body);
    }
    if is_long(request) {
        Limits::of(app).charge_tenth(request, Class::Webhook);
    }
    Err(refused(app, request, OTHER_SECRET).await)
}

/// Whether a body may be too long for a queue message: its declared length is too large or missing.
fn is_long(request: &Request<'_>) -> bool {
    request.inbound.declared_length().is_none_or(|length| length > message::MAX_BYTES)
}

/// Reads a long body, if there is room for it and it arrives in time. A slow sender holds memory only for
/// the bytes that have arrived, and only for a limited time. A sender that has sent too many bodies which
/// were not GitHub's is refused unread.
async fn long_body(
    app: &App,
    request: &Request<'_>,
    share: &Share<'_>,
) -> Result<Box<dyn RuntimeBody>, Problem> {
    Limits::of(app).unless_spent(request, Class::Webhook)?;
    let body = pin!(request.inbound.gradual_body(MAX_PAYLOAD_BYTES, share));
    let error = match select(body, pin!(stalled(app, share))).await {
        Either::Left((Ok(body), _)) => return Ok(body),
        Either::Left((Err(BodyError::Crowded), _)) => {
            return Err(not_accepted("too many long payloads at once"));
        }
        Either::Left((Err(error), _)) => no_body(error, MAX_PAYLOAD_BYTES),
        Either::Right((why, _)) => not_accepted(why),
    };
    Limits::of(app).charge_tenth(request, Class::Webhook);
    Err(error)
}

/// Completes when a body has stalled or takes too long; returns which.
async fn stalled(app: &App, share: &Share<'_>) -> &'static str {
    const LOOK_MS: u64 = 1_000;
    let (mut seen, mut idle_ms) = (0, 0);
    for _ in 0..MAX_BODY_MS / LOOK_MS {
        app.sleep(LOOK_MS).await;
        let bytes = share.bytes.get();
        idle_ms = if bytes == seen { idle_ms + LOOK_MS } else { 0 };
        seen = bytes;
        if idle_ms >= MAX_IDLE_MS {
            return "the body has stalled";
        }
    }
    "the body took too long"
}

/// The error details for a delivery without a signature, with a malformed one, and with one under another
/// secret.
const UNSIGNED: &str = "The header `X-Hub-Signature-256` is missing: the webhook has no secret at GitHub. Set \
     one on the settings page of the App, the same as `GITHUB_WEBHOOK_SECRET`.";
const NO_SIGNATURE: &str = "The header `X-Hub-Signature-256` must be `sha256=` and 64 hexadecimal digits, as \
     GitHub sends it.";
const OTHER_SECRET: &str = "The body is not signed with the webhook secret of this gateway's GitHub App. Compare \
     the secret on the settings page of the App with `GITHUB_WEBHOOK_SECRET`.";

/// Returns the refusal of a delivery that GitHub has not signed, or 429 if its sender has sent too many.
async fn refused(app: &App, request: &Request<'_>, why: &'static str) -> Problem {
    match Limits::of(app).of_address(request, Class::Webhook).await {
        Err(limited) => limited,
        Ok(()) => Problem::new(Code::InvalidSignature, why),
    }
}

/// Reads from the headers what was delivered.
fn read_headers(request: &Request<'_>) -> Result<WebhookDelivery, Problem> {
    let header = |name: &'static str, is_sound: fn(u8) -> bool| {
        let value = request.header(name).unwrap_or_default();
        let sound = (1..=64).contains(&value.len()) && value.bytes().all(is_sound);
        let detail = || format!("The header `{name}` is missing, or not as GitHub sends it.");
        if sound { Ok(value) } else { Err(Problem::new(Code::MalformedRequest, detail())) }
    };
    Ok(WebhookDelivery {
        kind: MessageKind::Delivery,
        event: header("x-github-event", |b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'
        })?,
        delivery_id: header("x-github-delivery", |b| b.is_ascii_alphanumeric() || b == b'-')?,
        received_at: time::iso8601(request.now_ms),
        traceparent: Some(request.trace.traceparent.clone()),
        encoding: encoding(request)?,
        elsewhere: None,
    })
}

fn encoding(request: &Request<'_>) -> Result<Encoding, Problem> {
    let content_type = request.header("content-type").unwrap_or_default();
    Encoding::of(&content_type).ok_or_else(|| {
        Problem::new(
            Code::UnsupportedMediaType,
            "The `Content-Type` of a delivery must be `application/json` or \
             `application/x-www-form-urlencoded`: choose one of them on the settings page of the webhook.",
        )
    })
}

/// The key of `CHITTYCONNECT_KV` under which a payload waits to be recorded.
pub fn payload_key(delivery_id: &str) -> String {
    format!("github/payload/{delivery_id}")
}

/// Puts a delivery on the queue, and its payload into storage where `payload` is `None`.
async fn enqueue(
    app: &App,
    mut delivered: WebhookDelivery,
    body: &dyn RuntimeBody,
    payload: Option<String>,
) -> Result<(), Problem> {
    if payload.is_some() {
        delivered.encoding = Encoding::Json;
    } else {
        let key = payload_key(&delivered.delivery_id);
        let Some(storage) = &app.cache else { return Err(not_accepted("no storage is bound")) };
        storage.put_held(&key, body, STORED_FOR_S).await.map_err(|error| not_accepted(&error))?;
        delivered.elsewhere = Some(PayloadPlace::Stored(key));
    }
    let Some(queue) = &app.github_events else { return Err(not_accepted("no queue is bound")) };
    let message = message::encode(&delivered, payload.as_deref().unwrap_or_default());
    queue.send(vec![message]).await.map_err(|error| not_accepted(&error))
}

fn not_accepted(error: &str) -> Problem {
    log::error("webhook_not_taken", &[("error", error)]);
    Problem::new(
        Code::NotReady,
        "The gateway cannot accept the delivery just now and has not recorded it: deliver it again.",
    )
}

fn accepted(delivered: &WebhookDelivery) -> Reply {
    let text = json!({
        "status": "ok",
        "delivery_id": delivered.delivery_id,
        "deliveryId": delivered.delivery_id,
        "eventType": delivered.event,
    });
    Reply::new(202, Body::Json(text.to_string()))
}
