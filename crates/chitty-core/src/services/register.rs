//! ChittyRegister (`register.chitty.cc`): how a service gets into the registry.

use serde_json::{Value, json};

use crate::error::ServiceError;
use crate::retry::Repeat;
use crate::service::Service;
use crate::session::Session;
use crate::transport::HttpMethod;
use crate::wire::{Call, Variant, first_string, segment};

/// What to register.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its name: registering it again changes what is there.
    pub name: String,
    /// What it is, in a sentence.
    pub description: String,
    /// Its version.
    pub version: String,
    /// Absolute URLs, the health check among them.
    pub endpoints: Vec<String>,
    /// Anything else of ChittyRegister's fields, such as `metadata` or `entity_type`.
    pub more: serde_json::Map<String, Value>,
}

/// What ChittyRegister answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationReceipt {
    /// The ChittyID under which it is registered, if it said so.
    pub chitty_id: Option<String>,
    /// The certificate, if it issued one.
    pub certificate: Option<String>,
}

/// How a service proves that it controls its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Path at which `key_authorization` is to be served as `text/plain`.
    pub well_known_path: String,
    /// What is to be served there.
    pub key_authorization: String,
}

/// Client of ChittyRegister.
pub struct RegisterClient<'a> {
    pub(crate) session: &'a Session,
}

impl RegisterClient<'_> {
    /// Registers a service with `POST /api/v1/register`, or its older spelling. Safe to repeat:
    /// the name is the key.
    ///
    /// # Errors
    /// No answer, or a refusal (412: the proof of control failed).
    pub async fn register(
        &self,
        registration: &Registration,
    ) -> Result<RegistrationReceipt, ServiceError> {
        let mut body = json!({
            "name": registration.name,
            "description": registration.description,
            "version": registration.version,
            "endpoints": registration.endpoints,
        });
        if let Some(body) = body.as_object_mut() {
            body.extend(registration.more.clone());
        }
        let variants = vec![
            Variant::post(Service::Register, "/api/v1/register", body.clone()),
            Variant::post(Service::Register, "/api/register", body),
        ];
        let call = Call::new("register.register", Repeat::Safe, variants).answered_by(&[412]);
        let answer = self.session.call(call).await?.body;
        let text = |names: &[&str]| first_string(&answer, names).map(str::to_owned);
        let registered = RegistrationReceipt {
            chitty_id: text(&["chitty_id", "chittyId", "chittyid"]),
            certificate: text(&["certificate", "certificate_id"]),
        };
        // An answer that neither says "success" nor names an id is not one to a registration.
        let said = answer.get("success").and_then(Value::as_bool) == Some(true);
        match said || registered.chitty_id.is_some() {
            true => Ok(registered),
            false => Err(malformed("the answer does not say that it is registered")),
        }
    }

    /// Asks for a proof of control with `POST /api/v1/challenge`; it holds for about 15 minutes.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without a challenge.
    pub async fn challenge(&self, name: &str, endpoint: &str) -> Result<Challenge, ServiceError> {
        let body = json!({ "name": name, "endpoint": endpoint });
        let variant = Variant::post(Service::Register, "/api/v1/challenge", body);
        let call = Call::new("register.challenge", Repeat::Safe, vec![variant]).answered_by(&[412]);
        let answer = self.session.call(call).await?.body;
        let text = |name| first_string(&answer, &[name]).map(str::to_owned);
        match (text("well_known_path"), text("key_authorization")) {
            (Some(well_known_path), Some(key_authorization)) => {
                Ok(Challenge { well_known_path, key_authorization })
            }
            _ => Err(malformed("the answer has no challenge")),
        }
    }

    /// How ChittyRegister itself is, with `GET /api/v1/status`, as it words it.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn status(&self) -> Result<Value, ServiceError> {
        let variant = Variant::get(Service::Register, "/api/v1/status");
        let answer = self.session.read(Call::new("register.status", Repeat::Safe, vec![variant]));
        Ok(answer.await?.as_ref().clone())
    }

    /// Changes the status of a registered service with `PATCH /api/services/{name}/status`. One that
    /// is not registered has no status to change: `false`.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn set_status(&self, name: &str, status: &str) -> Result<bool, ServiceError> {
        let path = format!("/api/services/{}/status", segment(name));
        let body = json!({ "status": status });
        let variant = Variant::send(Service::Register, HttpMethod::Patch, path, body);
        let call = Call::new("register.set_status", Repeat::Safe, vec![variant]);
        match self.session.tell(call.answered_by(&[404])).await {
            Ok(()) => Ok(true),
            Err(ServiceError { status: Some(404), .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn malformed(detail: &str) -> ServiceError {
    ServiceError::malformed(Service::Register, 200, detail)
}
