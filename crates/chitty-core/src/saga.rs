//! Sagas: ordered steps at several services, of which in the end either all are done or each done
//! one is compensated, whatever crashes in between.
//!
//! A [`Flow`] says what the steps are, a [`Saga`] how far one run of it is. The saga is plain data
//! and is saved through a [`Journal`] before each step, so whoever finds it after a crash goes on from
//! there: a step that had begun is done again under the same key ([`Saga::key`]), by which services
//! recognise the repeat.
//!
//! ```text
//!            every step done
//!  running ─────────────────▶ completed
//!     │ a step is refused, or has failed too often
//!     ▼
//!  compensating ────────────▶ compensated      the done steps are undone, last first
//!     │ a compensation is refused
//!     └─────────────────────▶ failed           somebody has to look; the saga says where
//! ```
//!
//! An outage stops a saga where it is: it is taken further later, and only after
//! [`MAX_ATTEMPTS`] attempts at one step does it turn back. An attempt whose answer was lost or could
//! not be read may have had its effect: before a saga that has turned back says that everything is undone
//! it asks once more under the same key, where the service recognises that, and undoes what comes to
//! light. Neither that nor undoing is given up because of an outage.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ServiceError;
use crate::operation::Operation;
use crate::session::Session;

/// How often a step is attempted before the saga turns back.
pub const MAX_ATTEMPTS: u32 = 5;

/// What a step's operation is made from.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What the flow was started with.
    pub input: &'a Value,
    /// When it was started, ISO-8601 UTC.
    pub started_at: &'a str,
    steps: &'a [StepRecord],
}

impl<'a> Facts<'a> {
    /// A text of the input; empty when there is none, which [`Flow::check`] has seen to.
    pub fn input(&self, name: &str) -> &'a str {
        self.input.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A text that an earlier step yielded; empty when there is none.
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
    /// What it does.
    pub run: fn(Facts<'_>) -> Operation,
    /// What undoes it. `None` when nothing needs to be undone, or nothing can be: also when the step
    /// was only attempted, and undoing it would take what it yields.
    pub compensate: fn(Facts<'_>) -> Option<Operation>,
    /// Whether the service recognises a repeat by its key and answers as it did to the first attempt: then
    /// asking again tells what became of an attempt in doubt.
    pub recognises_repeats: bool,
    /// Whether the flow goes on when it fails.
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

/// A flow: what is done in which order.
pub struct Flow {
    /// Its name.
    pub name: &'static str,
    /// Its steps.
    pub steps: &'static [Step],
    /// Says what is wrong with an input; nothing when it is acceptable.
    pub check: fn(&Value) -> Vec<InputError>,
    /// The members that an input may have; whoever takes it refuses others.
    pub members: &'static [&'static str],
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SagaStatus {
    /// Steps are still to be taken.
    Running,
    /// Every step is done.
    Completed,
    /// It has turned back.
    Compensating,
    /// Every step that was done is undone.
    Compensated,
    /// A compensation was refused.
    Failed,
}

impl SagaStatus {
    /// As it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            SagaStatus::Running => "running",
            SagaStatus::Completed => "completed",
            SagaStatus::Compensating => "compensating",
            SagaStatus::Compensated => "compensated",
            SagaStatus::Failed => "failed",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        !matches!(self, SagaStatus::Running | SagaStatus::Compensating)
    }
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Begun; whether it had its effect is open.
    Started,
    /// Done.
    Done,
    /// Failed, and the flow went on without it.
    Skipped,
    /// Failed for good. Whether it had its effect may be open.
    Failed,
    /// Its compensation has begun.
    Compensating,
    /// Undone.
    Compensated,
    /// Its compensation was refused.
    Stuck,
}

/// What is known of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: StepState,
    /// What it yielded. May hold secrets.
    #[serde(default)]
    pub result: Option<Value>,
    /// Why its last attempt failed: the service and the failure's stable name.
    #[serde(default)]
    pub error: Option<String>,
    /// How often it, or its compensation, has been attempted.
    #[serde(default)]
    pub attempts: u32,
    /// Attempts that may have had their effect without saying so. For what cannot be done twice, such
    /// as minting, each may have left something behind.
    #[serde(default)]
    pub in_doubt: u32,
}

/// One run of a flow. Plain data: what is saved and found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saga {
    /// Its id; unique, since the keys of its steps begin with it.
    pub id: String,
    /// The flow's name.
    pub flow: String,
    /// What it was started with.
    pub input: Value,
    /// When, ISO-8601 UTC.
    pub started_at: String,
    /// How it stands.
    pub status: SagaStatus,
    /// Each step, in order.
    pub steps: Vec<StepRecord>,
}

/// Where a saga's progress is kept.
#[async_trait(?Send)]
pub trait Journal {
    /// Keeps the saga as it is now. Returns only once it would be found after a crash.
    ///
    /// # Errors
    /// What is wrong, for logs. Whether it was kept is open; the saga is not taken further.
    async fn save(&self, saga: &Saga) -> Result<(), String>;
}

/// Why a saga was not taken further for now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Halt {
    /// A service could not be asked or could not answer: later.
    #[error("{0}")]
    Service(ServiceError),
    /// The journal failed.
    #[error("journal: {0}")]
    Journal(String),
}

/// What a task is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskKind {
    /// To do a step.
    Do,
    /// To find out what a step yielded whose attempts are in doubt, so that it can be undone.
    FindOut,
    /// To undo a step.
    Undo,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    step: usize,
    aim: TaskKind,
    /// What.
    pub operation: Operation,
    /// Under which idempotency key.
    pub key: String,
    /// Whether it was begun before, so that it may have been done.
    pub is_repeat: bool,
}

impl Saga {
    /// A run that has not begun. The input must have passed [`Flow::check`].
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

    /// The idempotency keys of the steps that were perhaps done more often than is known: for a mint,
    /// what the authority finds the identities by that nobody knows.
    pub fn keys_in_doubt<'a>(&'a self, step: &'a str) -> impl Iterator<Item = String> + 'a {
        let in_doubt = move |record: &StepRecord| record.name == step && record.in_doubt > 0;
        let steps = self.steps.iter().enumerate();
        steps.filter(move |(_, record)| in_doubt(record)).map(|(at, _)| self.key(at, "do"))
    }

    /// The idempotency key of a step; the same at each attempt.
    fn key(&self, step: usize, direction: &str) -> String {
        format!("{}-{step}-{direction}", self.id)
    }

    fn facts(&self) -> Facts<'_> {
        Facts { input: &self.input, started_at: &self.started_at, steps: &self.steps }
    }

    /// Begins what is next and says what it is; nothing when the saga is at its end. Pure: saving
    /// comes before performing.
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
            // Nobody has noted how the attempt before this one ended.
            record.in_doubt += 1;
        }
        record.state = StepState::Started;
        record.attempts += 1;
        let is_repeat = record.attempts > 1;
        Some(Task { step, aim: TaskKind::Do, operation, key: self.key(step, "do"), is_repeat })
    }

    /// Undoes what is done, last first; and what was attempted and may have been done. Where that takes
    /// what it yielded, this is found out first, if the service recognises a repeat.
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
                // There is nothing to undo about it.
                None if done => record.state = StepState::Compensated,
                _ => {}
            }
        }
        None
    }

    /// Notes how a task ended.
    ///
    /// # Errors
    /// The failure, when it is one after which the saga should rest for a while.
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
                    // Noted already whether it is in doubt, so it is not "started" any more.
                    record.state = StepState::Pending;
                    return Err(error);
                }
                record.state = StepState::Failed;
                self.status = SagaStatus::Compensating;
            }
            // What is undone is undone until it is, and what is open is open until it is known.
            TaskKind::FindOut | TaskKind::Undo if !is_verdict(&error) => return Err(error),
            // A service that recognises repeats refuses none of what it has done.
            TaskKind::FindOut => record.in_doubt = 0,
            TaskKind::Undo => record.state = StepState::Stuck,
        }
        Ok(())
    }
}

/// Whether a refusal is about what was asked for. Any other may come from whoever stands before the
/// service, or be about this program.
fn is_verdict(error: &ServiceError) -> bool {
    !error.in_doubt && matches!(error.status, Some(400 | 413 | 422))
}

impl Session {
    /// Takes a saga as far as it goes: to its end, or to where a service or the journal stops it.
    ///
    /// # Errors
    /// [`Halt`]: the saga is to be found in the journal and taken further later.
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
