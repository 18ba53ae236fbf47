//! The queue consumer: gives each event its effects: an entry in ChittyChronicle, and for changes of
//! a service's state also a sign of life to Beacon.
//!
//! Why it may be delivered any number of times: an event whose row is done is acknowledged without
//! effect; the entry carries the event's id; the row is marked after the entry. A crash between the
//! two tells the event again under the same id, by which Chronicle's readers recognise the repeat.

use chitty_core::{Backoff, CallContext, Entry, ServiceError, Session};
use serde_json::json;

use crate::app::App;
use crate::events::{Event, Message, outbox};
use crate::init::Ready;
use crate::platform::log;
use crate::platform::queue::Delivery;

/// The pauses between deliveries of one message, in seconds.
const PAUSES_S: Backoff = Backoff { first: 2, longest: 300 };

/// Deals with one batch. Each message gets its own verdict; one bad message never fails another.
pub async fn consume(app: &App, deliveries: &[&dyn Delivery]) {
    let Ok(ready) = Ready::ensure(app).await else {
        deliveries.iter().for_each(|delivery| retry(app, *delivery, None));
        return;
    };
    let decoded: Vec<(&dyn Delivery, Option<Event>)> =
        deliveries.iter().map(|delivery| (*delivery, decode(*delivery))).collect();
    let ids: Vec<&str> =
        decoded.iter().filter_map(|(_, event)| Some(event.as_ref()?.id.as_str())).collect();
    let told = match outbox::told(ready, &ids).await {
        Ok(told) => told,
        Err(error) => {
            log::warn("consume_failed", &[("error", &error.to_string())]);
            deliveries.iter().for_each(|delivery| retry(app, *delivery, None));
            return;
        }
    };
    for (delivery, event) in decoded {
        // An unknown version or a broken message: past the retries it is a dead letter.
        let Some(event) = event else {
            retry(app, delivery, None);
            continue;
        };
        let told = told.iter().find(|told| told.event_id == event.id);
        match told {
            Some(told) if told.is_done => delivery.ack(),
            told => {
                let effects = told.map_or("", |told| told.effects.as_str());
                tell(app, ready, delivery, &event, effects).await;
            }
        }
    }
}

fn decode(delivery: &dyn Delivery) -> Option<Event> {
    let decoded = delivery.body().ok_or("not a text".to_owned()).and_then(|body| {
        serde_json::from_str(&body).map_err(|error: serde_json::Error| error.to_string())
    });
    match decoded {
        Ok(Message::V1(event)) => Some(event),
        Err(error) => {
            log::error("message_unreadable", &[("error", &error)]);
            None
        }
    }
}

/// The effects that an event can have, as the outbox notes them.
const CHRONICLE: &str = "chronicle";
const BEACON: &str = "beacon";

/// Gives an event its effects, but for those that have taken place. One service that is down keeps
/// nothing from another.
async fn tell(app: &App, ready: Ready<'_>, delivery: &dyn Delivery, event: &Event, effects: &str) {
    let cx = CallContext { traceparent: event.traceparent.clone(), ..CallContext::default() };
    let session = app.core.session(cx);
    let mut done: Vec<&str> = effects.split_ascii_whitespace().collect();
    let mut failure = None;
    let wanted = [(CHRONICLE, true), (BEACON, event.kind.is_sign_of_life())];
    for (effect, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        if done.contains(&effect) {
            continue;
        }
        let told = match effect {
            BEACON => tell_beacon(&session, event).await,
            _ => tell_chronicle(&session, event).await,
        };
        match told {
            Ok(()) => done.push(effect),
            Err(error) => failure = Some(error),
        }
    }
    let noted = match &failure {
        None => outbox::mark_done(ready, &event.id, app.now_ms()).await,
        Some(error) => {
            let error = error.to_string();
            log::warn("event_not_told", &[("event", &event.id), ("error", &error)]);
            outbox::mark_failed(ready, &event.id, &error, &done.join(" ")).await
        }
    };
    if let Err(error) = noted {
        log::warn("outbox_not_marked", &[("event", &event.id), ("error", &error.to_string())]);
    }
    match failure {
        None => delivery.ack(),
        Some(error) => retry(app, delivery, error.retry_after_s),
    }
}

async fn tell_chronicle(session: &Session, event: &Event) -> Result<(), ServiceError> {
    let entry = Entry {
        action: event.kind.as_str(),
        actor: &event.actor_id,
        entity_id: &event.entity_id,
        entity_type: event.kind.entity_type(),
        event_id: &event.id,
        timestamp: &event.at,
        payload: &event.payload,
    };
    session.chronicle().append(&entry).await
}

async fn tell_beacon(session: &Session, event: &Event) -> Result<(), ServiceError> {
    let data = json!({
        "eventId": event.id,
        "service": event.entity_id,
        "timestamp": event.at,
        "payload": event.payload,
    });
    session.beacon().send(event.kind.as_str(), data).await
}

/// Asks for another delivery, after a growing pause, or when the service asked for it.
fn retry(app: &App, delivery: &dyn Delivery, asked_s: Option<u32>) {
    let pause_s = PAUSES_S.pause(delivery.attempts(), |bound| app.jitter(bound));
    delivery.retry(pause_s.max(asked_s.unwrap_or(0)).min(PAUSES_S.longest));
}
