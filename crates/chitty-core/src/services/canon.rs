//! Canon (`canon.chitty.cc`): canonical data.

use serde_json::{Value, json};

use crate::error::ServiceError;
use crate::retry::Repeat;
use crate::service::Service;
use crate::services::answers::{GONE, ID_NAMES, gone_is_done};
use crate::session::Session;
use crate::transport::HttpMethod;
use crate::wire::{self, Call, Variant, first_string, segment};

/// Client of Canon.
pub struct CanonClient<'a> {
    pub(crate) session: &'a Session,
}

impl CanonClient<'_> {
    /// Returns the canonical values of a category, such as `case-types`, with `GET /canon/{category}`.
    ///
    /// # Errors
    /// No answer, a refusal (404: no such category), or an answer without data.
    pub async fn category(&self, category: &str) -> Result<Value, ServiceError> {
        let path = format!("/canon/{}", segment(category));
        let variant = Variant::get(Service::Canon, path);
        let call = Call::new("canon.category", Repeat::Safe, vec![variant]).answered_by(GONE);
        let answer = self.session.read(call).await?;
        answer.get("data").cloned().ok_or_else(|| malformed("no data in the answer"))
    }

    /// Whether a value is canonical, with `POST /canon/validate`.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without a verdict.
    pub async fn validate(&self, kind: &str, value: &str) -> Result<bool, ServiceError> {
        let body = json!({ "type": kind, "value": value });
        let variant = Variant::post(Service::Canon, "/canon/validate", body);
        let answer =
            self.session.read(Call::new("canon.validate", Repeat::Safe, vec![variant])).await?;
        let verdict = answer.get("valid").and_then(Value::as_bool);
        verdict.ok_or_else(|| malformed("no verdict in the answer"))
    }

    /// Searches canonical data for words, with `GET /canon/search`.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without results.
    pub async fn search(
        &self,
        words: &str,
        category: Option<&str>,
    ) -> Result<Vec<Value>, ServiceError> {
        let query = wire::query(&[("q", Some(words)), ("category", category)]);
        let variant = Variant::get(Service::Canon, format!("/canon/search{query}"));
        let answer =
            self.session.read(Call::new("canon.search", Repeat::Safe, vec![variant])).await?;
        let results = answer.get("results").and_then(Value::as_array);
        results.cloned().ok_or_else(|| malformed("no results in the answer"))
    }

    /// Makes a canonical record with `POST /canon/records` and returns its id.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without an id.
    pub async fn create_record(
        &self,
        record: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<String, ServiceError> {
        let variant = Variant::post(Service::Canon, "/canon/records", record.clone());
        let call = Call::new("canon.create_record", Repeat::WhenTurnedAway, vec![variant])
            .keyed(idempotency_key);
        let answer = self.session.call(call).await?;
        first_string(&answer.body, &["canonId", "canon_id", "id"])
            .or_else(|| first_string(&answer.body, ID_NAMES))
            .map(str::to_owned)
            .ok_or_else(|| malformed("no id in the answer"))
    }

    /// Removes a canonical record with `DELETE /canon/records/{id}`. A record that does not exist counts
    /// as removed.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn remove_record(&self, id: &str) -> Result<(), ServiceError> {
        let path = format!("/canon/records/{}", segment(id));
        let variant = Variant { method: HttpMethod::Delete, ..Variant::get(Service::Canon, path) };
        let call = Call::new("canon.remove_record", Repeat::Safe, vec![variant]).answered_by(GONE);
        gone_is_done(self.session.tell(call).await)
    }
}

fn malformed(detail: &str) -> ServiceError {
    ServiceError::malformed(Service::Canon, 200, detail)
}
