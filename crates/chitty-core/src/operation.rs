//! Operations as data: the call that a step of a flow makes, in a form that can be stored.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::ServiceError;
use crate::service::Service;
use crate::services::auth::ProvisionRequest;
use crate::services::chronicle::Entry;
use crate::services::identity::{EntityLabel, MintRequest};
use crate::services::register::Registration;
use crate::session::Session;

/// One operation. Its variant determines the service that performs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation")]
pub enum Operation {
    /// Mints an identity; yields `chitty_id`.
    #[serde(rename = "id.mint")]
    MintIdentity {
        /// The kind of entity.
        label: EntityLabel,
        /// What the authority stores beside the id.
        metadata: Value,
        /// The time of the run, ISO-8601 UTC.
        timestamp: String,
    },
    /// Makes a token; yields `token`, `token_id`, `scopes` and `expires_at`.
    #[serde(rename = "auth.provision_token")]
    ProvisionToken {
        /// The bearer.
        chitty_id: String,
        /// The scopes of the token.
        scopes: Vec<String>,
        /// The service at which the token is valid.
        service: String,
        /// The lifetime in seconds; `None` means ChittyAuth's own default.
        #[serde(default)]
        expires_in_s: Option<u64>,
        /// The time (ISO-8601 UTC) after which the token is not made any more.
        #[serde(default)]
        until: Option<String>,
    },
    /// Revokes a token.
    #[serde(rename = "auth.revoke_token")]
    RevokeToken {
        /// The id of the token.
        token_id: String,
        /// The token itself, to ask ChittyAuth whether it is still valid.
        token: String,
        /// Why it is revoked.
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
        /// The id of the record.
        id: String,
    },
    /// Registers something under a name; yields `registered_id`.
    #[serde(rename = "register.register")]
    Register {
        /// The name, which identifies the registration.
        name: String,
        /// The description.
        description: String,
        /// Other fields of ChittyRegister's.
        more: Map<String, Value>,
    },
    /// Changes the status of a registration.
    #[serde(rename = "register.set_status")]
    SetStatus {
        /// The registered name.
        name: String,
        /// The new status.
        status: String,
    },
    /// Lists the registered services; yields `services`, their names.
    #[serde(rename = "registry.list")]
    ListServices,
    /// Sends a sign of life.
    #[serde(rename = "beacon.send")]
    SendBeacon {
        /// The name of the event.
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
        /// The id of the entity to which it happened.
        entity_id: String,
        /// The kind of the entity.
        entity_type: String,
        /// When it happened, ISO-8601 UTC.
        timestamp: String,
        /// More about it.
        payload: Value,
    },
}

impl Operation {
    /// Returns the service that performs it.
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
    /// Whether an instant (RFC 3339) is in the past. A text that is no instant counts as past.
    fn is_past(&self, instant: &str) -> bool {
        let at_ms = chrono::DateTime::parse_from_rfc3339(instant)
            .ok()
            .and_then(|at| u64::try_from(at.timestamp_millis()).ok());
        at_ms.is_none_or(|at_ms| at_ms <= self.wire.clock.now_ms())
    }

    /// Performs an operation at its service. `key` makes a repeat recognisable for services that look at
    /// it: it is sent as the idempotency key or the event id. `is_repeat` says that the operation may have
    /// been done before; then ChittyChronicle is first asked whether it has the entry. Returns a JSON
    /// object with the members that the operation yields.
    ///
    /// # Errors
    /// Those of the service's client.
    pub async fn perform(
        &self,
        operation: &Operation,
        key: &str,
        is_repeat: bool,
    ) -> Result<Value, ServiceError> {
        match operation.clone() {
            Operation::MintIdentity { label, metadata, timestamp } => {
                self.mint_identity(label, metadata, timestamp, key).await
            }
            Operation::ProvisionToken { chitty_id, scopes, service, expires_in_s, until } => {
                let idempotency_key = Some(key.to_owned());
                let request =
                    ProvisionRequest { chitty_id, scopes, service, expires_in_s, idempotency_key };
                self.provision_token(&request, until.as_deref()).await
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
                self.register_name(name, description, more).await
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
                self.append(&entry, is_repeat).await
            }
        }
    }

    async fn mint_identity(
        &self,
        label: EntityLabel,
        mut metadata: Value,
        timestamp: String,
        key: &str,
    ) -> Result<Value, ServiceError> {
        // By this, the authority finds an identity whose answer the run did not receive.
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("intent".to_owned(), key.into());
        }
        let idempotency_key = Some(key.to_owned());
        let timeout_ms = None;
        let request = MintRequest { label, metadata, timestamp, idempotency_key, timeout_ms };
        let id = self.id().mint(&request).await?;
        Ok(json!({ "chitty_id": id.as_str() }))
    }

    /// Makes a token, unless the instant `until` is past.
    async fn provision_token(
        &self,
        request: &ProvisionRequest,
        until: Option<&str>,
    ) -> Result<Value, ServiceError> {
        if until.is_some_and(|until| self.is_past(until)) {
            return Err(ServiceError::over(Service::Auth));
        }
        let made = self.auth().provision_token(request).await?;
        Ok(json!({
            "token": made.secret,
            "token_id": made.id,
            "scopes": made.scopes,
            "expires_at": made.expires_at,
        }))
    }

    async fn register_name(
        &self,
        name: String,
        description: String,
        more: Map<String, Value>,
    ) -> Result<Value, ServiceError> {
        let version = "1.0.0".to_owned();
        let registration = Registration { name, description, version, endpoints: Vec::new(), more };
        let registered = self.register().register(&registration).await?;
        Ok(json!({ "registered_id": registered.chitty_id }))
    }

    /// Appends an entry, unless it is a repeat and ChittyChronicle has the entry.
    async fn append(&self, entry: &Entry<'_>, is_repeat: bool) -> Result<Value, ServiceError> {
        if !is_repeat || !self.chronicle().has(entry, entry.timestamp).await? {
            self.chronicle().append(entry).await?;
        }
        Ok(json!({}))
    }
}
