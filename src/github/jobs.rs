//! The jobs that the gateway does at GitHub because of deliveries: one job for each pull request or issue.
//!
//! The batch of a delivery requests the job. The isolate runs due jobs for a few seconds after a batch of
//! the queue, and the cron runs the rest: GitHub may be slow, and the outbox does not wait for it. A job
//! that is requested again while it runs is run once more. A job that fails is attempted again by the cron,
//! after growing pauses.

use chitty_core::Backoff;
use seams::db::{DbError, Row, Statement};
use seams::{log, time};

use crate::app::App;
use crate::github::act;
use crate::github::payload::Repository;
use crate::store::Ready;
use crate::store::work::{self, Bounds, Change, Claim, Due, Hold, Queue, Work};

/// The pauses between two attempts at a job, in ms: up to an hour.
const PAUSES_MS: Backoff = Backoff { first: 10_000, longest: 3_600_000 };

/// How often a job is attempted before it is given up. A new request for it begins a new count.
const MAX_TRIES: i64 = 12;

/// How long the lease on a job lasts, in ms: longer than all the calls that a job may make.
const LEASE_MS: u64 = 180_000;

/// How many jobs are done at once.
const AT_ONCE: usize = 3;

/// How many jobs one run does at most.
const AT_MOST: usize = 1000;

/// For how long after a batch of the queue further jobs are begun, in ms. The acknowledgements of the batch
/// wait for the jobs.
pub const BESIDE_A_BATCH_MS: u64 = 3000;
/// For how long the cron begins further jobs, in ms.
pub const IN_THE_CRON_MS: u64 = 60_000;

/// How long a job waits for its installation to be on record, in ms: three days, as long as GitHub
/// redelivers the event that describes the installation.
const UNKNOWN_FOR_MS: u64 = 3 * 24 * 3_600_000;

/// How many jobs one pruning removes.
const PRUNE_LIMIT: u32 = 5000;

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

/// The jobs that are due. The installations take turns.
pub const QUEUE: Queue = Queue {
    due: Due {
        name: "github_jobs",
        from: "github_jobs",
        key: &["repository_id", "number", "kind"],
        owner: Some("installation_id"),
        at: "due_at",
        condition: "done_version < version",
    },
    lease: "leased_until",
    attempts: "tries",
    set: "tries = tries + 1",
};

/// Performs the jobs that are due, a few at a time, until there are none or `for_ms` are over. Another
/// isolate that runs jobs at the same time does other ones.
pub async fn run_due(app: &App, ready: Ready<'_>, for_ms: u64) {
    let until_ms = app.now_ms() + for_ms;
    let bounds =
        Bounds { batch: AT_ONCE, at_once: AT_ONCE, noted_at_once: 1, at_most: AT_MOST, until_ms };
    // A job that was asked for again while it was performed is due at once.
    while work::run(app, ready, &Jobs, bounds).await > 0 && app.now_ms() < until_ms {}
}

struct Jobs;

impl Work for Jobs {
    type Item = Job;

    const QUEUE: &'static Queue = &QUEUE;

    fn hold(&self, _: &App) -> Hold {
        Hold::Lease(LEASE_MS)
    }

    fn columns(&self) -> String {
        "kind, repository_id, number, installation_id, repository, comment_id, check_run_id, \
         check_run_sha, version, EXISTS (SELECT 1 FROM installations AS i \
         WHERE i.installation_id = github_jobs.installation_id \
         AND i.suspended_at IS NULL AND i.uninstalled_at IS NULL) AS is_live"
            .to_owned()
    }

    fn read(&self, _: &App, row: Row) -> Result<Job, String> {
        read(row).map_err(|error| error.to_string())
    }

    async fn perform(
        &self,
        app: &App,
        ready: Ready<'_>,
        claim: &Claim,
        job: Job,
    ) -> Vec<Statement> {
        // 1. Do the job, and learn what it has created.
        let mut made = Artifacts { comment_id: job.comment_id, check_run: job.check_run.clone() };
        let outcome = match job.is_live {
            true => act::perform(app, ready, &job, &mut made).await,
            // Nothing is done for an installation that is suspended or gone.
            false => Ok(()),
        };
        // 2. Note that it is done; or postpone it, or give it up, if it has failed.
        let Err(error) = outcome else { return vec![settled(app, claim, &job, &made, None)] };
        let (text, number) = (error.to_string(), job.number.to_string());
        let fields = [("kind", job.kind.as_str()), ("number", &number), ("error", &text)];
        log::warn("job_failed", &fields);
        vec![match error.is_transient() && claim.attempts < MAX_TRIES {
            true => postponed(app, claim, &job, &made, &text, error.retry_after_s),
            false => settled(app, claim, &job, &made, Some(&text)),
        }]
    }
}

fn read(mut row: Row) -> Result<Job, DbError> {
    let check_run_id = row.integer("check_run_id").ok();
    let check_run = check_run_id.zip(row.optional_text("check_run_sha")?);
    Ok(Job {
        kind: if row.text("kind")? == "triage" { JobKind::Triage } else { JobKind::Review },
        repository_id: row.integer("repository_id")?,
        number: u32::try_from(row.integer("number")?).map_err(|_| DbError::Shape)?,
        installation_id: row.integer("installation_id")?,
        repository: row.text("repository")?,
        comment_id: row.integer("comment_id").ok(),
        check_run,
        version: row.integer("version")?,
        is_live: row.flag("is_live")?,
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

/// Notes that the claimed version of a job is done, or given up.
fn settled(
    app: &App,
    claim: &Claim,
    job: &Job,
    made: &Artifacts,
    error: Option<&str>,
) -> Statement {
    noted(app, claim.release(), made)
        .set_sql("done_version", job.version, |done| format!("max(done_version, {done})"))
        .set("last_error", error)
        .statement()
}

/// Postpones a job. One that has been asked for again since the claim stays due.
fn postponed(
    app: &App,
    claim: &Claim,
    job: &Job,
    made: &Artifacts,
    error: &str,
    retry_after_s: Option<u32>,
) -> Statement {
    let pause_ms = work::pause_ms(app, PAUSES_MS, claim.attempts, None);
    let asked_ms = u64::from(retry_after_s.unwrap_or(0)) * 1000;
    let due_ms = app.now_ms() + pause_ms.max(asked_ms.min(KEEP_MS));
    let version = job.version;
    noted(app, claim.release(), made)
        .set_sql("due_at", time::iso8601(due_ms), |due| {
            format!("iif(version = {version}, {due}, due_at)")
        })
        .set("last_error", error)
        .statement()
}

/// Notes what was made at GitHub.
fn noted<'c>(app: &App, change: Change<'c>, made: &Artifacts) -> Change<'c> {
    let (check_run_id, sha) = made.check_run.clone().unzip();
    change
        .set("comment_id", made.comment_id)
        .set("check_run_id", check_run_id)
        .set("check_run_sha", sha)
        .set("updated_at", time::iso8601(app.now_ms()))
}

/// The jobs that have been done for 90 days.
pub fn prune(now_ms: u64) -> work::Prune {
    let done = Due { at: "updated_at", condition: "done_version >= version", ..QUEUE.due };
    done.prune(now_ms, KEEP_MS, PRUNE_LIMIT)
}
