//! Operations as data: what a step of a flow does, in a form that can be stored and sent to the
//! service that it belongs to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::ServiceError;
use crate::service::Service;
use crate::services::auth::ProvisionRequest;
use crate::services::chronicle::Entry;
use crate::services::identity::{EntityLabel, MintRequest};
use crate::services::register::Registration;
use crate::session::Session;

/// One operation. Its type says which service it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation")]
pub enum Operation {
    /// Mints an identity; yields `chitty_id`.
    #[serde(rename = "id.mint")]
    MintIdentity {
        /// For what.
        label: EntityLabel,
        /// Kept by the authority beside the id.
        metadata: Value,
        /// ISO-8601 UTC.
        timestamp: String,
    },
    /// Makes a token; yields `token`, `token_id`, `scopes` and `expires_at`.
    #[serde(rename = "auth.provision_token")]
    ProvisionToken {
        /// Its bearer.
        chitty_id: String,
        /// What it is good for.
        scopes: Vec<String>,
        /// Where it is good.
        service: String,
        /// Its lifetime in seconds; ChittyAuth's own default where it is `None`.
        #[serde(default)]
        expires_in_s: Option<u64>,
        /// When (ISO-8601 UTC) it is not made any more.
        #[serde(default)]
        until: Option<String>,
    },
    /// Revokes a token.
    #[serde(rename = "auth.revoke_token")]
    RevokeToken {
        /// Which.
        token_id: String,
        /// The token itself, of which ChittyAuth says in the end that it is not valid.
        token: String,
        /// Why.
        reason: String,
    },
    /// Makes a canonical record; yields `canon_id`.
    #[serde(rename = "canon.create_record")]
    CreateRecord {
        /// The record.
        record: Value,
    },
    /// Removes a canonical record.
    #[serde(rename = "canon.remove_record")]
    RemoveRecord {
        /// Which.
        id: String,
    },
    /// Registers something under a name; yields `registered_id`.
    #[serde(rename = "register.register")]
    Register {
        /// The name, which is the key.
        name: String,
        /// What it is.
        description: String,
        /// Anything else of ChittyRegister's fields.
        more: Map<String, Value>,
    },
    /// Changes the status of what is registered.
    #[serde(rename = "register.set_status")]
    SetStatus {
        /// Of what.
        name: String,
        /// To what.
        status: String,
    },
    /// Lists the registered services; yields `services`, their names.
    #[serde(rename = "registry.list")]
    ListServices,
    /// Sends a sign of life.
    #[serde(rename = "beacon.send")]
    SendBeacon {
        /// The event.
        event: String,
        /// More about it.
        data: Value,
    },
    /// Appends an entry to the record.
    #[serde(rename = "chronicle.append")]
    Append {
        /// What happened.
        action: String,
        /// Who did it.
        actor: String,
        /// What it happened to.
        entity_id: String,
        /// Its kind.
        entity_type: String,
        /// ISO-8601 UTC.
        timestamp: String,
        /// More about it.
        payload: Value,
    },
}

impl Operation {
    /// The service that it is for.
    pub fn service(&self) -> Service {
        match self {
            Operation::MintIdentity { .. } => Service::Id,
            Operation::ProvisionToken { .. } | Operation::RevokeToken { .. } => Service::Auth,
            Operation::CreateRecord { .. } | Operation::RemoveRecord { .. } => Service::Canon,
            Operation::Register { .. } | Operation::SetStatus { .. } => Service::Register,
            Operation::ListServices => Service::Registry,
            Operation::SendBeacon { .. } => Service::Beacon,
            Operation::Append { .. } => Service::Chronicle,
        }
    }
}

impl Session {
    /// Whether an instant (RFC 3339) lies in the past; one that cannot be read does.
    fn is_past(&self, instant: &str) -> bool {
        let at_ms = chrono::DateTime::parse_from_rfc3339(instant)
            .ok()
            .and_then(|at| u64::try_from(at.timestamp_millis()).ok());
        at_ms.is_none_or(|at_ms| at_ms <= self.wire.clock.now_ms())
    }

    /// Performs an operation at the service that it is for. `key` makes a repeat recognisable, where
    /// the service looks at it: it is sent as the idempotency key or the event id. `is_repeat` says that
    /// it may have been done before: a service that can be asked is asked first. Yields a JSON object,
    /// as each operation says.
    ///
    /// # Errors
    /// As the client of the service says.
    pub async fn perform(
        &self,
        operation: &Operation,
        key: &str,
        is_repeat: bool,
    ) -> Result<Value, ServiceError> {
        let idempotency_key = Some(key.to_owned());
        match operation.clone() {
            Operation::MintIdentity { label, mut metadata, timestamp } => {
                // So that the authority finds what it has minted for a run that never heard of it.
                if let Some(metadata) = metadata.as_object_mut() {
                    metadata.insert("intent".to_owned(), key.into());
                }
                let timeout_ms = None;
                let request =
                    MintRequest { label, metadata, timestamp, idempotency_key, timeout_ms };
                let id = self.id().mint(&request).await?;
                Ok(json!({ "chitty_id": id.as_str() }))
            }
            Operation::ProvisionToken { chitty_id, scopes, service, expires_in_s, until } => {
                if until.as_deref().is_some_and(|until| self.is_past(until)) {
                    return Err(ServiceError::over(Service::Auth));
                }
                let request =
                    ProvisionRequest { chitty_id, scopes, service, expires_in_s, idempotency_key };
                let made = self.auth().provision_token(&request).await?;
                Ok(json!({
                    "token": made.secret,
                    "token_id": made.id,
                    "scopes": made.scopes,
                    "expires_at": made.expires_at,
                }))
            }
            Operation::RevokeToken { token_id, token, reason } => {
                self.auth().revoke_token(&token_id, &token, &reason).await?;
                Ok(json!({}))
            }
            Operation::CreateRecord { record } => {
                let id = self.canon().create_record(&record, Some(key)).await?;
                Ok(json!({ "canon_id": id }))
            }
            Operation::RemoveRecord { id } => {
                self.canon().remove_record(&id).await?;
                Ok(json!({}))
            }
            Operation::Register { name, description, more } => {
                let version = "1.0.0".to_owned();
                let registration =
                    Registration { name, description, version, endpoints: Vec::new(), more };
                let registered = self.register().register(&registration).await?;
                Ok(json!({ "registered_id": registered.chitty_id }))
            }
            Operation::SetStatus { name, status } => {
                self.register().set_status(&name, &status).await?;
                Ok(json!({}))
            }
            Operation::ListServices => {
                let list = self.registry().list().await?;
                let names: Vec<String> = list.value.into_iter().map(|entry| entry.name).collect();
                Ok(json!({ "services": names }))
            }
            Operation::SendBeacon { event, data } => {
                self.beacon().send(&event, data, Some(key)).await?;
                Ok(json!({}))
            }
            Operation::Append { action, actor, entity_id, entity_type, timestamp, payload } => {
                let entry = Entry {
                    action: &action,
                    actor: &actor,
                    entity_id: &entity_id,
                    entity_type: &entity_type,
                    event_id: key,
                    timestamp: &timestamp,
                    payload: &payload,
                    is_replayed: false,
                };
                if !is_repeat || !self.chronicle().has(&entry, &timestamp).await? {
                    self.chronicle().append(&entry).await?;
                }
                Ok(json!({}))
            }
        }
    }
}
