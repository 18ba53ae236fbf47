//! The queue consumer: gives each event its effect, an entry in ChittyChronicle.
//!
//! Why it may be delivered any number of times: an event whose row is done is acknowledged without
//! effect; the entry carries the event's id; the row is marked after the entry. A crash between the
//! two tells the event again under the same id, by which Chronicle's readers recognise the repeat.

use chitty_core::{Backoff, CallContext, Entry};

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
    let done = match outbox::done(ready, &ids).await {
        Ok(done) => done,
        Err(error) => {
            log::warn("consume_failed", &[("error", &error.to_string())]);
            deliveries.iter().for_each(|delivery| retry(app, *delivery, None));
            return;
        }
    };
    for (delivery, event) in decoded {
        match event {
            // An unknown version or a broken message: past the retries it is a dead letter.
            None => retry(app, delivery, None),
            Some(event) if done.contains(&event.id) => delivery.ack(),
            Some(event) => tell(app, ready, delivery, &event).await,
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

async fn tell(app: &App, ready: Ready<'_>, delivery: &dyn Delivery, event: &Event) {
    let entry = Entry {
        action: event.kind.as_str(),
        actor: &event.actor_id,
        entity_id: &event.entity_id,
        entity_type: event.kind.entity_type(),
        event_id: &event.id,
        timestamp: &event.at,
        payload: &event.payload,
    };
    let cx = CallContext { traceparent: event.traceparent.clone(), ..CallContext::default() };
    let told = app.core.session(cx).chronicle().append(&entry).await;
    let noted = match &told {
        Ok(()) => outbox::mark_done(ready, &event.id, app.now_ms()).await,
        Err(error) => {
            log::warn("event_not_told", &[("event", &event.id), ("error", &error.to_string())]);
            outbox::mark_failed(ready, &event.id, &error.to_string()).await
        }
    };
    if let Err(error) = noted {
        log::warn("outbox_not_marked", &[("event", &event.id), ("error", &error.to_string())]);
    }
    match told {
        Ok(()) => delivery.ack(),
        Err(error) => retry(app, delivery, error.retry_after_s),
    }
}

/// Asks for another delivery, after a growing pause, or when the service asked for it.
fn retry(app: &App, delivery: &dyn Delivery, asked_s: Option<u32>) {
    let pause_s = PAUSES_S.pause(delivery.attempts(), |bound| app.jitter(bound));
    delivery.retry(pause_s.max(asked_s.unwrap_or(0)).min(PAUSES_S.longest));
}
