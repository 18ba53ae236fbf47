//! The schemas of the requests and replies of orchestrations, for the API description only.

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
    /// `running`, `completed`, `compensating`, `compensated`, or `failed` when a step could not be undone.
    status: String,
    /// The steps of the run, in order.
    steps: Vec<StepView>,
    /// The results of the steps, once the run is completed; with `token` only for the credential that started
    /// the run, in replies to `POST`.
    result: BTreeMap<String, serde_json::Value>,
    /// When the run was started, ISO-8601.
    created_at: String,
    /// When the run was last saved, ISO-8601.
    updated_at: String,
}

/// A step of a run.
#[derive(ToSchema)]
#[schema(as = OrchestrationStep)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct StepView {
    /// The step's name.
    name: String,
    /// `pending`, `started`, `done`, `skipped`, `failed`, `compensating`, `compensated` or `stuck`.
    state: String,
    /// How often the step, or its compensation, was attempted.
    attempts: u32,
    /// How many attempts are in doubt: they may have taken effect without an answer.
    in_doubt: u32,
    /// Why the last attempt failed: the service and the failure.
    error: Option<String>,
    /// The step's result.
    #[schema(value_type = Option<Object>)]
    result: Option<()>,
}

/// A run, as the caller that started it sees it.
#[derive(ToSchema)]
#[schema(as = OrchestrationReply)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct OrchestrationReplyView {
    /// Always true.
    success: bool,
    /// The run.
    orchestration: OrchestrationView,
}

/// The input of a flow.
#[derive(ToSchema)]
#[schema(as = OrchestrationInput)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct OrchestrationInputView {
    /// The e-mail address of the new user.
    #[schema(format = "email")]
    email: String,
    /// `viewer`, `user` (the default) or, for administrators, `admin`.
    role: Option<String>,
}
