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
    /// Sends one sign of life with `POST /api/beacon`, or its older spelling. Beacon keeps no order
    /// and drops no repeats.
    ///
    /// # Errors
    /// No answer, or a refusal. Nothing should depend on it.
    pub async fn send(&self, event: &str, data: Value) -> Result<(), ServiceError> {
        let older = json!({ "app": "chittyconnect", "event": event, "data": data });
        let variants = vec![
            Variant::post(Service::Beacon, "/api/beacon", json!({ "event": event, "data": data })),
            Variant::post(Service::Beacon, "/track", older),
        ];
        self.session.tell(Call::new("beacon.send", Repeat::Never, variants)).await
    }
}
