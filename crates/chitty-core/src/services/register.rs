//! ChittyRegister (`register.chitty.cc`): adds services to the registry.

use serde_json::{Value, json};

use crate::error::ServiceError;
use crate::retry::Repeat;
use crate::service::Service;
use crate::session::Session;
use crate::transport::HttpMethod;
use crate::wire::{Call, Variant, first_string, segment};

/// The service to register.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The name. To register the same name again changes the registration.
    pub name: String,
    /// The description, in a sentence.
    pub description: String,
    /// The version.
    pub version: String,
    /// Absolute URLs, the health check among them.
    pub endpoints: Vec<String>,
    /// Other fields of ChittyRegister's, such as `metadata` or `entity_type`.
    pub more: serde_json::Map<String, Value>,
}

/// ChittyRegister's answer to a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationReceipt {
    /// The ChittyID of the registration, if the answer has it.
    pub chitty_id: Option<String>,
    /// The certificate, if ChittyRegister issued one.
    pub certificate: Option<String>,
}

/// How a service proves that it controls its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The path at which the service must serve `key_authorization` as `text/plain`.
    pub well_known_path: String,
    /// The text to serve there.
    pub key_authorization: String,
}

/// Client of ChittyRegister.
pub struct RegisterClient<'a> {
    pub(crate) session: &'a Session,
}

impl RegisterClient<'_> {
    /// Registers a service with `POST /api/v1/register`, or its older path. Safe to repeat, because the
    /// name is the key.
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
        // An answer with neither `success: true` nor an id does not confirm a registration.
        let said = answer.get("success").and_then(Value::as_bool) == Some(true);
        match said || registered.chitty_id.is_some() {
            true => Ok(registered),
            false => Err(malformed("the answer does not confirm the registration")),
        }
    }

    /// Asks for a challenge with `POST /api/v1/challenge`; it is valid for about 15 minutes.
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

    /// Returns ChittyRegister's own status with `GET /api/v1/status`, as it answers it.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn status(&self) -> Result<Value, ServiceError> {
        let variant = Variant::get(Service::Register, "/api/v1/status");
        let answer = self.session.read(Call::new("register.status", Repeat::Safe, vec![variant]));
        Ok(answer.await?.as_ref().clone())
    }

    /// Changes the status of a registered service with `PATCH /api/services/{name}/status`. Returns
    /// `false` if the service is not registered.
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
