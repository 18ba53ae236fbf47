//! ChittyDNA (`dna.chitty.cc`): an entity's lineage.

use serde_json::{Value, json};

use crate::error::ServiceError;
use crate::id::ChittyId;
use crate::retry::Repeat;
use crate::service::Service;
use crate::session::Session;
use crate::transport::HttpMethod;
use crate::wire::{Call, Variant, first_string, segment};

/// Client of ChittyDNA.
pub struct DnaClient<'a> {
    pub(crate) session: &'a Session,
}

impl DnaClient<'_> {
    /// Begins the lineage of an entity with `POST /v1/dna/initialize`, or its older paths, and returns
    /// its DNA id. `entity_type` is, for example, `context`; `genesis` says where the entity comes from.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without an id.
    pub async fn initialize(
        &self,
        id: &ChittyId,
        entity_type: &str,
        genesis: Value,
    ) -> Result<String, ServiceError> {
        let id = id.as_str();
        let body = json!({ "chittyId": id, "entityType": entity_type, "genesis": genesis });
        let older = json!({ "chittyId": id, "chittyid": id, "type": entity_type, "metadata": {}, "genesis": genesis });
        let variants = vec![
            Variant::post(Service::Dna, "/v1/dna/initialize", body),
            Variant::post(Service::Dna, "/v1/initialize", older.clone()),
            Variant::post(Service::Dna, "/api/initialize", older),
        ];
        // The entity's id is the key: a repeat leads to the same lineage.
        let answer = self.session.call(Call::new("dna.initialize", Repeat::Safe, variants)).await?;
        first_string(&answer.body, &["dna_id", "chittyDnaId", "dnaId", "id"])
            .map(str::to_owned)
            .ok_or_else(|| ServiceError::malformed(Service::Dna, 200, "no id in the answer"))
    }

    /// Returns the lineage of an entity with `GET /v1/dna/{id}`, or its older path: an object with members
    /// such as `dna_id`, `generation`, `genesis` and `events`.
    ///
    /// # Errors
    /// No answer, a refusal (404: the entity has no lineage, or the service is not there), or an answer that
    /// is no object.
    pub async fn lineage(&self, id: &ChittyId) -> Result<Value, ServiceError> {
        let id = segment(id.as_str());
        let variants = vec![
            Variant::get(Service::Dna, format!("/v1/dna/{id}")),
            Variant::get(Service::Dna, format!("/api/lineage/{id}")),
        ];
        let call = Call::new("dna.lineage", Repeat::Safe, variants).answered_by(&[404]);
        let answer = self.session.read(call).await?;
        match answer.is_object() {
            true => Ok((*answer).clone()),
            false => Err(ServiceError::malformed(Service::Dna, 200, "the answer is no object")),
        }
    }

    /// Adds an event to the lineage of an entity with `POST /v1/dna/evolve`, or its older path, and returns
    /// the DNA id if the answer has it. ChittyDNA cannot be asked whether it has an event. It may recognise
    /// a repeat by the idempotency key, but does not promise to.
    ///
    /// # Errors
    /// No answer, or a refusal (404: the entity has no lineage, or the service is not there).
    pub async fn evolve(
        &self,
        id: &ChittyId,
        event: &str,
        changes: Value,
        timestamp: &str,
        idempotency_key: Option<&str>,
    ) -> Result<Option<String>, ServiceError> {
        let body = json!({ "chittyId": id.as_str(), "event": event, "changes": changes, "timestamp": timestamp });
        let older = format!("/v1/update/{}", segment(id.as_str()));
        let variants = vec![
            Variant::post(Service::Dna, "/v1/dna/evolve", body.clone()),
            Variant::send(Service::Dna, HttpMethod::Put, older, body),
        ];
        let call = Call::new("dna.evolve", Repeat::Never, variants)
            .keyed(idempotency_key)
            .answered_by(&[404]);
        let answer = self.session.call(call).await?;
        Ok(first_string(&answer.body, &["dna_id", "chittyDnaId", "dnaId"]).map(str::to_owned))
    }
}
