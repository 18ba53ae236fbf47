//! The handler of `GET /metrics`.

use std::collections::BTreeMap;

use chitty_core::Service;
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{DbError, Row, Statement};
use seams::time;
use serde_json::Value;

use crate::access::idempotency;
use crate::access::reply::{Body, Outcome, Reply};
use crate::app::{App, Settings as _, Slot};
use crate::audit::archive;
use crate::connections::store::{CHECKS, RENEWALS};
use crate::connections::{renewal, revocations};
use crate::discovery::published::{self, ServiceStatus};
use crate::ecosystem::STATES;
use crate::events::dead;
use crate::github::recovery::missing;
use crate::github::{deliveries, jobs};
use crate::metrics::settings::Settings;
use crate::metrics::text::{
    AUDIT, BREAKERS, CONNECTED, COUNTED, DEAD_LETTERS, Family, GITHUB_DELIVERIES,
    GITHUB_DELIVERIES_AGE, GITHUB_JOBS, GITHUB_JOBS_OVERDUE, GITHUB_MISSING, HEALTH_CHECKS,
    OUTBOX_AGE, OUTBOX_DEPTH, RECONNECT_ATTEMPTS, RECONNECTED, REGISTRY_AGE, Series, Text,
    UNPREPARED, UNREVOKED, UNREVOKED_AGE, WATCH_FAILURES, WATCH_STATES, WATCH_UPTIME, WORK_AGE,
    WORK_DUE,
};
use crate::metrics::{Page, handover};
use crate::store::work::{Backlog, Due};
use crate::store::{Ready, outbox};
use crate::{contexts, discovery, orchestrations};

/// The content type of the text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long an isolate's breakers count after its last handover, in ms.
const SEEN_MS: u64 = 60_000;

/// How long an isolate reuses a page, in ms: scraping reads the database at most once in this time.
const KEEP_MS: u64 = 1_000;

/// Show the metrics of all isolates, in the Prometheus text format.
///
/// If `METRICS_TOKEN` is set, the request must send it as a bearer token. A deployed gateway without it shows
/// no metrics.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "gateway",
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = "text/plain"),
        (status = 401, description = "The token is missing or wrong."),
        (status = 503, description = "`not_ready`: this deployment has no `METRICS_TOKEN`."),
    ),
))]
pub async fn show(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Check the token.
    may_read(app, request)?;
    // 2. Take the page that this isolate made within the last second, or make another.
    let text = match Page::of(app).get(request.now_ms, KEEP_MS) {
        Some(text) => text,
        None => {
            let ready = Ready::ensure(app).await?;
            let text = page(app, ready).await?;
            Page::of(app).put(request.now_ms, text.clone());
            text
        }
    };
    // 3. Reply with it.
    Ok(Reply::new(200, Body::Text { content_type: CONTENT_TYPE, text }))
}

/// Checks that the request has the token. Only on a developer's machine may the gateway have no token.
fn may_read(app: &App, request: &Request<'_>) -> Result<(), Problem> {
    let Some(token) = &Settings::of(app).token else {
        if !app.config.environment.is_deployed() {
            return Ok(());
        }
        return Err(Problem::new(
            Code::NotReady,
            "This gateway has no METRICS_TOKEN, so nobody may read its metrics. GET /health lists what \
             is missing.",
        ));
    };
    let sent = request.header("authorization");
    let sent = sent.as_deref().and_then(|header| header.strip_prefix("Bearer "));
    match sent {
        Some(sent) if is_same(sent, token) => Ok(()),
        _ => Err(Problem::new(
            Code::AuthenticationRequired,
            "Send the token of METRICS_TOKEN in the header `Authorization: Bearer <token>`.",
        )),
    }
}

/// Compares hashes, so that the time of the comparison reveals nothing about the token.
fn is_same(sent: &str, token: &str) -> bool {
    use sha2::{Digest, Sha256};
    Sha256::digest(sent.as_bytes()) == Sha256::digest(token.as_bytes())
}

async fn page(app: &App, ready: Ready<'_>) -> Result<String, DbError> {
    // 1. Hand over this isolate's own counts, so that a caller sees the requests that it has just made.
    handover::now(app, ready).await?;
    // 2. Read everything that the page shows, in one round trip.
    let now_ms = app.now_ms();
    let seen = time::iso8601(now_ms.saturating_sub(SEEN_MS));
    let mut queries = vec![
        Statement::new("SELECT family, labels, counts FROM metric_series ORDER BY family, labels"),
        Statement::new("SELECT breakers FROM metric_isolates WHERE seen_at > ?1 LIMIT 1000")
            .bind(seen),
        published::overview(),
        outbox::OPEN.open("created_at"),
        dead::waiting(),
        revocations::count_unconfirmed(),
        deliveries::QUEUE.due.open("received_at"),
        jobs::QUEUE.due.open("due_at"),
        missing::QUEUE.due.open("NULL"),
        archive::counts(),
        contexts::store::count_unprepared(),
        discovery::age(),
    ];
    let as_of = |offset_ms: i64| now_ms.saturating_add_signed(offset_ms);
    queries.extend(WORK.iter().map(|(due, offset_ms)| due.backlog(as_of(*offset_ms))));
    let mut results = ready.db().batch(queries).await?.into_iter();
    let mut next = || results.next().unwrap_or_default();
    // 3. Write the families in their order, which is that of the queries.
    let mut text = Text::default();
    let counted = next().into_iter().map(series).collect::<Result<Vec<_>, _>>()?;
    for family in &COUNTED {
        text.samples(family, &counted);
    }
    breakers(&mut text, next())?;
    watches(&mut text, next(), now_ms)?;
    backlog(&mut text, next(), now_ms, &OUTBOX_DEPTH, Some(&OUTBOX_AGE))?;
    dead_letters(&mut text, next())?;
    backlog(&mut text, next(), now_ms, &UNREVOKED, Some(&UNREVOKED_AGE))?;
    backlog(&mut text, next(), now_ms, &GITHUB_DELIVERIES, Some(&GITHUB_DELIVERIES_AGE))?;
    backlog(&mut text, next(), now_ms, &GITHUB_JOBS, Some(&GITHUB_JOBS_OVERDUE))?;
    backlog(&mut text, next(), now_ms, &GITHUB_MISSING, None)?;
    audit(&mut text, next())?;
    unprepared(&mut text, next())?;
    registry(&mut text, next(), now_ms)?;
    let backlogs: Vec<_> = WORK
        .iter()
        .map(|(due, offset_ms)| Ok((due, Backlog::read(next(), as_of(*offset_ms))?)))
        .collect::<Result<_, DbError>>()?;
    work(&mut text, &backlogs);
    Ok(text.finish())
}

/// The background work that the page shows, each kind with how long before the instant in the row it is due,
/// in ms (negative: after the instant).
const WORK: [(Due, i64); 6] = [
    (CHECKS.due, 0),
    (RENEWALS.due, renewal::AHEAD_MS.cast_signed()),
    (revocations::QUEUE.due, 0),
    (orchestrations::store::QUEUE.due, 0),
    (outbox::PRUNED, -outbox::KEEP_DONE_MS.cast_signed()),
    (idempotency::PRUNED, 0),
];

fn work(text: &mut Text, backlogs: &[(&Due, Backlog)]) {
    text.head(&WORK_DUE);
    for (due, backlog) in backlogs {
        text.sample(&WORK_DUE, &format!("work=\"{}\"", due.name), backlog.depth);
    }
    text.head(&WORK_AGE);
    for (due, backlog) in backlogs {
        let age_s = i64::try_from(backlog.oldest_ms / 1000).unwrap_or(i64::MAX);
        text.sample(&WORK_AGE, &format!("work=\"{}\"", due.name), age_s);
    }
}

fn audit(text: &mut Text, rows: Vec<Row>) -> Result<(), DbError> {
    let row = rows.into_iter().next().ok_or(DbError::Shape)?;
    text.head(&AUDIT);
    let places = [("database", "entries"), ("archive", "archived"), ("unsealed", "unsealed")];
    for (place, column) in places {
        text.sample(&AUDIT, &format!("place=\"{place}\""), row.integer(column)?);
    }
    Ok(())
}

fn unprepared(text: &mut Text, rows: Vec<Row>) -> Result<(), DbError> {
    let row = rows.into_iter().next().ok_or(DbError::Shape)?;
    text.head(&UNPREPARED);
    for what in contexts::store::PREPARED {
        text.sample(&UNPREPARED, &format!("what=\"{what}\""), row.integer(what)?);
    }
    Ok(())
}

fn series(mut row: Row) -> Result<Series, DbError> {
    Ok(Series {
        family: row.text("family")?,
        labels: row.text("labels")?,
        counts: serde_json::from_str(&row.text("counts")?).map_err(|_| DbError::Shape)?,
    })
}

fn breakers(text: &mut Text, rows: Vec<Row>) -> Result<(), DbError> {
    let isolates = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let mut counts: BTreeMap<(String, &str), i64> = BTreeMap::new();
    for mut row in rows {
        let states: Value =
            serde_json::from_str(&row.text("breakers")?).map_err(|_| DbError::Shape)?;
        for (service, state) in states.as_object().into_iter().flatten() {
            let state = if state == "open" { "open" } else { "half_open" };
            *counts.entry((service.clone(), state)).or_default() += 1;
        }
    }
    text.head(&BREAKERS);
    for service in Service::ALL {
        let count =
            |state| counts.get(&(service.host().to_owned(), state)).copied().unwrap_or_default();
        let (open, half_open) = (count("open"), count("half_open"));
        let closed = isolates - open - half_open;
        for (state, count) in [("closed", closed), ("half_open", half_open), ("open", open)] {
            let labels = format!("service=\"{}\",state=\"{state}\"", service.host());
            text.sample(&BREAKERS, &labels, count);
        }
    }
    Ok(())
}

/// The counters of the watches: each family with the place of its number in the published status.
const WATCH_COUNTS: [(&Family, &str); 4] = [
    (&CONNECTED, "/stats/totalConnections"),
    (&RECONNECTED, "/stats/totalReconnections"),
    (&WATCH_FAILURES, "/stats/totalFailures"),
    (&RECONNECT_ATTEMPTS, "/reconnectAttempts"),
];

fn watches(text: &mut Text, rows: Vec<Row>, now_ms: u64) -> Result<(), DbError> {
    let published = rows.into_iter().map(ServiceStatus::read).collect::<Result<Vec<_>, _>>()?;
    text.head(&WATCH_STATES);
    for service in &published {
        for state in STATES {
            let labels = format!("service=\"{}\",state=\"{state}\"", service.service);
            text.sample(&WATCH_STATES, &labels, i64::from(service.state == state));
        }
    }
    text.head(&HEALTH_CHECKS);
    for service in &published {
        let checks = [("failed", "failedHealthChecks"), ("successful", "successfulHealthChecks")];
        for (result, name) in checks {
            let count = service.status.pointer(&format!("/stats/{name}")).and_then(Value::as_i64);
            let labels = format!("service=\"{}\",result=\"{result}\"", service.service);
            text.sample(&HEALTH_CHECKS, &labels, count.unwrap_or_default());
        }
    }
    for (family, pointer) in WATCH_COUNTS {
        text.head(family);
        for service in &published {
            let count = service.status.pointer(pointer).and_then(Value::as_i64);
            let labels = format!("service=\"{}\"", service.service);
            text.sample(family, &labels, count.unwrap_or_default());
        }
    }
    text.head(&WATCH_UPTIME);
    for service in &published {
        let labels = format!("service=\"{}\"", service.service);
        text.sample(&WATCH_UPTIME, &labels, seconds(service.uptime_ms(now_ms)));
    }
    Ok(())
}

/// Writes how long ago ChittyRegistry last answered.
fn registry(text: &mut Text, rows: Vec<Row>, now_ms: u64) -> Result<(), DbError> {
    let row = rows.into_iter().next();
    let refreshed = row.map(|mut row| row.text("refreshed_at")).transpose()?;
    let refreshed_ms = refreshed.and_then(|at| time::parse(&at));
    let age = refreshed_ms.map_or(-1, |at_ms| seconds(now_ms.saturating_sub(at_ms)));
    text.head(&REGISTRY_AGE);
    text.sample(&REGISTRY_AGE, "", age);
    Ok(())
}

fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(i64::MAX)
}

fn dead_letters(text: &mut Text, rows: Vec<Row>) -> Result<(), DbError> {
    let count = rows.into_iter().next().ok_or(DbError::Shape)?.integer("depth")?;
    text.head(&DEAD_LETTERS);
    text.sample(&DEAD_LETTERS, "", count);
    Ok(())
}

/// Writes how many rows wait, and the age of the oldest in seconds.
fn backlog(
    text: &mut Text,
    rows: Vec<Row>,
    now_ms: u64,
    depth: &Family,
    age: Option<&Family>,
) -> Result<(), DbError> {
    let mut row = rows.into_iter().next().ok_or(DbError::Shape)?;
    text.head(depth);
    text.sample(depth, "", row.integer("depth")?);
    let Some(age) = age else { return Ok(()) };
    let oldest = row.optional_text("oldest")?.and_then(|at| time::parse(&at));
    let age_ms = oldest.map_or(0, |at| now_ms.saturating_sub(at));
    text.head(age);
    text.sample(age, "", i64::try_from(age_ms / 1000).unwrap_or(i64::MAX));
    Ok(())
}
