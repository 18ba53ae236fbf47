//! ChittyChronicle (`chronicle.chitty.cc`): the record of what happened.

use serde_json::{Value, json};

use crate::call::CallContext;
use crate::error::ServiceError;
use crate::retry::Repeat;
use crate::service::Service;
use crate::wire::Wire;

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

/// Client of ChittyChronicle.
pub struct ChronicleClient<'a> {
    pub(crate) wire: &'a Wire,
}

impl ChronicleClient<'_> {
    /// Appends one entry with `POST /api/entries`. Chronicle does not drop repeats by itself; the
    /// event id in the metadata makes one recognisable.
    ///
    /// # Errors
    /// No answer, a status other than 2xx, or an answer that is not JSON.
    pub async fn append(&self, entry: &Entry<'_>, cx: &CallContext) -> Result<(), ServiceError> {
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
        // The queue repeats what fails, with longer pauses than a caller could wait for.
        self.wire.post(Service::Chronicle, "/api/entries", &body, Repeat::Never, cx).await?;
        Ok(())
    }
}
