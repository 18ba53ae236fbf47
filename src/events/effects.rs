//! The effects of an event at other services: an entry in ChittyChronicle; for contexts, actors and
//! installations also a step of their lineage at ChittyDNA; for changes of a service's state also a report to
//! Beacon.

use chitty_core::{CallContext, ChittyId, Entry, ServiceError, Session, timeline_id};
use seams::{log, time};
use serde_json::json;

use crate::app::App;
use crate::events::foreign_ids::ForeignId;
use crate::store::event::{Event, EventKind};

/// One effect, as the outbox records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// An entry in ChittyChronicle.
    Chronicle,
    /// A step of a lineage at ChittyDNA. Best effort: a step that is refused is left out.
    Dna,
    /// A report to Beacon.
    Beacon,
}

impl Effect {
    /// The effect's name in the outbox.
    pub fn as_str(self) -> &'static str {
        match self {
            Effect::Chronicle => "chronicle",
            Effect::Dna => "dna",
            Effect::Beacon => "beacon",
        }
    }
}

/// A set of effects of an event, as the outbox records it: their names, separated by blanks. Names that this
/// version does not know are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects(Vec<String>);

impl Effects {
    /// Reads the text of the outbox.
    pub fn parse(text: &str) -> Self {
        Effects(text.split_ascii_whitespace().map(str::to_owned).collect())
    }

    /// Returns the text for the outbox.
    pub fn text(&self) -> String {
        self.0.join(" ")
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the set contains an effect.
    pub fn has(&self, effect: Effect) -> bool {
        self.0.iter().any(|name| name == effect.as_str())
    }

    /// Adds an effect.
    pub fn add(&mut self, effect: Effect) {
        if !self.has(effect) {
            self.0.push(effect.as_str().to_owned());
        }
    }

    /// Removes an effect.
    pub fn remove(&mut self, effect: Effect) {
        self.0.retain(|name| name != effect.as_str());
    }
}

impl FromIterator<Effect> for Effects {
    fn from_iter<I: IntoIterator<Item = Effect>>(effects: I) -> Self {
        let mut all = Effects::default();
        effects.into_iter().for_each(|effect| all.add(effect));
        all
    }
}

/// Returns the effects of a kind of event, in the order in which they take place.
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
    /// The error of the service, without any data of the caller.
    pub error: String,
    /// Whether a later attempt may succeed: the answer was not about the event.
    pub is_transient: bool,
    /// Whether the effect may have taken place despite the failure.
    pub in_doubt: bool,
    /// The pause that the service asked for, in seconds.
    pub retry_after_s: Option<u32>,
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Failure {
            is_transient: error.is_retryable(),
            in_doubt: error.may_have_had_its_effect(),
            retry_after_s: error.retry_after_s,
            error: error.to_string(),
        }
    }
}

/// What is known of an effect before an attempt at it.
#[derive(Debug, Clone, Copy)]
pub struct History {
    /// Whether the effect may have taken place before. Then the service is asked first, if it can tell.
    pub in_doubt: bool,
    /// Whether the event was given up before and then replayed.
    pub is_replayed: bool,
}

/// Makes an effect take place. Returns the id that the service gave the entity, if the gateway is to store
/// it.
///
/// # Errors
/// [`Failure`].
pub async fn perform(
    app: &App,
    event: &Event,
    effect: Effect,
    history: History,
) -> Result<Option<ForeignId>, Failure> {
    let cx = CallContext { traceparent: event.traceparent.clone(), ..CallContext::default() };
    let session = app.core.session(cx);
    match effect {
        Effect::Chronicle => tell_chronicle(&session, event, history).await,
        Effect::Beacon => Ok(tell_beacon(&session, event).await.map(|()| None)?),
        Effect::Dna => match tell_dna(&session, event).await {
            Err(failure) if !failure.is_transient => {
                // Best effort: the lineage goes on without this step.
                let fields = [("event_id", event.id.as_str()), ("error", &failure.error)];
                log::warn("lineage_refused", &fields);
                Ok(None)
            }
            told => told,
        },
    }
}

/// How far the clock of ChittyChronicle may be behind the gateway's, in ms: a lookup of an entry begins that
/// much before the event.
const CLOCKS_APART_MS: u64 = 600_000;

async fn tell_chronicle(
    session: &Session,
    event: &Event,
    history: History,
) -> Result<Option<ForeignId>, Failure> {
    let chronicle = session.chronicle();
    let entry = Entry {
        action: event.kind.as_str(),
        actor: &event.actor_id,
        entity_id: &event.entity_id,
        entity_type: event.kind.entity_type(),
        event_id: event.id.as_str(),
        timestamp: &event.at,
        payload: &event.payload,
        is_replayed: history.is_replayed,
    };
    if history.in_doubt {
        let since = time::parse(&event.at).unwrap_or_default().saturating_sub(CLOCKS_APART_MS);
        let found = chronicle.find_entry(&entry, &time::iso8601(since)).await.map_err(|error| {
            let what = format!("the lookup of the entry failed: {error}");
            // A lookup has no effect, so its failure puts nothing in doubt.
            Failure { in_doubt: false, error: what, ..Failure::from(error) }
        })?;
        if let Some(found) = found {
            return Ok(timeline_id(&found).map(ForeignId::TimelineId));
        }
    }
    Ok(chronicle.append(&entry).await?.map(ForeignId::TimelineId))
}

async fn tell_beacon(session: &Session, event: &Event) -> Result<(), ServiceError> {
    let data = json!({
        "eventId": event.id,
        "service": event.entity_id,
        "timestamp": event.at,
        "payload": event.payload,
    });
    session.beacon().send(event.kind.as_str(), data, Some(event.id.as_str())).await
}

/// Begins the lineage of an entity, or adds a step to it. If the entity has no lineage, for example because
/// its beginning was refused, begins one first.
async fn tell_dna(session: &Session, event: &Event) -> Result<Option<ForeignId>, Failure> {
    let Ok(id) = ChittyId::parse(&event.entity_id) else { return Ok(None) };
    let begins = matches!(
        event.kind,
        EventKind::ContextCreated | EventKind::ActorRegistered | EventKind::AppInstalled
    );
    if begins {
        return Ok(begin_lineage(session, event, &id).await?);
    }
    match add_step(session, event, &id).await {
        // Either the lineage or the service's endpoint is missing: beginning a lineage shows which.
        Err(error) if error.status == Some(404) => {
            let begun = begin_lineage(session, event, &id).await?;
            match add_step(session, event, &id).await {
                Err(error) if error.status == Some(404) => {
                    Err(Failure { is_transient: true, ..Failure::from(error) })
                }
                told => Ok(told?.or(begun)),
            }
        }
        told => Ok(told?),
    }
}

async fn begin_lineage(
    session: &Session,
    event: &Event,
    id: &ChittyId,
) -> Result<Option<ForeignId>, ServiceError> {
    let genesis = json!({
        "timestamp": event.at, "service": "chittyconnect", "version": crate::config::VERSION,
        "eventId": event.id,
    });
    let begun = session.dna().initialize(id, event.kind.entity_type(), genesis).await?;
    Ok(Some(ForeignId::DnaId(begun)))
}

async fn add_step(
    session: &Session,
    event: &Event,
    id: &ChittyId,
) -> Result<Option<ForeignId>, ServiceError> {
    let changes = json!({ "eventId": event.id, "changes": event.payload });
    let (kind, key) = (event.kind.as_str(), Some(event.id.as_str()));
    let told = session.dna().evolve(id, kind, changes, &event.at, key).await?;
    Ok(told.map(ForeignId::DnaId))
}
