//! What requests and replies of orchestrations look like: for the API description only.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// A run of a flow.
#[derive(ToSchema)]
#[schema(as = Orchestration)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct OrchestrationView {
    /// `orc_` and a UUID.
    id: String,
    /// The flow.
    flow: String,
    /// `running`, `completed`, `compensating`, `compensated`, or `failed` when something could not be
    /// undone.
    status: String,
    /// Its steps, in order.
    steps: Vec<StepView>,
    /// What the steps yielded, once it is completed; the `token` only in replies to who has started
    /// it.
    result: BTreeMap<String, serde_json::Value>,
    /// ISO-8601.
    created_at: String,
    /// ISO-8601.
    updated_at: String,
}

/// A step of a run.
#[derive(ToSchema)]
#[schema(as = OrchestrationStep)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct StepView {
    /// Its name.
    name: String,
    /// `pending`, `started`, `done`, `skipped`, `failed`, `compensating`, `compensated` or `stuck`.
    state: String,
    /// How often it, or its compensation, was attempted.
    attempts: u32,
    /// Attempts that may have had their effect without saying so.
    in_doubt: u32,
    /// Why its last attempt failed: the service and the failure.
    error: Option<String>,
    /// What it yielded.
    #[schema(value_type = Option<Object>)]
    result: Option<()>,
}

/// A run, as it is answered to who has started it.
#[derive(ToSchema)]
#[schema(as = OrchestrationReply)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct OrchestrationReplyView {
    /// Always true.
    success: bool,
    /// The run.
    orchestration: OrchestrationView,
}

/// What a flow is started with.
#[derive(ToSchema)]
#[schema(as = OrchestrationInput)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct OrchestrationInputView {
    /// Whose e-mail address.
    #[schema(format = "email")]
    email: String,
    /// `viewer`, `user` (the default) or, for administrators, `admin`.
    role: Option<String>,
}
