//! `POST /integrations/github/webhook`: the door for GitHub's deliveries.
//!
//! 1. The signature is checked before anything else is looked at.
//! 2. What cannot be read, now or ever, is refused with a 4xx, so that it is red at GitHub.
//! 3. The delivery is handed over: to the queue, or where it is too long for one, to storage with a
//!    message that says so.
//! 4. Only then it is acknowledged. Whatever fails before that is a 5xx, so that GitHub counts the
//!    delivery as failed; nothing has marked it as seen, so it is accepted when it comes again.
//!
//! Whether it is a repeat is found out when it is recorded ([`super::deliveries`]): here it would cost a
//! round trip of each delivery, and an answer that is the same in the end.

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
use crate::github::message::{self, Kind, PayloadPlace, WebhookDelivery};
use crate::github::payload::Facts;
use crate::github::settings::Settings;
use crate::github::signature;

#[cfg(not(target_family = "wasm"))]
use crate::github::views::WebhookView;

/// GitHub's own limit of a payload: 25 MB.
const MAX_PAYLOAD_BYTES: usize = 25 << 20;

/// Up to here a body is verified in this program; above, the runtime is faster.
const VERIFIED_HERE_BYTES: usize = 2 << 10;

/// How much of long payloads an isolate holds at a time, in bytes; the platform gives it 128 MB in all. While
/// one is put together there is another copy of it.
const MAX_HELD_BYTES: usize = 52 << 20;

/// How much of that one sender may have, in bytes: nobody can keep all others out.
const MAX_SENDER_BYTES: usize = MAX_HELD_BYTES / 2;

/// How long a long body may take, in ms: GitHub gives a delivery up after ten seconds.
const MAX_BODY_MS: u64 = 30_000;

/// How long nothing may come of it, in ms.
const MAX_IDLE_MS: u64 = 5_000;

/// How long a stored payload waits to be recorded, in seconds: as long as GitHub delivers again (three
/// days), and then some.
const STORED_FOR_S: u32 = 7 * 24 * 3600;

/// How much of long payloads this isolate holds at the moment, by sender.
#[derive(Debug, Default)]
pub struct Payloads(RefCell<BTreeMap<String, usize>>);

impl Slot for Payloads {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// A part of what may be held: as much as has come in. Given back when it is dropped.
struct Share<'a> {
    held: &'a Payloads,
    sender: String,
    bytes: Cell<usize>,
}

impl Payloads {
    /// A share with nothing in it yet.
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

/// Take a delivery of GitHub.
///
/// Acknowledged as soon as it is safely handed over; what follows from it happens afterwards, once.
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
    request_body(description = "The payload, up to 25 MB: as JSON, or as the field `payload` of a form. The signature is over the body as it is sent.", content(
        (serde_json::Value = "application/json"),
        (String = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 202, description = "Handed over.", body = WebhookView),
        (status = 400, description = "A header is missing, or the body is no JSON."),
        (status = 401, description = "`invalid_signature`: the signature is missing or wrong."),
        (status = 415, description = "The body is neither JSON nor a form, by its `Content-Type`."),
        (status = 422, description = "The payload lacks what this event has at GitHub."),
    ),
))]
pub async fn receive(app: &App, request: &Request<'_>) -> Outcome {
    let share = Payloads::of(app).share(Limits::sender(request));
    // 1. Check.
    let body = checked(app, request, &share).await?;
    let delivered = delivered(request)?;
    // 2. Read.
    let payload = payload(&delivered, &*body)?;
    // 3. Hand over.
    let reply = accepted(&delivered);
    hand_over(app, delivered, &*body, payload).await?;
    drop(share);
    // 4. Acknowledge.
    Ok(reply)
}

/// The payload of a delivery, if it is one that the App can read; `None` where it is too long for a queue.
/// At most one payload at a time is in this program's memory, as when it is dealt with.
fn payload(delivered: &WebhookDelivery, body: &dyn RuntimeBody) -> Result<Option<String>, Problem> {
    let note = |error: &str| {
        let fields = [("delivery_id", delivered.delivery_id.as_str()), ("error", error)];
        log::warn("webhook_unreadable", &fields);
    };
    let broken = |error: String| {
        note(&error);
        let detail = format!("The delivery is signed and cannot be read: {error}.");
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
    let wrong = |pointer: &&str| FieldError::new(*pointer, "is missing, or not like GitHub's");
    Err(Problem::validation(missing.iter().map(wrong).collect()))
}

/// The body, if it was signed with one of the secrets.
async fn checked(
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
        true => in_time(app, request, share).await?,
    };
    let is_good = if body.length() <= VERIFIED_HERE_BYTES {
        signature::is_good(secrets, &body.bytes(), &code)
    } else {
        let mut is_good = false;
        for secret in secrets {
            is_good |= body.has_hmac(secret, &code).await.map_err(|error| {
                log::error("signature_not_checked", &[("error", &error)]);
                not_taken("the signature could not be checked")
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

/// Whether a body may be longer than what a queue takes.
fn is_long(request: &Request<'_>) -> bool {
    request.inbound.declared_length().is_none_or(|length| length > message::MAX_BYTES)
}

/// A long body, if there is room for it and it comes in time: whoever holds it back holds no memory for
/// what has not come, and none at all for long. Of a sender of many that were not GitHub's none is read.
async fn in_time(
    app: &App,
    request: &Request<'_>,
    share: &Share<'_>,
) -> Result<Box<dyn RuntimeBody>, Problem> {
    Limits::of(app).unless_spent(request, Class::Webhook)?;
    let body = pin!(request.inbound.gradual_body(MAX_PAYLOAD_BYTES, share));
    let error = match select(body, pin!(stalled(app, share))).await {
        Either::Left((Ok(body), _)) => return Ok(body),
        Either::Left((Err(BodyError::Crowded), _)) => {
            return Err(not_taken("too many long payloads at once"));
        }
        Either::Left((Err(error), _)) => no_body(error, MAX_PAYLOAD_BYTES),
        Either::Right((why, _)) => not_taken(why),
    };
    Limits::of(app).charge_tenth(request, Class::Webhook);
    Err(error)
}

/// Completes when a body has come to a halt, or takes too long.
async fn stalled(app: &App, share: &Share<'_>) -> &'static str {
    const LOOK_MS: u64 = 1_000;
    let (mut seen, mut idle_ms) = (0, 0);
    for _ in 0..MAX_BODY_MS / LOOK_MS {
        app.sleep(LOOK_MS).await;
        let bytes = share.bytes.get();
        idle_ms = if bytes == seen { idle_ms + LOOK_MS } else { 0 };
        seen = bytes;
        if idle_ms >= MAX_IDLE_MS {
            return "the body has come to a halt";
        }
    }
    "the body did not come in time"
}

/// What is said of a delivery without a signature, without one that can be read, and of one by another
/// secret.
const UNSIGNED: &str = "The header `X-Hub-Signature-256` is missing: the webhook has no secret at GitHub. Set \
     one on the settings page of the App, the same as `GITHUB_WEBHOOK_SECRET`.";
const NO_SIGNATURE: &str = "The header `X-Hub-Signature-256` is not `sha256=` and 64 hexadecimal digits, as \
     GitHub sends it.";
const OTHER_SECRET: &str = "The body is not signed with the webhook secret of this gateway's GitHub App. Compare \
     the secret on the settings page of the App with `GITHUB_WEBHOOK_SECRET`.";

/// The refusal of a delivery that GitHub has not signed; who sends many is told to wait.
async fn refused(app: &App, request: &Request<'_>, why: &'static str) -> Problem {
    match Limits::of(app).of_address(request, Class::Webhook).await {
        Err(limited) => limited,
        Ok(()) => Problem::new(Code::InvalidSignature, why),
    }
}
fn delivered(request: &Request<'_>) -> Result<WebhookDelivery, Problem> {
    let header = |name: &'static str, is_sound: fn(u8) -> bool| {
        let value = request.header(name).unwrap_or_default();
        let sound = (1..=64).contains(&value.len()) && value.bytes().all(is_sound);
        let detail = || format!("The header `{name}` is missing or not like GitHub's.");
        if sound { Ok(value) } else { Err(Problem::new(Code::MalformedRequest, detail())) }
    };
    Ok(WebhookDelivery {
        kind: Kind::Delivery,
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
            "A delivery is `application/json` or `application/x-www-form-urlencoded`, by its \
             `Content-Type`: choose one of them on the settings page of the webhook.",
        )
    })
}

/// Under which key of `CHITTYCONNECT_KV` a payload waits.
pub fn payload_key(delivery_id: &str) -> String {
    format!("github/payload/{delivery_id}")
}

async fn hand_over(
    app: &App,
    mut delivered: WebhookDelivery,
    body: &dyn RuntimeBody,
    payload: Option<String>,
) -> Result<(), Problem> {
    if payload.is_some() {
        delivered.encoding = Encoding::Json;
    } else {
        let key = payload_key(&delivered.delivery_id);
        let Some(storage) = &app.cache else { return Err(not_taken("no storage is bound")) };
        storage.put_held(&key, body, STORED_FOR_S).await.map_err(|error| not_taken(&error))?;
        delivered.elsewhere = Some(PayloadPlace::Stored(key));
    }
    let Some(queue) = &app.github_events else { return Err(not_taken("no queue is bound")) };
    let message = message::encode(&delivered, payload.as_deref().unwrap_or_default());
    queue.send(vec![message]).await.map_err(|error| not_taken(&error))
}

fn not_taken(error: &str) -> Problem {
    log::error("webhook_not_taken", &[("error", error)]);
    Problem::new(
        Code::NotReady,
        "The delivery could not be taken just now. It was not recorded: deliver it again.",
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
