//! The rows of runs, and who may take one further.
//!
//! Whoever takes a run further holds a lease, which each save extends, and saves under the version
//! that it has read: a process whose lease has run out under it finds at its next save that another
//! has gone on, and stops.

use std::cell::{Cell, RefCell};

use async_trait::async_trait;
use chitty_core::{Backoff, Journal, Saga, SagaStatus};
use http_kit::problem::Problem;
use seams::db::{DbError, Params, Row, Statement, first_row};
use seams::{ids, time};
use serde_json::{Map, Value, json};

use crate::access::caller::{Scope, Source, WriteError, standing};
use crate::app::App;
use crate::store::event::{Event, EventKind};
use crate::store::work::{Due, Prune, Queue};
use crate::store::{Ready, outbox};

/// How long a process may be silent before another takes its run over, in ms: longer than a step with
/// its retries.
pub const LEASE_MS: u64 = 30_000;

/// The member of a run's input that says what its token stands on, as a [`Source`].
pub const SOURCE: &str = "source";

/// The member of a run's input that says by which credential it was started (SHA-256, hex).
pub const STARTED_BY: &str = "started_by";

/// What a run has made so far, on record in the transaction that saves the run: against whose limits
/// the new identity counts, and what its token stands on.
fn made(saga: &Saga) -> Vec<Statement> {
    let result = |step: &str, name: &str| {
        let found = saga.steps.iter().find(|record| record.name == step);
        let value = found.and_then(|record| record.result.as_ref()?.get(name)?.as_str());
        value.map(str::to_owned)
    };
    let source = saga.input.get(SOURCE).cloned().unwrap_or_default();
    let Ok(source) = serde_json::from_value::<Source>(source) else { return Vec::new() };
    let Some(id) = result("mint", "chitty_id") else { return Vec::new() };
    let sponsor = standing::sponsored(&id, &source.actor);
    let token = result("token", "token").map(|token| {
        let scopes = chitty_core::role_scopes(chitty_core::role_of(&saga.input));
        let until = saga.input.get("until").and_then(serde_json::Value::as_str).unwrap_or_default();
        standing::made(&ids::sha256_hex(&token), &id, &scopes, &source, until)
    });
    [sponsor].into_iter().chain(token).collect()
}

/// How long a token is on record after its end, in ms: 30 days, so that it stays refused here if
/// ChittyAuth lets it live longer than it was asked to.
const KEEP_TOKENS_MS: u64 = 30 * 24 * 3_600_000;

/// The tokens of identities that ended [`KEEP_TOKENS_MS`] ago.
pub fn prune_tokens(now_ms: u64) -> Prune {
    let tokens = Due {
        name: "made_tokens",
        from: "made_tokens",
        key: &["token_sha256"],
        owner: None,
        at: "expires_at",
        condition: "expires_at IS NOT NULL",
    };
    tokens.prune(now_ms, KEEP_TOKENS_MS, 500)
}

/// The pauses of a run that an outage has stopped, or that cannot be read, in ms.
pub const PAUSES_MS: Backoff = Backoff { first: 5_000, longest: 300_000 };

/// The runs that are to be taken further and that no process holds. The owners take turns.
pub const QUEUE: Queue = Queue {
    due: Due {
        name: "flows",
        from: "orchestrations",
        key: &["id"],
        owner: Some("owner_chitty_id"),
        at: "lease_until",
        condition: "status IN ('running', 'compensating')",
    },
    lease: "lease_until",
    attempts: "attempts",
    set: "version = version + 1, attempts = attempts + 1",
};

/// A run as it is stored.
#[derive(Debug, Clone)]
pub struct Orchestration {
    /// The run itself.
    pub saga: Saga,
    /// Of the request that started it.
    pub fingerprint: String,
    /// Who has started it.
    pub owner: String,
    /// By which credential.
    pub via: Option<String>,
    /// The trace of that request.
    pub traceparent: Option<String>,
    /// When it was last saved, ISO-8601.
    pub updated_at: String,
    /// How often it has been taken further.
    pub attempts: i64,
    version: i64,
}

/// What [`read`] reads.
pub const COLUMNS: &str =
    "state, fingerprint, traceparent, updated_at, attempts, version, id, owner_chitty_id, via";

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The stored state does not open, or is none.
    #[error("orchestration {0} does not open")]
    Sealed(String),
    /// The caller may not, or not any more.
    #[error("refused")]
    Refused(Box<Problem>),
}

impl From<WriteError> for StoreError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Db(error) => StoreError::Db(error),
            WriteError::Refused(problem) => StoreError::Refused(Box::new(problem)),
        }
    }
}

/// What a run is sealed for: its own row.
fn place(id: &str) -> String {
    format!("orchestrations/{id}")
}

fn seal(app: &App, saga: &Saga) -> Result<String, String> {
    // Plain data: this cannot fail.
    let text = serde_json::to_string(saga).unwrap_or_default();
    app.config.sealer.seal(&place(&saga.id), &text).map_err(|error| error.to_string())
}

/// Reads a run from [`COLUMNS`].
///
/// # Errors
/// When it does not open.
pub fn read(app: &App, mut row: Row) -> Result<Orchestration, StoreError> {
    let id = row.text(6)?;
    let text = app.config.sealer.open(&place(&id), &row.text(0)?);
    let saga = text.ok().and_then(|text| serde_json::from_str(&text).ok());
    Ok(Orchestration {
        saga: saga.ok_or(StoreError::Sealed(id))?,
        fingerprint: row.text(1)?,
        owner: row.text(7)?,
        via: row.optional_text(8)?,
        traceparent: row.optional_text(2)?,
        updated_at: row.text(3)?,
        attempts: row.integer(4)?,
        version: row.integer(5)?,
    })
}

fn one(app: &App, rows: Vec<Row>) -> Result<Option<Orchestration>, StoreError> {
    rows.into_iter().next().map(|row| read(app, row)).transpose()
}

/// A new run, leased to whoever inserts it, and the event that tells of it, in one transaction.
/// `Ok(None)` when its idempotency key is taken.
///
/// # Errors
/// When the caller may not; when it cannot be sealed or stored.
pub async fn insert(
    app: &App,
    ready: Ready<'_>,
    scope: &Scope,
    key: Option<&str>,
    fingerprint: &str,
    started: &Event,
    saga: Saga,
) -> Result<Option<Orchestration>, StoreError> {
    let state = seal(app, &saga).map_err(|_| StoreError::Sealed(saga.id.clone()))?;
    let now_ms = app.now_ms();
    let insert = Statement::new(format!(
        "INSERT INTO orchestrations (id, owner_chitty_id, flow, state, status, idempotency_key, \
         fingerprint, traceparent, version, lease_until, attempts, created_at, updated_at, via) \
         VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6, ?7, 1, ?8, 1, ?9, ?10, ?11) RETURNING {COLUMNS}"
    ))
    .bind(saga.id.as_str())
    .bind(scope.actor())
    .bind(saga.flow.as_str())
    .bind(state)
    .bind(key)
    .bind(fingerprint)
    .bind(started.traceparent.as_deref())
    .bind(time::iso8601(now_ms + LEASE_MS))
    .bind(saga.started_at.as_str())
    .bind(time::iso8601(now_ms))
    .bind(started.via.as_deref());
    let told = outbox::insert(started, app.config.outbox_overdue_ms);
    match scope.write(ready, vec![insert, told]).await {
        Ok(rows) => one(app, rows.into_iter().flatten().collect()),
        Err(error) if error.is_unique("orchestrations.owner_chitty_id") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The statement that looks for the run of an idempotency key; [`found`] reads it.
pub fn by_key(owner: &str, key: &str) -> Statement {
    Statement::new(format!(
        "SELECT {COLUMNS} FROM orchestrations WHERE owner_chitty_id = ?1 AND idempotency_key = ?2"
    ))
    .bind(owner)
    .bind(key)
}

/// The statement that looks for a run that a caller may see: its own, or as an administrator anybody's.
pub fn by_id_for(id: &str, scope: &Scope) -> Statement {
    let mut params = Params::default();
    let (id, own) = (params.add(id), params.add(scope.actor()));
    let admin = scope.is_admin_sql(&mut params);
    params.statement(format!(
        "SELECT {COLUMNS} FROM orchestrations \
         WHERE id = {id} AND (owner_chitty_id = {own} OR {admin})"
    ))
}

/// Reads what [`by_key`] or [`by_id_for`] found.
///
/// # Errors
/// When it does not open.
pub fn found(app: &App, rows: Vec<Row>) -> Result<Option<Orchestration>, StoreError> {
    one(app, rows)
}

/// The statement that lets go of a run that is held under a version: it is due again at `until_ms`.
fn rest(id: &str, version: i64, until_ms: u64) -> Statement {
    Statement::new("UPDATE orchestrations SET lease_until = ?3 WHERE id = ?1 AND version = ?2")
        .bind(id)
        .bind(version)
        .bind(time::iso8601(until_ms))
}

/// Takes the lease of a run that is due. `Ok(None)` when it is not, or no longer.
///
/// # Errors
/// When the database does not answer, or the run does not open.
pub async fn lease(
    app: &App,
    ready: Ready<'_>,
    id: &str,
) -> Result<Option<Orchestration>, StoreError> {
    let claim = QUEUE.claim_one(id, LEASE_MS, app.now_ms(), "", COLUMNS);
    let rows = ready.db().batch(vec![claim]).await?.pop().unwrap_or_default();
    let claimed = QUEUE.read(rows)?.pop();
    claimed.map(|(_, row)| read(app, row)).transpose()
}

/// The journal of one run, for the process that holds its lease.
pub struct RowJournal<'a> {
    app: &'a App,
    ready: Ready<'a>,
    version: Cell<i64>,
    saved_ms: Cell<Option<u64>>,
    /// Who has started the run, by which credential and in which trace.
    started: RunOrigin,
    ended: RefCell<Option<Event>>,
}

struct RunOrigin {
    owner: String,
    via: Option<String>,
    traceparent: Option<String>,
}

impl<'a> RowJournal<'a> {
    /// For a run that has just been inserted or leased.
    pub fn new(app: &'a App, ready: Ready<'a>, row: &Orchestration) -> Self {
        let started = RunOrigin {
            owner: row.owner.clone(),
            via: row.via.clone(),
            traceparent: row.traceparent.clone(),
        };
        let (version, saved_ms, ended) =
            (Cell::new(row.version), Cell::default(), RefCell::default());
        RowJournal { app, ready, version, saved_ms, started, ended }
    }

    /// The event that tells of the end of the run, if this journal has saved that.
    pub fn take_ended(&self) -> Option<Event> {
        self.ended.take()
    }

    /// What tells of the end of a run; nothing before that.
    fn end(&self, saga: &Saga, now_ms: u64) -> Option<Event> {
        let (kind, outcome) = match saga.status {
            SagaStatus::Running | SagaStatus::Compensating => return None,
            SagaStatus::Completed => (EventKind::OrchestrationCompleted, "done"),
            SagaStatus::Compensated => (EventKind::OrchestrationUndone, "undone"),
            SagaStatus::Failed => (EventKind::OrchestrationFailed, "failed"),
        };
        let mut payload = Map::new();
        payload.insert("flow".to_owned(), json!(saga.flow));
        payload.insert("outcome".to_owned(), json!(outcome));
        let mut minted =
            saga.steps.iter().filter_map(|step| step.result.as_ref()?.get("chitty_id"));
        if let Some(id) = minted.next().filter(|_| saga.status == SagaStatus::Completed) {
            payload.insert("chitty_id".to_owned(), id.clone());
        }
        let RunOrigin { owner, via, traceparent } = &self.started;
        let payload = Value::Object(payload);
        let event = Event::new(now_ms, kind, &saga.id, owner, payload, traceparent.as_deref());
        Some(Event { via: via.clone(), ..event })
    }

    /// When it was last saved, ISO-8601, if it was.
    pub fn saved_at(&self) -> Option<String> {
        self.saved_ms.get().map(time::iso8601)
    }

    /// Lets go of the run: it is due again after `pause_ms`.
    ///
    /// # Errors
    /// When the database does not answer; the lease then runs out by itself.
    pub async fn rest(&self, id: &str, pause_ms: u64) -> Result<(), DbError> {
        let until_ms = self.app.now_ms() + pause_ms;
        let rest = rest(id, self.version.get(), until_ms);
        self.ready.db().batch(vec![rest]).await.map(|_| ())
    }
}

impl RowJournal<'_> {
    /// The reports of identities that a run has perhaps minted and that nobody knows, for the batch that
    /// ends it, before the run itself: written only where that is still the version that it was read as.
    fn reports(&self, saga: &Saga) -> Vec<Statement> {
        if !saga.status.is_final() {
            return Vec::new();
        }
        let report = |intent: String| {
            let payload = json!({
                "reason": "mint_not_settled", "in_doubt": true, "intent": intent,
                "purpose": "orchestration", "intended_at": saga.started_at,
            });
            let kind = EventKind::IdentityOrphaned;
            let RunOrigin { owner, via, traceparent } = &self.started;
            let (now_ms, trace) = (self.app.now_ms(), traceparent.as_deref());
            let event = Event::new(now_ms, kind, &intent, owner, payload, trace);
            let event = Event { via: via.clone(), ..event };
            let overdue_ms = self.app.config.outbox_overdue_ms;
            run_row(&event, overdue_ms, &saga.id, self.version.get())
        };
        saga.keys_in_doubt("mint").map(report).collect()
    }
}

#[async_trait(?Send)]
impl Journal for RowJournal<'_> {
    async fn save(&self, saga: &Saga) -> Result<(), String> {
        let now_ms = self.app.now_ms();
        let save = Statement::new(
            "UPDATE orchestrations SET state = ?3, status = ?4, lease_until = ?5, updated_at = ?6, \
             version = version + 1 WHERE id = ?1 AND version = ?2 RETURNING version",
        )
        .bind(saga.id.as_str())
        .bind(self.version.get())
        .bind(seal(self.app, saga)?)
        .bind(saga.status.as_str())
        .bind(time::iso8601(now_ms + LEASE_MS))
        .bind(time::iso8601(now_ms));
        let ended = self.end(saga, now_ms);
        let mut batch = self.reports(saga);
        let saved_at = batch.len();
        batch.push(save);
        batch.extend(made(saga));
        // Only if it was saved by this: any other save has another version and is no end.
        batch.extend(ended.as_ref().map(|event| {
            let version = self.version.get() + 1;
            ended_row(event, self.app.config.outbox_overdue_ms, version)
        }));
        let rows = self.ready.db().batch(batch).await.map_err(|error| error.to_string())?;
        match first_row(rows.into_iter().nth(saved_at)) {
            Some(row) => {
                *self.ended.borrow_mut() = ended;
                self.version.set(row.integer(0).map_err(|error| error.to_string())?);
                self.saved_ms.set(Some(now_ms));
                Ok(())
            }
            None => Err("another process has taken it further".to_owned()),
        }
    }
}

/// The runs that have been over for 30 days.
pub fn prune(now_ms: u64) -> Prune {
    const KEEP_MS: u64 = 30 * 24 * 3_600_000;
    let condition = "status NOT IN ('running', 'compensating')";
    Due { name: "orchestrations", at: "updated_at", condition, ..QUEUE.due }
        .prune(now_ms, KEEP_MS, 100)
}

/// The row of the event that a run is over and may have minted an identity that nobody knows, written only
/// while the run is at that version.
fn run_row(event: &Event, overdue_ms: u64, run: &str, version: i64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM orchestrations WHERE id = ?11 AND version = ?12)";
    outbox::insert_if(event, overdue_ms, condition).bind(run).bind(version)
}

/// The row of the event that tells of the end of a run of a flow, written only if the batch has saved
/// that as the run's `version`.
fn ended_row(event: &Event, overdue_ms: u64, version: i64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM orchestrations WHERE id = ?4 AND version = ?11 \
         AND status NOT IN ('running', 'compensating'))";
    outbox::insert_if(event, overdue_ms, condition).bind(version)
}
