//! Sagas: ordered steps at several services. In the end either all steps are done, or each done step is
//! compensated, even if the program crashes in between.
//!
//! A [`Flow`] defines the steps; a [`Saga`] says how far one run of the flow is. The saga is plain data,
//! and it is saved through a [`Journal`] before each step, so that another process can continue it
//! after a crash. That process repeats a step that had begun, under the same key ([`Saga::key`]), by
//! which services recognise the repeat.
//!
//! ```text
//!            every step done
//!  running ─────────────────▶ completed
//!     │ a step is refused, or has failed too often
//!     ▼
//!  compensating ────────────▶ compensated      the done steps are undone, last first
//!     │ a compensation is refused
//!     └─────────────────────▶ failed           an operator must look; the steps show where
//! ```
//!
//! An outage stops a saga where it is, to be continued later. After [`MAX_ATTEMPTS`] attempts at one
//! step the saga turns back. An attempt whose answer was lost or could not be read may have had its
//! effect. A saga that has turned back therefore repeats such a step under the same key, if the service
//! recognises repeats, and then undoes what the answer reveals. An outage ends neither these repeats nor
//! the undoing.
//!
//! The saga and its steps are one state machine, so their states and transitions stay in one file.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ServiceError;
use crate::operation::Operation;
use crate::session::Session;

/// How often a step is attempted before the saga turns back.
pub const MAX_ATTEMPTS: u32 = 5;

/// The data from which a step's operation is made.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The input of the run.
    pub input: &'a Value,
    /// When the run was started, ISO-8601 UTC.
    pub started_at: &'a str,
    steps: &'a [StepRecord],
}

impl<'a> Facts<'a> {
    /// Returns a text from the input, or an empty text. [`Flow::check`] has refused inputs that lack a
    /// necessary one.
    pub fn input(&self, name: &str) -> &'a str {
        self.input.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns a text from the result of an earlier step, or an empty text.
    pub fn result(&self, step: &str, name: &str) -> &'a str {
        let found = self.steps.iter().find(|record| record.name == step);
        let value = found.and_then(|record| record.result.as_ref()?.get(name)?.as_str());
        value.unwrap_or_default()
    }
}

/// One step of a flow.
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Makes the operation that does the step.
    pub run: fn(Facts<'_>) -> Operation,
    /// Makes the operation that undoes the step. `None` when nothing needs to be undone or can be undone.
    /// The latter includes a step that was only attempted, if undoing it needs its result.
    pub compensate: fn(Facts<'_>) -> Option<Operation>,
    /// Whether the service recognises a repeat by its key, and answers it like the first attempt. Then a
    /// repeat reveals what became of an attempt in doubt.
    pub recognises_repeats: bool,
    /// Whether the flow continues when the step fails.
    pub optional: bool,
}

/// An unacceptable input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// JSON pointer into the input.
    pub pointer: &'static str,
    /// What is wrong.
    pub detail: &'static str,
}

/// A flow: steps in their order.
pub struct Flow {
    /// Its name.
    pub name: &'static str,
    /// Its steps.
    pub steps: &'static [Step],
    /// Returns what is wrong with an input; nothing when it is acceptable.
    pub check: fn(&Value) -> Vec<InputError>,
    /// The members that an input may have. The program must refuse an input with others.
    pub members: &'static [&'static str],
}

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SagaStatus {
    /// Steps remain to be done.
    Running,
    /// Every step is done, except optional ones that failed.
    Completed,
    /// The run has turned back: the done steps are being undone.
    Compensating,
    /// Every step that was done is undone.
    Compensated,
    /// A compensation was refused.
    Failed,
}

impl SagaStatus {
    /// Returns the serialized form.
    pub fn as_str(self) -> &'static str {
        match self {
            SagaStatus::Running => "running",
            SagaStatus::Completed => "completed",
            SagaStatus::Compensating => "compensating",
            SagaStatus::Compensated => "compensated",
            SagaStatus::Failed => "failed",
        }
    }

    /// Whether the run is at its end.
    pub fn is_final(self) -> bool {
        !matches!(self, SagaStatus::Running | SagaStatus::Compensating)
    }
}

/// The state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Begun; it may have had its effect.
    Started,
    /// Done.
    Done,
    /// Failed, and the flow went on without it.
    Skipped,
    /// Failed for good. It may still have had its effect: see [`StepRecord::in_doubt`].
    Failed,
    /// Its compensation has begun.
    Compensating,
    /// Undone.
    Compensated,
    /// Its compensation was refused.
    Stuck,
}

/// The record of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StepState,
    /// Its result. May hold secrets.
    #[serde(default)]
    pub result: Option<Value>,
    /// Why its last attempt failed: the service and the failure's stable name.
    #[serde(default)]
    pub error: Option<String>,
    /// The number of attempts at the step, or at its compensation.
    #[serde(default)]
    pub attempts: u32,
    /// The number of attempts that may have had their effect although no answer said so. Where the
    /// service does not recognise repeats, as at a mint, each may have left something behind.
    #[serde(default)]
    pub in_doubt: u32,
}

/// One run of a flow: the plain data that a [`Journal`] saves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saga {
    /// Its id. It must be unique, because the keys of the steps begin with it.
    pub id: String,
    /// The flow's name.
    pub flow: String,
    /// The input of the run.
    pub input: Value,
    /// When the run was started, ISO-8601 UTC.
    pub started_at: String,
    /// Its status.
    pub status: SagaStatus,
    /// The steps, in order.
    pub steps: Vec<StepRecord>,
}

/// The store of a saga's progress.
#[async_trait(?Send)]
pub trait Journal {
    /// Saves the saga. Returns only once a process that starts after a crash would find it.
    ///
    /// # Errors
    /// What is wrong, for logs. The saga may have been saved or not; it does not continue for now.
    async fn save(&self, saga: &Saga) -> Result<(), String>;
}

/// Why a saga stopped before its end.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Halt {
    /// A service could not be reached or could not answer. The saga can continue later.
    #[error("{0}")]
    Service(ServiceError),
    /// The journal failed.
    #[error("journal: {0}")]
    Journal(String),
}

/// The purpose of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskKind {
    /// Do a step.
    Do,
    /// Find out the result of a step whose attempts are in doubt, so that it can be undone.
    FindOut,
    /// Undo a step.
    Undo,
}

/// The next operation of a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    step: usize,
    aim: TaskKind,
    /// The operation.
    pub operation: Operation,
    /// The idempotency key of the operation.
    pub key: String,
    /// Whether the operation was begun before, so that it may have been done.
    pub is_repeat: bool,
}

impl Saga {
    /// Makes a run that has not begun. The input must have passed [`Flow::check`].
    pub fn new(flow: &Flow, id: String, input: Value, started_at: String) -> Self {
        let steps = flow.steps.iter().map(|step| StepRecord {
            name: step.name.to_owned(),
            state: StepState::Pending,
            result: None,
            error: None,
            attempts: 0,
            in_doubt: 0,
        });
        Saga {
            id,
            flow: flow.name.to_owned(),
            input,
            started_at,
            status: SagaStatus::Running,
            steps: steps.collect(),
        }
    }

    /// Returns the idempotency keys of the steps of this name that have attempts in doubt. By the key of
    /// a mint, the authority finds identities that no answer has reported.
    pub fn keys_in_doubt<'a>(&'a self, step: &'a str) -> impl Iterator<Item = String> + 'a {
        let in_doubt = move |record: &StepRecord| record.name == step && record.in_doubt > 0;
        let steps = self.steps.iter().enumerate();
        steps.filter(move |(_, record)| in_doubt(record)).map(|(at, _)| self.key(at, "do"))
    }

    /// Returns the idempotency key of a step, which is the same for each attempt.
    fn key(&self, step: usize, direction: &str) -> String {
        format!("{}-{step}-{direction}", self.id)
    }

    fn facts(&self) -> Facts<'_> {
        Facts { input: &self.input, started_at: &self.started_at, steps: &self.steps }
    }

    /// Begins the next task and returns it; `None` when the saga is at its end. Pure: the caller must save
    /// the saga before it performs the task.
    pub fn begin(&mut self, flow: &Flow) -> Option<Task> {
        loop {
            match self.status {
                SagaStatus::Running => match self.begin_step(flow) {
                    Some(task) => return Some(task),
                    None => self.status = SagaStatus::Completed,
                },
                SagaStatus::Compensating => match self.begin_compensation(flow) {
                    Some(task) => return Some(task),
                    None => {
                        let stuck = self.steps.iter().any(|step| step.state == StepState::Stuck);
                        self.status =
                            if stuck { SagaStatus::Failed } else { SagaStatus::Compensated };
                    }
                },
                SagaStatus::Completed | SagaStatus::Compensated | SagaStatus::Failed => {
                    return None;
                }
            }
        }
    }

    fn begin_step(&mut self, flow: &Flow) -> Option<Task> {
        let open =
            |record: &StepRecord| matches!(record.state, StepState::Pending | StepState::Started);
        let step = self.steps.iter().position(open)?;
        let operation = (flow.steps.get(step)?.run)(self.facts());
        let record = self.steps.get_mut(step)?;
        if record.state == StepState::Started {
            // The end of the attempt before this one was not recorded.
            record.in_doubt += 1;
        }
        record.state = StepState::Started;
        record.attempts += 1;
        let is_repeat = record.attempts > 1;
        Some(Task { step, aim: TaskKind::Do, operation, key: self.key(step, "do"), is_repeat })
    }

    /// Begins to undo the last step that is done, or that was attempted and may have been done. If undoing
    /// it needs a result that is not known, the task is first to find out the result, provided that the
    /// service recognises repeats.
    fn begin_compensation(&mut self, flow: &Flow) -> Option<Task> {
        for step in (0..self.steps.len()).rev() {
            let Step { run, compensate, recognises_repeats, optional, .. } =
                flow.steps.get(step)?;
            let (undo, again) = (compensate(self.facts()), run(self.facts()));
            let (key, key_of_run) = (self.key(step, "undo"), self.key(step, "do"));
            let record = self.steps.get_mut(step)?;
            let done = matches!(record.state, StepState::Done | StepState::Compensating);
            let in_doubt = record.state == StepState::Failed && record.in_doubt > 0;
            match undo {
                Some(operation) if done || in_doubt => {
                    if record.state != StepState::Compensating {
                        record.attempts = 0;
                    }
                    record.state = StepState::Compensating;
                    record.attempts += 1;
                    let is_repeat = record.attempts > 1;
                    return Some(Task { step, aim: TaskKind::Undo, operation, key, is_repeat });
                }
                None if in_doubt && *recognises_repeats && !optional => {
                    record.attempts += 1;
                    let (aim, is_repeat) = (TaskKind::FindOut, true);
                    let (operation, key) = (again, key_of_run);
                    return Some(Task { step, aim, operation, key, is_repeat });
                }
                // The step leaves nothing to undo.
                None if done => record.state = StepState::Compensated,
                _ => {}
            }
        }
        None
    }

    /// Records how a task ended.
    ///
    /// # Errors
    /// The failure, when the saga should pause and continue later.
    pub fn end(
        &mut self,
        flow: &Flow,
        task: &Task,
        outcome: Result<Value, ServiceError>,
    ) -> Result<(), ServiceError> {
        let Some(step) = flow.steps.get(task.step) else { return Ok(()) };
        let Some(record) = self.steps.get_mut(task.step) else { return Ok(()) };
        let error = match outcome {
            Ok(result) => {
                record.error = None;
                record.state = match task.aim {
                    TaskKind::Undo => StepState::Compensated,
                    TaskKind::Do | TaskKind::FindOut => StepState::Done,
                };
                if task.aim != TaskKind::Undo {
                    record.result = Some(result);
                }
                return Ok(());
            }
            Err(error) => error,
        };
        record.error = Some(format!("{}: {}", error.service, error.code()));
        match task.aim {
            TaskKind::Do if step.optional => record.state = StepState::Skipped,
            TaskKind::Do => {
                if error.may_have_had_its_effect() {
                    record.in_doubt += 1;
                }
                let is_open = error.may_have_had_its_effect() && step.recognises_repeats;
                if (error.is_retryable() || is_open) && record.attempts < MAX_ATTEMPTS {
                    // `in_doubt` has counted this attempt; `Started` would make the next one count it again.
                    record.state = StepState::Pending;
                    return Err(error);
                }
                record.state = StepState::Failed;
                self.status = SagaStatus::Compensating;
            }
            // Only a verdict ends these two tasks. After anything else the saga tries again later.
            TaskKind::FindOut | TaskKind::Undo if !is_verdict(&error) => return Err(error),
            // A service that recognises repeats would not refuse a step that it has done.
            TaskKind::FindOut => record.in_doubt = 0,
            TaskKind::Undo => record.state = StepState::Stuck,
        }
        Ok(())
    }
}

/// Whether an error is the service's verdict on the request itself. Any other may come from a proxy in
/// front of the service, or be about this program.
fn is_verdict(error: &ServiceError) -> bool {
    !error.in_doubt && matches!(error.status, Some(400 | 413 | 422))
}

impl Session {
    /// Advances a saga to its end, or until a service or the journal stops it.
    ///
    /// # Errors
    /// [`Halt`]: the caller can load the saga from the journal and advance it later.
    pub async fn advance(
        &self,
        flow: &Flow,
        saga: &mut Saga,
        journal: &dyn Journal,
    ) -> Result<(), Halt> {
        while let Some(task) = saga.begin(flow) {
            journal.save(saga).await.map_err(Halt::Journal)?;
            let outcome = self.perform(&task.operation, &task.key, task.is_repeat).await;
            if let Err(error) = saga.end(flow, &task, outcome) {
                journal.save(saga).await.map_err(Halt::Journal)?;
                return Err(Halt::Service(error));
            }
        }
        journal.save(saga).await.map_err(Halt::Journal)
    }
}

#[cfg(test)]
mod tests;
