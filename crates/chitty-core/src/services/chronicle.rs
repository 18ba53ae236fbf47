//! ChittyChronicle (`chronicle.chitty.cc`): the record of what happened.

use serde_json::{Value, json};

use crate::error::ServiceError;
use crate::retry::Repeat;
use crate::service::Service;
use crate::session::Session;
use crate::wire::{self, Call, Variant, first_string};

/// One entry of the record.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// What happened, such as `context.created` (at most 100 bytes).
    pub action: &'a str,
    /// Who did it.
    pub actor: &'a str,
    /// The id of the entity to which it happened.
    pub entity_id: &'a str,
    /// The kind of the entity, such as `context`.
    pub entity_type: &'a str,
    /// The event's own id, by which a repeated entry is recognised.
    pub event_id: &'a str,
    /// When it happened, ISO-8601 UTC.
    pub timestamp: &'a str,
    /// More about it. No personal data.
    pub payload: &'a Value,
    /// Whether the event is a replayed dead letter, so that its entry may stand behind later events of its
    /// entity. The metadata then says `replayed: true`, and `timestamp` gives the true order.
    pub is_replayed: bool,
}

impl Entry<'_> {
    fn body(&self) -> Value {
        let mut metadata = json!({
            "event": self.action,
            "eventId": self.event_id,
            "entityId": self.entity_id,
            "entityType": self.entity_type,
            "timestamp": self.timestamp,
            "payload": self.payload,
        });
        if let (true, Some(metadata)) = (self.is_replayed, metadata.as_object_mut()) {
            metadata.insert("replayed".to_owned(), true.into());
        }
        json!({
            "service": SERVICE,
            "action": self.action,
            "userId": self.actor,
            "status": "success",
            "metadata": metadata,
        })
    }

    fn is(&self, found: &Value) -> bool {
        found.pointer("/metadata/eventId").and_then(Value::as_str) == Some(self.event_id)
    }
}

/// Reads the id of an entry's timeline, from Chronicle's answer or from the entry itself. If Chronicle
/// knows no timelines, returns the id of the entry: an entity's first entry is where its timeline begins.
pub fn timeline_id(answer: &Value) -> Option<String> {
    let names = ["timeline_id", "timelineId", "chitty_chronicle_timeline_id", "id"];
    first_string(answer, &names).map(str::to_owned)
}

/// The service in whose name this program appends entries.
const SERVICE: &str = "chittyconnect";

/// How many entries to ask for when searching for an event's id: its own entry and some that mention it.
const FEW: u32 = 5;

/// How many entries of a kind and actor to look through if Chronicle ignores the search words.
const MANY: u32 = 100;

/// A query of the record: the newest `limit` entries that match all given fields.
#[derive(Debug, Clone, Default)]
pub struct EntryQuery<'a> {
    /// Of this service.
    pub service: Option<&'a str>,
    /// Of this kind.
    pub action: Option<&'a str>,
    /// By this actor.
    pub user_id: Option<&'a str>,
    /// Not before this ISO-8601 instant.
    pub start: Option<&'a str>,
    /// Not after this ISO-8601 instant.
    pub end: Option<&'a str>,
    /// With these words in its action or metadata.
    pub words: Option<&'a str>,
    /// At most this many; ChittyChronicle's default is 100.
    pub limit: Option<u32>,
}

/// Client of ChittyChronicle.
pub struct ChronicleClient<'a> {
    pub(crate) session: &'a Session,
}

impl ChronicleClient<'_> {
    /// Appends one entry with `POST /api/entries`, or its older path. Chronicle does not drop repeats, so a
    /// caller that repeats must first ask whether the entry is there ([`has`](Self::has)). Chronicle has no
    /// batch endpoint: several entries are several calls, made from a queue. Returns the id of the entry's
    /// timeline, if the answer has one: see [`timeline_id`].
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is not JSON.
    pub async fn append(&self, entry: &Entry<'_>) -> Result<Option<String>, ServiceError> {
        let body = entry.body();
        let variants = vec![
            Variant::post(Service::Chronicle, "/api/entries", body.clone()),
            Variant::post(Service::Chronicle, "/events", body),
        ];
        // The queue repeats a failed call, with longer pauses than a caller could wait for.
        let call =
            Call::new("chronicle.append", Repeat::Never, variants).keyed(Some(entry.event_id));
        Ok(timeline_id(&self.session.call(call).await?.body))
    }

    /// Returns entries by their fields, newest first, with `GET /api/entries` or its older path.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is no list.
    pub async fn query(&self, query: &EntryQuery<'_>) -> Result<Vec<Value>, ServiceError> {
        self.find("chronicle.query", query).await
    }

    async fn find(
        &self,
        name: &'static str,
        query: &EntryQuery<'_>,
    ) -> Result<Vec<Value>, ServiceError> {
        let limit = query.limit.map(|limit| limit.to_string());
        let query = wire::query(&[
            ("service", query.service),
            ("action", query.action),
            ("userId", query.user_id),
            ("startDate", query.start),
            ("endDate", query.end),
            ("query", query.words),
            ("limit", limit.as_deref()),
        ]);
        let variants = vec![
            Variant::get(Service::Chronicle, format!("/api/entries{query}")),
            Variant::get(Service::Chronicle, format!("/events{query}")),
        ];
        self.list(Call::new(name, Repeat::Safe, variants)).await
    }

    /// Returns the entries between two ISO-8601 instants, oldest first, with `GET /timeline`.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is no list.
    pub async fn timeline(&self, start: &str, end: &str) -> Result<Vec<Value>, ServiceError> {
        let query = wire::query(&[("startDate", Some(start)), ("endDate", Some(end))]);
        let variant = Variant::get(Service::Chronicle, format!("/timeline{query}"));
        self.list(Call::new("chronicle.timeline", Repeat::Safe, vec![variant])).await
    }

    /// Whether the record already has the entry of this event. Searches the entries of the event's kind
    /// for the event's id, so that the answer is small however much has happened to the entity. If
    /// Chronicle ignores the search words, looks through the entries of the same kind and actor since
    /// `since` (an ISO-8601 instant before the event).
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that leaves the question open.
    pub async fn has(&self, entry: &Entry<'_>, since: &str) -> Result<bool, ServiceError> {
        Ok(self.find_entry(entry, since).await?.is_some())
    }

    /// Returns the entry of this event, if the record has it. Searches as [`has`](Self::has) does.
    ///
    /// # Errors
    /// Those of [`has`](Self::has).
    pub async fn find_entry(
        &self,
        entry: &Entry<'_>,
        since: &str,
    ) -> Result<Option<Value>, ServiceError> {
        let named = EntryQuery {
            service: Some(SERVICE),
            action: Some(entry.action),
            words: Some(entry.event_id),
            limit: Some(FEW),
            ..EntryQuery::default()
        };
        let found = self.find("chronicle.has", &named).await?;
        if let Some(found) = found.iter().find(|found| entry.is(found)) {
            return Ok(Some(found.clone()));
        }
        // If Chronicle heeds the words, it finds only entries that contain them.
        if found.iter().all(|found| found.to_string().contains(entry.event_id)) {
            return Ok(None);
        }
        let by_fields = EntryQuery {
            service: Some(SERVICE),
            action: Some(entry.action),
            user_id: Some(entry.actor),
            start: Some(since),
            limit: Some(MANY),
            ..EntryQuery::default()
        };
        let found = self.find("chronicle.has_since", &by_fields).await?;
        let is_whole = u32::try_from(found.len()).is_ok_and(|count| count < MANY);
        match found.iter().find(|found| entry.is(found)) {
            Some(found) => Ok(Some(found.clone())),
            None if is_whole => Ok(None),
            None => {
                let detail = "too many entries to tell whether this one is among them";
                Err(ServiceError::malformed(Service::Chronicle, 200, detail))
            }
        }
    }

    async fn list(&self, call: Call) -> Result<Vec<Value>, ServiceError> {
        let answer = self.session.read(call).await?;
        let list = answer.as_array().or_else(|| answer.get("events")?.as_array());
        list.cloned().ok_or_else(|| {
            ServiceError::malformed(Service::Chronicle, 200, "not a list of entries")
        })
    }
}
