//! Beacon (`beacon.chitty.cc`): signs of life.

use serde_json::{Value, json};

use crate::error::ServiceError;
use crate::retry::Repeat;
use crate::service::Service;
use crate::session::Session;
use crate::wire::{Call, Variant};

/// Client of Beacon.
pub struct BeaconClient<'a> {
    pub(crate) session: &'a Session,
}

impl BeaconClient<'_> {
    /// Sends one sign of life with `POST /api/beacon`, or its older path. Beacon keeps no order, and it
    /// cannot be asked whether it has an event. It may recognise a repeat by the idempotency key, but does
    /// not promise to.
    ///
    /// # Errors
    /// No answer, or a refusal. No caller should depend on success.
    pub async fn send(
        &self,
        event: &str,
        data: Value,
        idempotency_key: Option<&str>,
    ) -> Result<(), ServiceError> {
        let older = json!({ "app": "chittyconnect", "event": event, "data": data });
        let variants = vec![
            Variant::post(Service::Beacon, "/api/beacon", json!({ "event": event, "data": data })),
            Variant::post(Service::Beacon, "/track", older),
        ];
        let call = Call::new("beacon.send", Repeat::Never, variants).keyed(idempotency_key);
        self.session.tell(call).await
    }
}
