//! What an event makes happen elsewhere: an entry in ChittyChronicle; for contexts, actors and
//! installations a step in their lineage at ChittyDNA; for changes of a service's state a sign of life
//! to Beacon.

use chitty_core::{CallContext, ChittyId, Entry, ServiceError, Session};
use serde_json::json;

use crate::app::App;
use crate::events::{Event, EventKind};
use crate::platform::log;

/// One effect, as the outbox notes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// An entry in ChittyChronicle.
    Chronicle,
    /// A step at ChittyDNA. As good as it gets: one that is refused is left out.
    Dna,
    /// A sign of life to Beacon.
    Beacon,
}

impl Effect {
    /// Its name in the outbox.
    pub fn as_str(self) -> &'static str {
        match self {
            Effect::Chronicle => "chronicle",
            Effect::Dna => "dna",
            Effect::Beacon => "beacon",
        }
    }
}

/// The effects of a kind of event, in their order.
pub fn of(kind: &EventKind) -> &'static [Effect] {
    match kind {
        EventKind::ContextCreated
        | EventKind::ContextUpdated
        | EventKind::ContextDeleted
        | EventKind::ActorRegistered
        | EventKind::ActorUpdated
        | EventKind::AppInstalled => &[Effect::Chronicle, Effect::Dna],
        EventKind::Github(_) if kind.entity_type() == "installation" => {
            &[Effect::Chronicle, Effect::Dna]
        }
        EventKind::ServiceStateChanged => &[Effect::Chronicle, Effect::Beacon],
        _ => &[Effect::Chronicle],
    }
}

/// Why an effect did not take place.
#[derive(Debug)]
pub struct Failure {
    /// What the service said, without anything of the caller's.
    pub error: String,
    /// It may take place later.
    pub is_transient: bool,
    /// It may have taken place all the same.
    pub in_doubt: bool,
    /// When the service is to be asked again, if it said so, in seconds.
    pub retry_after_s: Option<u32>,
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Failure {
            // An answer that cannot be read is an outage, too.
            is_transient: error.is_retryable() || error.may_have_had_its_effect(),
            in_doubt: error.may_have_had_its_effect(),
            retry_after_s: error.retry_after_s,
            error: error.to_string(),
        }
    }
}

/// Makes an effect take place. `in_doubt` says that it may have taken place before: then the service is
/// asked first, where it can tell.
///
/// # Errors
/// [`Failure`].
pub async fn perform(
    app: &App,
    event: &Event,
    effect: Effect,
    in_doubt: bool,
) -> Result<(), Failure> {
    let cx = CallContext { traceparent: event.traceparent.clone(), ..CallContext::default() };
    let session = app.core.session(cx);
    match effect {
        Effect::Chronicle => tell_chronicle(&session, event, in_doubt).await,
        Effect::Beacon => Ok(tell_beacon(&session, event).await?),
        Effect::Dna => match tell_dna(&session, event).await {
            Err(failure) if !failure.is_transient => {
                // Such as a step in the lineage of somebody who has never registered.
                let fields = [("event_id", event.id.as_str()), ("error", &failure.error)];
                log::info("lineage_refused", &fields);
                Ok(())
            }
            told => told,
        },
    }
}

async fn tell_chronicle(session: &Session, event: &Event, in_doubt: bool) -> Result<(), Failure> {
    let chronicle = session.chronicle();
    let entry = Entry {
        action: event.kind.as_str(),
        actor: &event.actor_id,
        entity_id: &event.entity_id,
        entity_type: event.kind.entity_type(),
        event_id: &event.id,
        timestamp: &event.at,
        payload: &event.payload,
    };
    if in_doubt {
        let is_there = chronicle.has(&entry).await.map_err(|error| {
            // To ask was no telling: what was in doubt before still is, and nothing more.
            Failure { is_transient: true, in_doubt: true, ..Failure::from(error) }
        })?;
        if is_there {
            return Ok(());
        }
    }
    Ok(chronicle.append(&entry).await?)
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

/// Begins the lineage of an entity or takes it a step further.
async fn tell_dna(session: &Session, event: &Event) -> Result<(), Failure> {
    let Ok(id) = ChittyId::parse(&event.entity_id) else { return Ok(()) };
    let kind = event.kind.entity_type();
    let begins = matches!(
        event.kind,
        EventKind::ContextCreated | EventKind::ActorRegistered | EventKind::AppInstalled
    );
    if !begins {
        let changes = json!({ "eventId": event.id, "changes": event.payload });
        return Ok(session.dna().evolve(&id, event.kind.as_str(), changes, &event.at).await?);
    }
    let genesis = json!({
        "timestamp": event.at, "service": "chittyconnect", "version": crate::config::VERSION,
        "eventId": event.id,
    });
    // Its id is not kept: the entity would be another one without anybody having changed it.
    session.dna().initialize(&id, kind, genesis).await?;
    Ok(())
}
