//! Events: what happened, told to the rest of the ecosystem, and never lost.
//!
//! The way of an event: written to the outbox in the same batch as its change ([`outbox::insert`])
//! → announced to the queue after the reply ([`outbox::announce`], which may fail) → delivered to
//! [`consumer`], which logs it to ChittyChronicle and marks the row done. What is not done in time
//! the cron announces again ([`outbox::sweep`]). So a crash at any point loses nothing.

pub mod consumer;
pub mod outbox;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::caller::Scope;
use crate::http::request::Request;
use crate::platform::{ids, time};

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A context was made.
    #[serde(rename = "context.created")]
    ContextCreated,
    /// A context was changed.
    #[serde(rename = "context.updated")]
    ContextUpdated,
    /// A context was deleted.
    #[serde(rename = "context.deleted")]
    ContextDeleted,
    /// An actor has registered, or was put on record.
    #[serde(rename = "actor.registered")]
    ActorRegistered,
    /// An actor was changed.
    #[serde(rename = "actor.updated")]
    ActorUpdated,
    /// What an administrator grants an actor has changed.
    #[serde(rename = "actor.capabilities_changed")]
    ActorCapabilitiesChanged,
    /// A connection was made.
    #[serde(rename = "connection.created")]
    ConnectionCreated,
    /// A connection was changed.
    #[serde(rename = "connection.updated")]
    ConnectionUpdated,
    /// A connection's checks have failed too often.
    #[serde(rename = "connection.failed")]
    ConnectionFailed,
    /// A failed connection works again.
    #[serde(rename = "connection.recovered")]
    ConnectionRecovered,
    /// A connection has ended.
    #[serde(rename = "connection.disconnected")]
    ConnectionDisconnected,
    /// A token was delegated.
    #[serde(rename = "delegation.created")]
    DelegationCreated,
    /// A delegation, and what was delegated further by it, was revoked.
    #[serde(rename = "delegation.revoked")]
    DelegationRevoked,
    /// An API key was made.
    #[serde(rename = "key.created")]
    KeyCreated,
    /// An API key has a new secret.
    #[serde(rename = "key.rotated")]
    KeyRotated,
    /// An API key was revoked.
    #[serde(rename = "key.revoked")]
    KeyRevoked,
    /// The gateway has its own identity.
    #[serde(rename = "service.initialized")]
    ServiceInitialized,
    /// An administrator has commanded the connection to a ChittyOS service.
    #[serde(rename = "service.commanded")]
    ServiceCommanded,
    /// The audit was sealed up to an entry.
    #[serde(rename = "audit.sealed")]
    AuditSealed,
    /// A ChittyID was minted and then not used.
    #[serde(rename = "identity.orphaned")]
    IdentityOrphaned,
    /// The connection to a ChittyOS service is in another state.
    #[serde(rename = "service.state_changed")]
    ServiceStateChanged,
}

impl EventKind {
    /// Its name on the wire, in the outbox and in ChittyChronicle.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::ContextCreated => "context.created",
            EventKind::ContextUpdated => "context.updated",
            EventKind::ContextDeleted => "context.deleted",
            EventKind::ActorRegistered => "actor.registered",
            EventKind::ActorUpdated => "actor.updated",
            EventKind::ActorCapabilitiesChanged => "actor.capabilities_changed",
            EventKind::ConnectionCreated => "connection.created",
            EventKind::ConnectionUpdated => "connection.updated",
            EventKind::ConnectionFailed => "connection.failed",
            EventKind::ConnectionRecovered => "connection.recovered",
            EventKind::ConnectionDisconnected => "connection.disconnected",
            EventKind::DelegationCreated => "delegation.created",
            EventKind::DelegationRevoked => "delegation.revoked",
            EventKind::KeyCreated => "key.created",
            EventKind::KeyRotated => "key.rotated",
            EventKind::KeyRevoked => "key.revoked",
            EventKind::ServiceInitialized => "service.initialized",
            EventKind::ServiceCommanded => "service.commanded",
            EventKind::AuditSealed => "audit.sealed",
            EventKind::IdentityOrphaned => "identity.orphaned",
            EventKind::ServiceStateChanged => "service.state_changed",
        }
    }

    /// Whether Beacon is told too.
    pub fn is_sign_of_life(self) -> bool {
        self == EventKind::ServiceStateChanged
    }

    /// What kind of entity it happens to.
    pub fn entity_type(self) -> &'static str {
        match self {
            EventKind::ContextCreated
            | EventKind::ContextUpdated
            | EventKind::ContextDeleted
            | EventKind::ServiceInitialized => "context",
            EventKind::ActorRegistered
            | EventKind::ActorUpdated
            | EventKind::ActorCapabilitiesChanged => "actor",
            EventKind::ConnectionCreated
            | EventKind::ConnectionUpdated
            | EventKind::ConnectionFailed
            | EventKind::ConnectionRecovered
            | EventKind::ConnectionDisconnected => "connection",
            EventKind::DelegationCreated | EventKind::DelegationRevoked => "delegation",
            EventKind::KeyCreated | EventKind::KeyRotated | EventKind::KeyRevoked => "key",
            EventKind::AuditSealed => "audit",
            EventKind::IdentityOrphaned => "identity",
            EventKind::ServiceCommanded | EventKind::ServiceStateChanged => "service",
        }
    }
}

/// One event. The payload says what changed, never the content itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `evt_` and a UUIDv7: by it a repeat is recognised.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// To what: a ChittyID, or the name of a service.
    pub entity_id: String,
    /// Who did it: a ChittyID.
    pub actor_id: String,
    /// By which credential, where that was not the actor's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// When, ISO-8601 UTC.
    pub at: String,
    /// The trace of the request that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// A JSON object.
    pub payload: Value,
}

impl Event {
    /// A new event that happens now.
    pub fn new(
        now_ms: u64,
        kind: EventKind,
        entity_id: &str,
        actor_id: &str,
        payload: Value,
        traceparent: Option<&str>,
    ) -> Self {
        Event {
            id: ids::event(now_ms),
            kind,
            entity_id: entity_id.to_owned(),
            actor_id: actor_id.to_owned(),
            via: None,
            at: time::iso8601(now_ms),
            traceparent: traceparent.map(str::to_owned),
            payload,
        }
    }

    /// A new event that a caller's request makes happen now.
    pub fn caused(
        request: &Request<'_>,
        scope: &Scope,
        kind: EventKind,
        entity_id: &str,
        payload: Value,
        now_ms: u64,
    ) -> Self {
        let traceparent = Some(request.trace.traceparent.as_str());
        let event = Event::new(now_ms, kind, entity_id, scope.actor(), payload, traceparent);
        Event { via: scope.via(), ..event }
    }
}

/// A queue message. The version is the tag, so that a reader meets an unknown one as what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "version")]
pub enum Message {
    /// The first version.
    #[serde(rename = "1")]
    V1(Event),
}

impl Message {
    /// The text that goes on the queue.
    pub fn encode(event: &Event) -> String {
        // Strings, a Value and unit variants: this cannot fail.
        serde_json::to_string(&Message::V1(event.clone())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_format_is_pinned() {
        let event = Event {
            id: "evt_0190".to_owned(),
            kind: EventKind::ContextCreated,
            entity_id: "CHITTY-CONTEXT-1".to_owned(),
            actor_id: "CHITTY-PEO-1".to_owned(),
            via: None,
            at: "2026-01-02T03:04:05.678Z".to_owned(),
            traceparent: None,
            payload: serde_json::json!({"name_changed": true}),
        };
        let text = concat!(
            r#"{"version":"1","id":"evt_0190","type":"context.created","#,
            r#""entity_id":"CHITTY-CONTEXT-1","actor_id":"CHITTY-PEO-1","#,
            r#""at":"2026-01-02T03:04:05.678Z","payload":{"name_changed":true}}"#
        );
        assert_eq!(Message::encode(&event), text);
        assert_eq!(serde_json::from_str::<Message>(text).unwrap(), Message::V1(event));
        assert!(serde_json::from_str::<Message>(&text.replace("\"1\"", "\"2\"")).is_err());
    }

    #[test]
    fn the_name_in_the_outbox_is_the_name_on_the_wire() {
        for kind in [
            EventKind::ContextCreated,
            EventKind::ContextUpdated,
            EventKind::ContextDeleted,
            EventKind::ServiceInitialized,
            EventKind::IdentityOrphaned,
            EventKind::ServiceStateChanged,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
