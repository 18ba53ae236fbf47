//! ChittyChronicle (`chronicle.chitty.cc`): the record of what happened.

use serde_json::{Value, json};

use crate::error::ServiceError;
use crate::retry::Repeat;
use crate::service::Service;
use crate::session::Session;
use crate::wire::{self, Call, Variant};

/// One entry of the record.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// What happened, such as `context.created` (at most 100 bytes).
    pub action: &'a str,
    /// Who did it.
    pub actor: &'a str,
    /// What it happened to.
    pub entity_id: &'a str,
    /// Its kind, such as `context`.
    pub entity_type: &'a str,
    /// The event's own id, by which a repeated entry is recognised.
    pub event_id: &'a str,
    /// When, ISO-8601 UTC.
    pub timestamp: &'a str,
    /// More about it. No personal data.
    pub payload: &'a Value,
}

/// What of the record is asked for. The newest `limit` entries that match everything that is said.
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
    /// How many; ChittyChronicle's default is 100.
    pub limit: Option<u32>,
}

/// Client of ChittyChronicle.
pub struct ChronicleClient<'a> {
    pub(crate) session: &'a Session,
}

impl ChronicleClient<'_> {
    /// Appends one entry with `POST /api/entries`, or its older spelling. Chronicle does not drop
    /// repeats by itself; the event id in the metadata makes one recognisable. It has no batch
    /// endpoint: several entries are several calls, from a queue.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is not JSON.
    pub async fn append(&self, entry: &Entry<'_>) -> Result<(), ServiceError> {
        let body = json!({
            "service": "chittyconnect",
            "action": entry.action,
            "userId": entry.actor,
            "status": "success",
            "metadata": {
                "event": entry.action,
                "eventId": entry.event_id,
                "entityId": entry.entity_id,
                "entityType": entry.entity_type,
                "timestamp": entry.timestamp,
                "payload": entry.payload,
            },
        });
        let variants = vec![
            Variant::post(Service::Chronicle, "/api/entries", body.clone()),
            Variant::post(Service::Chronicle, "/events", body),
        ];
        // The queue repeats what fails, with longer pauses than a caller could wait for.
        self.session.tell(Call::new("chronicle.append", Repeat::Never, variants)).await
    }

    /// Entries by their fields, newest first, with `GET /api/entries`.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is no list.
    pub async fn query(&self, query: &EntryQuery<'_>) -> Result<Vec<Value>, ServiceError> {
        let limit = query.limit.map(|limit| limit.to_string());
        let query = wire::query(&[
            ("service", query.service),
            ("action", query.action),
            ("userId", query.user_id),
            ("startDate", query.start),
            ("endDate", query.end),
            ("limit", limit.as_deref()),
        ]);
        let variants = vec![
            Variant::get(Service::Chronicle, format!("/api/entries{query}")),
            Variant::get(Service::Chronicle, format!("/events{query}")),
        ];
        self.list(Call::new("chronicle.query", Repeat::Safe, variants)).await
    }

    /// What happened between two ISO-8601 instants, oldest first, with `GET /timeline`.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is no list.
    pub async fn timeline(&self, start: &str, end: &str) -> Result<Vec<Value>, ServiceError> {
        let query = wire::query(&[("startDate", Some(start)), ("endDate", Some(end))]);
        let variant = Variant::get(Service::Chronicle, format!("/timeline{query}"));
        self.list(Call::new("chronicle.timeline", Repeat::Safe, vec![variant])).await
    }

    /// Whether an entry of this event is there already: asks for those of its entity, and where
    /// ChittyChronicle does not know that path, for those that name the event.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without a list.
    pub async fn has(&self, entry: &Entry<'_>) -> Result<bool, ServiceError> {
        let of_entity = format!(
            "/audit/{}{}",
            wire::segment(entry.entity_id),
            wire::query(&[("entityType", Some(entry.entity_type))])
        );
        let by_event = wire::query(&[("query", Some(entry.event_id)), ("limit", Some("10"))]);
        let variants = vec![
            Variant::get(Service::Chronicle, of_entity),
            Variant::get(Service::Chronicle, format!("/api/entries{by_event}")),
        ];
        let entries = self.list(Call::new("chronicle.has", Repeat::Safe, variants)).await?;
        Ok(entries.iter().any(|found| {
            found.pointer("/metadata/eventId").and_then(Value::as_str) == Some(entry.event_id)
        }))
    }

    async fn list(&self, call: Call) -> Result<Vec<Value>, ServiceError> {
        let answer = self.session.read(call).await?;
        let list = answer.as_array().or_else(|| answer.get("events")?.as_array());
        list.cloned().ok_or_else(|| {
            ServiceError::malformed(Service::Chronicle, 200, "not a list of entries")
        })
    }
}
