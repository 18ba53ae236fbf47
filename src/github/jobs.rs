//! The jobs that the gateway does at GitHub because of deliveries: one job for each pull request or issue.
//!
//! The batch of a delivery requests the job. The isolate runs due jobs for a few seconds after a batch of
//! the queue, and the cron runs the rest: GitHub may be slow, and the outbox does not wait for it. A job
//! that is requested again while it runs is run once more. A job that fails is attempted again by the cron,
//! after growing pauses.

use chitty_core::Backoff;
use futures_util::future::join_all;
use seams::db::{DbError, Row, Statement, Value};
use seams::{log, time};

use crate::app::App;
use crate::github::act;
use crate::github::payload::Repository;
use crate::store::Ready;

/// The pauses between two attempts at a job, in ms: up to an hour.
const PAUSES_MS: Backoff = Backoff { first: 10_000, longest: 3_600_000 };

/// How often a job is attempted before it is given up. A new request for it begins a new count.
const MAX_TRIES: i64 = 12;

/// How long the lease on a job lasts, in ms: longer than all the calls that a job may make.
const LEASE_MS: u64 = 180_000;

/// How many jobs one isolate runs at once.
const AT_ONCE: i64 = 3;

/// For how long after a batch of the queue further jobs are begun, in ms. The acknowledgements of the batch
/// wait for the jobs.
pub const BESIDE_A_BATCH_MS: u64 = 3000;
/// For how long the cron begins further jobs, in ms.
pub const IN_THE_CRON_MS: u64 = 60_000;

/// How long a job waits for its installation to be on record, in ms: three days, as long as GitHub
/// redelivers the event that describes the installation.
const UNKNOWN_FOR_MS: u64 = 3 * 24 * 3_600_000;

/// The most jobs that one pruning deletes.
const PRUNE_LIMIT: i64 = 5000;

/// How long done jobs are kept, in ms: 90 days. A later job for the same pull request searches for the
/// comment instead.
const KEEP_MS: u64 = 90 * 24 * 3_600_000;

/// The kind of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// Review a pull request.
    Review,
    /// Label an issue.
    Triage,
}

impl JobKind {
    /// Its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            JobKind::Review => "review",
            JobKind::Triage => "triage",
        }
    }
}

/// A job that this worker has claimed.
#[derive(Debug, Clone)]
pub struct Job {
    /// What to do.
    pub kind: JobKind,
    /// The number of the repository.
    pub repository_id: i64,
    /// The number of the pull request or issue.
    pub number: u32,
    /// The number of the installation as which the gateway acts.
    pub installation_id: i64,
    /// `owner/name`
    pub repository: String,
    /// The comment that an earlier run created.
    pub comment_id: Option<i64>,
    /// The check run that an earlier run created, and its commit.
    pub check_run: Option<(i64, String)>,
    /// Whether the installation is on record and neither suspended nor uninstalled.
    pub is_live: bool,
    version: i64,
    tries: i64,
    /// The lease on it. Every update demands it, so a worker whose lease was replaced changes nothing.
    lease: String,
}

/// Requests a job. The job is due now, or as soon as its installation is on record ([`wake`]). Does nothing
/// for an installation that is suspended or uninstalled.
pub fn ask_for(
    app: &App,
    kind: JobKind,
    installation_id: i64,
    repository: &Repository,
    number: u32,
    head_sha: Option<&str>,
) -> Statement {
    Statement::new(
        "INSERT INTO github_jobs (kind, repository_id, number, installation_id, repository, \
         head_sha, due_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, \
         iif(EXISTS (SELECT 1 FROM installations WHERE installation_id = ?4), ?7, ?8), ?7 \
         WHERE NOT EXISTS (SELECT 1 FROM installations WHERE installation_id = ?4 \
         AND (suspended_at IS NOT NULL OR uninstalled_at IS NOT NULL)) \
         ON CONFLICT (repository_id, number, kind) DO UPDATE SET version = version + 1, tries = 0, \
         installation_id = excluded.installation_id, repository = excluded.repository, \
         head_sha = excluded.head_sha, due_at = excluded.due_at, updated_at = excluded.updated_at",
    )
    .bind(kind.as_str())
    .bind(repository.id)
    .bind(i64::from(number))
    .bind(installation_id)
    .bind(repository.full_name.as_str())
    .bind(head_sha)
    .bind(time::iso8601(app.now_ms()))
    .bind(time::iso8601(app.now_ms() + UNKNOWN_FOR_MS))
}

/// Makes the waiting jobs of an installation due, in the batch that records the installation.
pub fn wake(installation_id: i64, now_ms: u64) -> Statement {
    Statement::new(
        "UPDATE github_jobs SET due_at = ?2 \
         WHERE installation_id = ?1 AND done_version < version AND due_at > ?2",
    )
    .bind(installation_id)
    .bind(time::iso8601(now_ms))
}

/// Runs due jobs, a few at a time, until none is left or `for_ms` are over. Other workers that do the same
/// at the same time claim other jobs.
pub async fn run_due(app: &App, ready: Ready<'_>, for_ms: u64) {
    let until_ms = app.now_ms() + for_ms;
    while app.now_ms() < until_ms {
        let jobs = match take(app, ready).await {
            Ok(jobs) if jobs.is_empty() => return,
            Ok(jobs) => jobs,
            Err(error) => return log::warn("jobs_not_taken", &[("error", &error.to_string())]),
        };
        join_all(jobs.into_iter().map(|job| run(app, ready, job))).await;
    }
}

/// How many due jobs, those that are due longest, [`take`] considers when it shares out its places among
/// installations.
const CANDIDATES: i64 = 5000;

/// Claims the jobs that are due longest; each installation gets one job before any gets a second. Gives up
/// jobs whose rows cannot be read.
async fn take(app: &App, ready: Ready<'_>) -> Result<Vec<Job>, DbError> {
    let now_ms = app.now_ms();
    let lease = time::iso8601(now_ms + LEASE_MS);
    let take = Statement::new(format!(
        "UPDATE github_jobs SET leased_until = ?2, tries = tries + 1 \
         WHERE (repository_id, number, kind) IN (SELECT repository_id, number, kind FROM \
         (SELECT repository_id, number, kind, due_at, \
         row_number() OVER (PARTITION BY installation_id ORDER BY due_at) AS turn FROM \
         (SELECT repository_id, number, kind, installation_id, due_at FROM github_jobs \
         WHERE done_version < version AND due_at <= ?1 AND leased_until <= ?1 \
         ORDER BY due_at LIMIT {CANDIDATES})) ORDER BY turn, due_at LIMIT ?3) RETURNING kind, repository_id, number, installation_id, \
         repository, comment_id, check_run_id, check_run_sha, version, tries, \
         EXISTS (SELECT 1 FROM installations AS i \
         WHERE i.installation_id = github_jobs.installation_id \
         AND i.suspended_at IS NULL AND i.uninstalled_at IS NULL) AS is_live"
    ))
    .bind(time::iso8601(now_ms))
    .bind(lease.as_str())
    .bind(AT_ONCE);
    let rows = ready.db().batch(vec![take]).await?.pop().unwrap_or_default();
    let (mut jobs, mut unreadable) = (Vec::new(), Vec::new());
    for row in rows {
        let key = [row.0.get(1).cloned(), row.0.get(2).cloned(), row.0.first().cloned()];
        match read(row, &lease) {
            Ok(job) => jobs.push(job),
            Err(_) => unreadable.push(key),
        }
    }
    if !unreadable.is_empty() {
        log::error("jobs_unreadable", &[("count", &unreadable.len().to_string())]);
        let give_up = |key: [Option<Value>; 3]| {
            let params = key.into_iter().map(|cell| cell.unwrap_or(Value::Null)).collect();
            let sql = "UPDATE github_jobs SET done_version = version, leased_until = '', \
                 last_error = 'cannot be read' WHERE repository_id = ?1 AND number = ?2 AND kind = ?3 \
                 AND leased_until = ?4";
            Statement { sql: sql.into(), params }.bind(lease.as_str())
        };
        ready.db().batch(unreadable.into_iter().map(give_up).collect()).await?;
    }
    Ok(jobs)
}

fn read(mut row: Row, lease: &str) -> Result<Job, DbError> {
    let optional = |row: &Row, at| row.integer(at).ok();
    let check_run = optional(&row, 6).zip(row.optional_text(7)?);
    Ok(Job {
        kind: if row.text(0)? == "triage" { JobKind::Triage } else { JobKind::Review },
        repository_id: row.integer(1)?,
        number: u32::try_from(row.integer(2)?).map_err(|_| DbError::Shape)?,
        installation_id: row.integer(3)?,
        repository: row.text(4)?,
        comment_id: optional(&row, 5),
        check_run,
        version: row.integer(8)?,
        tries: row.integer(9)?,
        is_live: row.integer(10)? == 1,
        lease: lease.to_owned(),
    })
}

/// What a job has created at GitHub so far.
#[derive(Debug, Clone, Default)]
pub struct Artifacts {
    /// The comment.
    pub comment_id: Option<i64>,
    /// The check run, and its commit.
    pub check_run: Option<(i64, String)>,
}

async fn run(app: &App, ready: Ready<'_>, job: Job) {
    let mut made = Artifacts { comment_id: job.comment_id, check_run: job.check_run.clone() };
    let outcome = match job.is_live {
        true => act::perform(app, ready, &job, &mut made).await,
        // The gateway does not act for an installation that is suspended or uninstalled.
        false => Ok(()),
    };
    let statement = match outcome {
        Ok(()) => settled(app, &job, &made, None),
        Err(error) => {
            let text = error.to_string();
            let number = job.number.to_string();
            let fields = [("kind", job.kind.as_str()), ("number", &number), ("error", &text)];
            log::warn("job_failed", &fields);
            match error.is_transient() && job.tries < MAX_TRIES {
                true => postponed(app, &job, &made, &text, error.retry_after_s),
                false => settled(app, &job, &made, Some(&text)),
            }
        }
    };
    if let Err(error) = ready.db().batch(vec![statement]).await {
        log::warn("job_not_noted", &[("error", &error.to_string())]);
    }
}

/// Marks the claimed version of a job as done, or with an `error` as given up.
fn settled(app: &App, job: &Job, made: &Artifacts, error: Option<&str>) -> Statement {
    noted(app, job, made, "done_version = max(done_version, ?9), last_error = ?10")
        .bind(job.version)
        .bind(error)
}

/// Postpones a job. If it has been requested again in the meantime, the due time of that request stays.
fn postponed(
    app: &App,
    job: &Job,
    made: &Artifacts,
    error: &str,
    retry_after_s: Option<u32>,
) -> Statement {
    let attempt = u32::try_from(job.tries).unwrap_or(u32::MAX);
    let pause_ms = PAUSES_MS.pause(attempt, |bound| app.jitter(bound));
    let asked_ms = u64::from(retry_after_s.unwrap_or(0)) * 1000;
    let due_ms = app.now_ms() + u64::from(pause_ms).max(asked_ms.min(KEEP_MS));
    noted(app, job, made, "due_at = iif(version = ?9, ?10, due_at), last_error = ?11")
        .bind(job.version)
        .bind(time::iso8601(due_ms))
        .bind(error)
}

/// Stores the outcome of a job, if this worker still has the lease. `also` holds further assignments.
fn noted(app: &App, job: &Job, made: &Artifacts, also: &str) -> Statement {
    let (check_run_id, sha) = made.check_run.clone().unzip();
    Statement::new(format!(
        "UPDATE github_jobs SET leased_until = '', comment_id = ?4, check_run_id = ?5, \
         check_run_sha = ?6, updated_at = ?7, {also} \
         WHERE repository_id = ?1 AND number = ?2 AND kind = ?3 AND leased_until = ?8"
    ))
    .bind(job.repository_id)
    .bind(i64::from(job.number))
    .bind(job.kind.as_str())
    .bind(made.comment_id)
    .bind(check_run_id)
    .bind(sha)
    .bind(time::iso8601(app.now_ms()))
    .bind(job.lease.as_str())
}

/// Deletes at most `PRUNE_LIMIT` jobs that have been done for `KEEP_MS`; the cron runs it.
pub fn prune(now_ms: u64) -> Statement {
    Statement::new(
        "DELETE FROM github_jobs WHERE (repository_id, number, kind) IN \
         (SELECT repository_id, number, kind FROM github_jobs \
         WHERE done_version >= version AND updated_at <= ?1 LIMIT ?2)",
    )
    .bind(time::iso8601(now_ms.saturating_sub(KEEP_MS)))
    .bind(PRUNE_LIMIT)
}
