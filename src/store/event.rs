//! Events: their kinds, the content of their rows and their messages on the queue.

use seams::time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::ids::EventId;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $entity:literal;)+) => {
        /// The kind of an event.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub enum EventKind {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
            /// A webhook event of GitHub.
            #[serde(untagged)]
            Github(GithubEventName),
        }

        impl EventKind {
            /// Every kind except those of GitHub's webhooks, of which there is no list.
            pub const ALL: &[EventKind] = &[$(EventKind::$variant,)+];

            /// The name of the kind on the wire, in the outbox and in ChittyChronicle.
            pub fn as_str(&self) -> &str {
                match self {
                    $(EventKind::$variant => $name,)+
                    EventKind::Github(name) => &name.0,
                }
            }

            /// The type of the entity that such events happen to.
            pub fn entity_type(&self) -> &'static str {
                match self {
                    $(EventKind::$variant => $entity,)+
                    EventKind::Github(name) => name.entity_type(),
                }
            }
        }
    };
}

// Each kind with its name and the type of its entity.
kinds! {
    /// A context was made.
    ContextCreated = "context.created", "context";
    /// A context was changed.
    ContextUpdated = "context.updated", "context";
    /// ChittyVerify was asked to verify a context, and has answered.
    ContextVerified = "context.verified", "context";
    /// A context was deleted.
    ContextDeleted = "context.deleted", "context";
    /// An actor has registered itself.
    ActorRegistered = "actor.registered", "actor";
    /// An actor was changed.
    ActorUpdated = "actor.updated", "actor";
    /// An administrator has changed what an actor is granted.
    ActorCapabilitiesChanged = "actor.capabilities_changed", "actor";
    /// A connection was made.
    ConnectionCreated = "connection.created", "connection";
    /// A connection was changed.
    ConnectionUpdated = "connection.updated", "connection";
    /// A connection's checks have failed too often.
    ConnectionFailed = "connection.failed", "connection";
    /// A failed connection works again.
    ConnectionRecovered = "connection.recovered", "connection";
    /// Somebody has had a connection checked.
    ConnectionChecked = "connection.checked", "connection";
    /// A request that may change something went through a connection. Only the audit records it.
    ConnectionUsed = "connection.used", "connection";
    /// A connection was ended.
    ConnectionDisconnected = "connection.disconnected", "connection";
    /// A token was delegated.
    DelegationCreated = "delegation.created", "delegation";
    /// A delegation was revoked, with the further delegations that were made by it.
    DelegationRevoked = "delegation.revoked", "delegation";
    /// An API key was made.
    KeyCreated = "key.created", "key";
    /// An API key has a new secret.
    KeyRotated = "key.rotated", "key";
    /// An API key was revoked.
    KeyRevoked = "key.revoked", "key";
    /// A run of a flow was started.
    OrchestrationStarted = "orchestration.started", "orchestration";
    /// Every step of a run is done.
    OrchestrationCompleted = "orchestration.completed", "orchestration";
    /// A run has undone its steps, because a service refused one.
    OrchestrationUndone = "orchestration.undone", "orchestration";
    /// A run was given up, and one of its steps could not be undone.
    OrchestrationFailed = "orchestration.failed", "orchestration";
    /// The gateway has its own identity.
    ServiceInitialized = "service.initialized", "context";
    /// An administrator has sent a command to the watch of a ChittyOS service.
    ServiceCommanded = "service.commanded", "service";
    /// The audit was sealed up to an entry.
    AuditSealed = "audit.sealed", "audit";
    /// A ChittyID was minted at the request of an actor.
    IdentityMinted = "identity.minted", "identity";
    /// A ChittyID was minted and then not used.
    IdentityOrphaned = "identity.orphaned", "identity";
    /// An administrator has replayed dead letters.
    DeadLettersReplayed = "dead_letters.replayed", "dead_letter";
    /// An administrator has thrown a dead letter away.
    DeadLetterDiscarded = "dead_letter.discarded", "dead_letter";
    /// The watch of a ChittyOS service has changed its state.
    ServiceStateChanged = "service.state_changed", "service";
    /// An installation of the GitHub App has received its own identity.
    AppInstalled = "github.app.installed", "installation";
    /// An actor has proved to administer an installation of the GitHub App, and owns it now.
    AppClaimed = "github.app.claimed", "installation";
    /// An installation of the GitHub App has lost its owner.
    AppReleased = "github.app.released", "installation";
    /// An actor has lost an installation of the GitHub App through the action of somebody else.
    InstallationLost = "actor.installation_lost", "actor";
}

/// The name of a webhook event of GitHub: `github.{event}`, followed by `.{action}` if the handler of the
/// event reads the action. GitHub adds events as it likes, so there is no list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct GithubEventName(String);

impl GithubEventName {
    /// The beginning of every such name.
    pub(crate) const PREFIX: &str = "github.";

    /// The longest name that ChittyChronicle accepts, in bytes (`action VARCHAR(100)`).
    const MAX_BYTES: usize = 100;

    /// The name of a webhook event with its action, if that is given; `None` if the name would not be valid.
    pub fn of(event: &str, action: Option<&str>) -> Option<Self> {
        let action = action.map(|action| format!(".{action}")).unwrap_or_default();
        GithubEventName::try_from(format!("{}{event}{action}", GithubEventName::PREFIX)).ok()
    }

    /// The name of a webhook event whose own name is not valid. The payload says which event it was.
    pub fn unnamed() -> Self {
        GithubEventName(format!("{}unnamed", GithubEventName::PREFIX))
    }

    fn entity_type(&self) -> &'static str {
        if self.0.starts_with("github.installation") { "installation" } else { "repository" }
    }
}

impl TryFrom<String> for GithubEventName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let sound = name.len() <= GithubEventName::MAX_BYTES
            && name.strip_prefix(GithubEventName::PREFIX).is_some_and(|rest| !rest.is_empty())
            && name.bytes().all(plain);
        if sound { Ok(GithubEventName(name)) } else { Err("no event of this name") }
    }
}

/// One event. The payload says what changed, never the content itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id, by which a receiver recognises a repeat.
    pub id: EventId,
    /// The kind of the event.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The entity that it happened to: a ChittyID, or the name of a service.
    pub entity_id: String,
    /// The actor who did it: a ChittyID.
    pub actor_id: String,
    /// The credential of the actor; `None` where the gateway itself acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The instant of the event, ISO-8601 UTC.
    pub at: String,
    /// The `traceparent` of the request that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// A JSON object.
    pub payload: Value,
    /// Who owns the entity at this time: a ChittyID. It is written with the event's row and is no part of the
    /// message. `None` where nobody owns it, and for the types of entities whose owner the trigger
    /// `audit_every_event` finds (`migrations/0032…`).
    #[serde(skip)]
    pub owner_id: Option<String>,
}

impl Event {
    /// A new event at the instant `now_ms`.
    pub fn new(
        now_ms: u64,
        kind: EventKind,
        entity_id: &str,
        actor_id: &str,
        payload: Value,
        traceparent: Option<&str>,
    ) -> Self {
        Event {
            id: EventId::new(now_ms),
            kind,
            entity_id: entity_id.to_owned(),
            actor_id: actor_id.to_owned(),
            via: None,
            at: time::iso8601(now_ms),
            traceparent: traceparent.map(str::to_owned),
            payload,
            owner_id: None,
        }
    }
}

/// A queue message. The version is the serde tag, so that a reader recognises an unknown version as such.
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
        // Strings, a Value and unit variants: the serialization cannot fail.
        serde_json::to_string(&Message::V1(event.clone())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_format_is_pinned() {
        let event = Event {
            id: EventId::parse("evt_0190").unwrap(),
            kind: EventKind::ContextCreated,
            entity_id: "CHITTY-CONTEXT-1".to_owned(),
            actor_id: "CHITTY-PEO-1".to_owned(),
            via: None,
            at: "2026-01-02T03:04:05.678Z".to_owned(),
            traceparent: None,
            payload: serde_json::json!({"name_changed": true}),
            owner_id: None,
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

    /// One message of every kind, as it is on the queue. The next version reads the messages that are in
    /// flight during a deploy, so these lines never change; a new kind adds a line.
    const GOLDEN: &str = include_str!("../../tests/native/golden/messages-v1.jsonl");

    #[test]
    fn names_of_webhook_events_are_read_and_bad_names_are_refused() {
        let push = EventKind::Github(GithubEventName::of("push", None).unwrap());
        assert_eq!((push.as_str(), push.entity_type()), ("github.push", "repository"));
        let text = serde_json::to_string(&push).unwrap();
        assert_eq!(serde_json::from_str::<EventKind>(&text).unwrap(), push);
        let known = serde_json::from_str::<EventKind>("\"github.app.installed\"").unwrap();
        assert_eq!(known, EventKind::AppInstalled);
        let suspended = GithubEventName::of("installation", Some("suspend")).unwrap();
        assert_eq!(EventKind::Github(suspended).entity_type(), "installation");
        for name in ["context.archived", "github.", "github.Push", &format!("github.{:0100}", 0)] {
            let text = serde_json::json!(name).to_string();
            assert!(serde_json::from_str::<EventKind>(&text).is_err(), "{name}");
        }
    }

    #[test]
    fn every_kind_of_message_is_encoded_and_decoded_as_in_earlier_versions() {
        let lines: Vec<&str> = GOLDEN.lines().collect();
        let push = EventKind::Github(GithubEventName::of("push", None).unwrap());
        for kind in EventKind::ALL.iter().chain([&push]) {
            let line =
                lines.iter().find(|line| line.contains(&format!("\"type\":\"{}\"", kind.as_str())));
            let line = line.unwrap_or_else(|| panic!("no golden message of {}", kind.as_str()));
            let Message::V1(event) = serde_json::from_str(line).unwrap();
            assert_eq!(event.kind, *kind);
            assert_eq!(Message::encode(&event), **line);
        }
        assert_eq!(lines.len(), EventKind::ALL.len() + 1, "a kind of message was taken away");
    }
}
