//! The gateway's own registration in the ecosystem, in the background of its requests.
//!
//! The spec (document 002) names seven steps: mint → DNA → keys → register → verify → certify → log.
//! `registration_steps` holds one row for each step that has succeeded, so a later request or the cron
//! resumes the work where it stopped. The gateway serves requests meanwhile, even if a step fails.
//!
//! Several isolates may race. A lease (`lease`) admits one attempt at a time and holds the backoff for all
//! isolates. If a lease runs out under a slow holder, a step's primary key decides whose result counts.
//! `steps` says what each step does.

mod lease;
mod steps;

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;

use chitty_core::{CallContext, Service};
use seams::db::{DbError, Statement};
use seams::log;
use serde::Serialize;

use crate::app::{App, Settings, Slot};
use crate::config::{Config, Reader};
use crate::registration::steps::Failure;
pub use crate::registration::steps::Step;
use crate::store::{Database, Ready, Schema};

/// The results of the steps that have succeeded.
pub(crate) type Results = BTreeMap<Step, String>;

/// The progress of the registration, as far as this isolate knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Progress {
    /// The gateway's own ChittyID, once minted.
    pub chitty_id: Option<String>,
    /// The steps that have succeeded, in order.
    pub completed: Vec<Step>,
    /// The remaining steps, in order.
    pub pending: Vec<Step>,
    /// Why the last attempt of this isolate failed: service and failure, by their stable names.
    pub last_error: Option<String>,
    /// When this isolate may look again, in ms since the Unix epoch.
    #[serde(skip)]
    next_look_ms: u64,
    /// Whether this isolate has read the recorded steps.
    #[serde(skip)]
    has_looked: bool,
}

impl Progress {
    /// The name of the state in `/health`.
    pub fn as_str(&self) -> &'static str {
        match (self.is_complete(), &self.last_error) {
            (true, _) => "registered",
            (false, Some(_)) => "degraded",
            (false, None) => "pending",
        }
    }

    /// Whether this isolate should continue the registration now.
    pub fn is_due(&self, now_ms: u64) -> bool {
        !self.is_complete() && now_ms >= self.next_look_ms
    }

    fn is_complete(&self) -> bool {
        self.has_looked && self.pending.is_empty()
    }

    fn learn(&mut self, app: &App, results: &Results) {
        self.chitty_id = results.get(&Step::Mint).cloned();
        self.completed = results.keys().copied().collect();
        self.pending = wanted(app).filter(|step| !results.contains_key(step)).collect();
        self.has_looked = true;
        if self.pending.is_empty() {
            self.last_error = None;
        }
    }
}

/// This isolate's knowledge of the registration.
#[derive(Default)]
pub struct Registration(RefCell<Progress>);

impl Slot for Registration {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl Registration {
    /// The progress. The caller must not hold the borrow across an `await`.
    pub fn progress(&self) -> Ref<'_, Progress> {
        self.0.borrow()
    }
}

/// Whether there is background work for this isolate now.
pub fn is_due(app: &App, now_ms: u64) -> bool {
    let schema = Schema::of(app);
    match schema.state() {
        Database::Ready => Registration::of(app).progress().is_due(now_ms),
        Database::Pending | Database::Failed => schema.is_due(now_ms),
    }
}

/// Does the background work: applies the schema if it is missing, then continues the registration.
pub async fn initialize(app: &App) {
    if let Ok(ready) = Ready::ensure(app).await {
        advance(app, ready).await;
    }
}

/// The steps that this gateway takes. Without `REGISTRY_AUTO_REGISTER` it leaves out `register`, and takes
/// that step once the variable is switched on.
fn wanted(app: &App) -> impl Iterator<Item = Step> {
    let auto_register = AutoRegister::of(app).0;
    Step::ALL.into_iter().filter(move |step| *step != Step::Register || auto_register)
}

/// The pause of an isolate between two looks at the registration, in ms.
const LOOK_PAUSE_MS: u64 = 5_000;

/// Continues the registration as far as possible, unless another isolate holds the lease.
async fn advance(app: &App, ready: Ready<'_>) {
    let now_ms = app.now_ms();
    if !Registration::of(app).0.borrow().is_due(now_ms) {
        return;
    }
    // Set first, so that requests that arrive meanwhile do not start the same work.
    Registration::of(app).0.borrow_mut().next_look_ms = now_ms + LOOK_PAUSE_MS;
    let outcome = attempt(app, ready).await;
    if let Err(failure) = outcome {
        log::warn("registration_failed", &[("error", &failure.detail)]);
        Registration::of(app).0.borrow_mut().last_error = Some(failure.name);
    }
}

async fn attempt(app: &App, ready: Ready<'_>) -> Result<(), Failure> {
    // 1. Read the steps on record; nothing is left to do if they are all there.
    let mut results = recorded(ready).await?;
    let learn = |results: &Results| {
        let mut progress = Registration::of(app).0.borrow_mut();
        progress.learn(app, results);
        progress.is_complete()
    };
    if learn(&results) {
        return Ok(());
    }
    // 2. Take the lease on an attempt.
    let Some(lease) = lease::take(app, ready).await? else {
        // Another isolate holds the lease, or the pause after a failure is not over.
        return Ok(());
    };
    // 3. Read the steps again: another isolate may have recorded some before this one took the lease.
    results = recorded(ready).await?;
    // 4. Take the other steps in order; after a failure, give the lease back with a pause.
    let session = app.core.session(CallContext::default());
    for step in wanted(app) {
        if results.contains_key(&step) {
            continue;
        }
        match steps::take(step, app, ready, &session, &results).await {
            Ok(result) => {
                results.insert(step, result);
                learn(&results);
            }
            Err(failure) => {
                lease.give_back(app, ready, &failure).await;
                return Err(failure);
            }
        }
    }
    learn(&results);
    // 5. End the lease: every step is taken.
    lease.end(ready).await;
    log::info("registered", &[("chitty_id", results.get(&Step::Mint).map_or("", String::as_str))]);
    Ok(())
}

/// Reads the results of the recorded steps.
async fn recorded(ready: Ready<'_>) -> Result<Results, DbError> {
    let rows =
        ready.db().rows(Statement::new("SELECT step, result FROM registration_steps")).await?;
    rows.into_iter()
        .map(|mut row| {
            let step = Step::parse(&row.text("step")?).ok_or(DbError::Shape)?;
            Ok((step, row.text("result")?))
        })
        .collect()
}

/// Whether the gateway registers itself with ChittyRegister.
pub struct AutoRegister(pub bool);

impl Settings for AutoRegister {
    fn read(config: &Config, reader: &mut Reader) -> Self {
        let is_on = reader.switch("REGISTRY_AUTO_REGISTER");
        let has_token = config.service_tokens.contains_key(&Service::Register);
        if is_on && config.environment.is_deployed() && !has_token {
            reader.lacks_secret("CHITTY_REGISTER_TOKEN");
        }
        AutoRegister(is_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::settings::tests::settings;

    #[test]
    fn a_deployed_gateway_needs_a_token_to_register() {
        let lacking = |pairs: &[_]| settings::<AutoRegister>(pairs).1.len();
        let (switch, deployed) = (("REGISTRY_AUTO_REGISTER", "true"), ("ENVIRONMENT", "staging"));
        assert_eq!(lacking(&[deployed, switch]), 1);
        assert_eq!(lacking(&[deployed, switch, ("CHITTY_REGISTER_TOKEN", "t")]), 0);
        assert_eq!(lacking(&[deployed]), 0);
        assert_eq!(lacking(&[("ENVIRONMENT", "development"), switch]), 0);
    }
}
