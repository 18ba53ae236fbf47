//! The rows of runs and their leases.
//!
//! A process that advances a run holds a lease, which each save extends. Each save requires the version that
//! the process has read. So a process whose lease has run out learns at its next save that another process
//! has continued, and stops.

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

/// The member of a run's input that holds the [`Source`] on which its token depends.
pub const SOURCE: &str = "source";

/// The member of a run's input that holds the SHA-256 (hex) of the credential that started it.
pub const STARTED_BY: &str = "started_by";

/// The statements that record what a run has made so far, for the transaction that saves the run: whose
/// limits the new identity counts against, and the source on which its token depends.
fn made(saga: &Saga) -> Vec<Statement> {
    let result = |step: &str, name: &str| {
        let found = saga.steps.iter().find(|record| record.name == step);
        let value = found.and_then(|record| record.result.as_ref()?.get(name)?.as_str());
        value.map(str::to_owned)
    };
    let source = saga.input.get(SOURCE).cloned().unwrap_or_default();
    let Ok(source) = serde_json::from_value::<Source>(source) else { return Vec::new() };
    let Some(id) = result("mint", "chitty_id") else { return Vec::new() };
    let sponsor = standing::record_sponsor(&id, &source.actor);
    let token = result("token", "token").map(|token| {
        let scopes = chitty_core::role_scopes(chitty_core::role_of(&saga.input));
        let until = saga.input.get("until").and_then(serde_json::Value::as_str).unwrap_or_default();
        standing::record_token(&ids::sha256_hex(&token), &id, &scopes, &source, until)
    });
    [sponsor].into_iter().chain(token).collect()
}

/// The pauses after which a run is due again that an outage has stopped or that cannot be read, in ms.
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
    /// The fingerprint of the request that started the run.
    pub fingerprint: String,
    /// The actor that started the run.
    pub owner: String,
    /// The credential that the actor used.
    pub via: Option<String>,
    /// The trace of that request.
    pub traceparent: Option<String>,
    /// When the run was last saved, ISO-8601.
    pub updated_at: String,
    /// How often it has been taken further.
    pub attempts: i64,
    version: i64,
}

/// What [`read`] reads.
pub const COLUMNS: &str =
    "state, fingerprint, traceparent, updated_at, attempts, version, id, owner_chitty_id, via";

/// Why a run could not be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The state cannot be sealed; or the stored state cannot be opened or parsed.
    #[error("orchestration {0} does not open")]
    Sealed(String),
    /// The caller lacks the permission, or has lost it meanwhile.
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

/// The place to which the seal of a run is bound: its own row.
fn place(id: &str) -> String {
    format!("orchestrations/{id}")
}

fn seal(app: &App, saga: &Saga) -> Result<String, String> {
    // Plain data, so serializing cannot fail.
    let text = serde_json::to_string(saga).unwrap_or_default();
    app.config.sealer.seal(&place(&saga.id), &text).map_err(|error| error.to_string())
}

/// Reads a run from [`COLUMNS`].
///
/// # Errors
/// When it does not open.
pub fn read(app: &App, mut row: Row) -> Result<Orchestration, StoreError> {
    let id = row.text("id")?;
    let text = app.config.sealer.open(&place(&id), &row.text("state")?);
    let saga = text.ok().and_then(|text| serde_json::from_str(&text).ok());
    Ok(Orchestration {
        saga: saga.ok_or(StoreError::Sealed(id))?,
        fingerprint: row.text("fingerprint")?,
        owner: row.text("owner_chitty_id")?,
        via: row.optional_text("via")?,
        traceparent: row.optional_text("traceparent")?,
        updated_at: row.text("updated_at")?,
        attempts: row.integer("attempts")?,
        version: row.integer("version")?,
    })
}

fn one(app: &App, rows: Vec<Row>) -> Result<Option<Orchestration>, StoreError> {
    rows.into_iter().next().map(|row| read(app, row)).transpose()
}

/// Inserts a new run, leased to this process, and the event of its start, in one transaction. Returns
/// `Ok(None)` when another run has its idempotency key.
///
/// # Errors
/// When the caller lacks the permission; when the run cannot be sealed or stored.
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

/// The statement that finds the run of an idempotency key; [`read_first`] reads its row.
pub fn by_key(owner: &str, key: &str) -> Statement {
    Statement::new(format!(
        "SELECT {COLUMNS} FROM orchestrations WHERE owner_chitty_id = ?1 AND idempotency_key = ?2"
    ))
    .bind(owner)
    .bind(key)
}

/// The statement that finds a run that the caller may see: its own, or anybody's for an administrator.
pub fn by_id_for(id: &str, scope: &Scope) -> Statement {
    let mut params = Params::default();
    let (id, own) = (params.add(id), params.add(scope.actor()));
    let admin = scope.is_admin_sql(&mut params);
    params.statement(format!(
        "SELECT {COLUMNS} FROM orchestrations \
         WHERE id = {id} AND (owner_chitty_id = {own} OR {admin})"
    ))
}

/// Reads the row of [`by_key`] or [`by_id_for`].
///
/// # Errors
/// When the stored state cannot be opened.
pub fn read_first(app: &App, rows: Vec<Row>) -> Result<Option<Orchestration>, StoreError> {
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
/// When the database does not answer, or the state of the run cannot be opened.
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
    /// The actor, the credential and the trace that started the run.
    started: RunOrigin,
    ended: RefCell<Option<Event>>,
}

struct RunOrigin {
    owner: String,
    via: Option<String>,
    traceparent: Option<String>,
}

impl<'a> RowJournal<'a> {
    /// The journal of a run that this process has just inserted or leased.
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

    /// Takes the event of the run's end, if this journal has saved the end.
    pub fn take_ended(&self) -> Option<Event> {
        self.ended.take()
    }

    /// The event of a run's end; `None` if the run has not ended.
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

    /// When this journal last saved the run, ISO-8601; `None` if it has not.
    pub fn saved_at(&self) -> Option<String> {
        self.saved_ms.get().map(time::iso8601)
    }

    /// Releases the run: it is due again after `pause_ms`.
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
    /// The reports of identities that a run may have minted and that nobody knows, for the batch that saves
    /// its end. They come before the statement that saves the run, and are written only if the run still has
    /// the version that this journal has read.
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
        // Written only if this batch saves the end: after any other save the run has another version, or has
        // not ended.
        batch.extend(ended.as_ref().map(|event| {
            let version = self.version.get() + 1;
            ended_row(event, self.app.config.outbox_overdue_ms, version)
        }));
        let rows = self.ready.db().batch(batch).await.map_err(|error| error.to_string())?;
        match first_row(rows.into_iter().nth(saved_at)) {
            Some(row) => {
                *self.ended.borrow_mut() = ended;
                self.version.set(row.integer("version").map_err(|error| error.to_string())?);
                self.saved_ms.set(Some(now_ms));
                Ok(())
            }
            None => Err("another process has advanced the run".to_owned()),
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

/// The outbox row of the event of an identity that a run may have minted unnoticed, if the run has this version.
fn run_row(event: &Event, overdue_ms: u64, run: &str, version: i64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM orchestrations WHERE id = ?12 AND version = ?13)";
    outbox::insert_if(event, overdue_ms, condition).bind(run).bind(version)
}

/// The outbox row of the event of a run's end, written only if the batch has saved the end as the run's
/// `version`.
fn ended_row(event: &Event, overdue_ms: u64, version: i64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM orchestrations WHERE id = ?4 AND version = ?12 \
         AND status NOT IN ('running', 'compensating'))";
    outbox::insert_if(event, overdue_ms, condition).bind(version)
}
