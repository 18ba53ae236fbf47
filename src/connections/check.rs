//! Checks whether the target of a connection works with the stored credential.

use chitty_core::TransportError;
use seams::db::{DbError, Row, Statement};
use seams::{log, time};
use serde_json::json;

use crate::app::{App, Settings as _};
use crate::connections::call::{Base, is_closed};
use crate::connections::credential::Credential;
use crate::connections::settings::Settings;
use crate::connections::store::{self, CHECKS, Connection, Finding};
use crate::connections::{provisioned, renewal};
use crate::store::Ready;
use crate::store::event::{Event, EventKind};
use crate::store::work::{self, Bounds, Claim, Hold, Queue, Work};

/// How many failed checks in a row make a connection `failed`.
const FAILED_AFTER: i64 = 3;

/// Returns when the cron checks a connection next.
pub fn next(app: &App) -> String {
    let interval_ms = Settings::of(app).check_ms;
    let spread = u32::try_from(interval_ms / 4 + 1).unwrap_or(u32::MAX);
    time::iso8601(app.now_ms() + interval_ms + u64::from(app.jitter(spread)))
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The target works.
    Good,
    /// The target does not accept the credential.
    Refused,
    /// The target answers with an error or not at all. The text contains nothing that the target sent.
    Bad(String),
}

impl Health {
    /// The error in words, if there was one.
    pub fn error(&self) -> Option<String> {
        match self {
            Health::Good => None,
            Health::Refused => Some("the target refuses the credential".to_owned()),
            Health::Bad(error) => Some(error.clone()),
        }
    }
}

/// Calls a target at its check path.
pub async fn ask(app: &App, base: &Base, path: &str, credential: Option<&Credential>) -> Health {
    let mut request = base.request(app, "GET", path);
    request.headers.push(("accept".to_owned(), "application/json, */*".to_owned()));
    request.headers.extend(credential.and_then(Credential::header));
    match app.outside.send(request).await {
        Ok(answer) => match answer.status {
            // A target that answers 429 works; it is only busy.
            200..=299 | 429 => Health::Good,
            401 | 403 | 407 => Health::Refused,
            status => Health::Bad(format!("the target answers with status {status}")),
        },
        Err(TransportError::Timeout) => {
            Health::Bad("the target does not answer in time".to_owned())
        }
        // A target whose answer is too long to read works all the same.
        Err(TransportError::TooLarge(_)) => Health::Good,
        Err(TransportError::Unreachable(error)) => {
            log::warn("target_unreachable", &[("error", &error)]);
            Health::Bad("the target cannot be reached".to_owned())
        }
    }
}

/// Checks a connection. Returns `None` if it has no check path.
async fn find_health(
    app: &App,
    ready: Ready<'_>,
    connection: &Connection,
) -> Result<Option<Health>, DbError> {
    let Some(path) = &connection.check_path else { return Ok(None) };
    let base = Base::of(app, &connection.service, &connection.endpoint);
    let health = match provisioned::stands(ready, connection, app.now_ms()).await? {
        true => match renewal::usable(app, ready, connection).await {
            Ok(_) if is_closed(app, &connection.service, &connection.endpoint) => {
                Health::Bad("the endpoint of the connection is not allowed".to_owned())
            }
            Ok(credential) => ask(app, &base, path, credential.as_ref()).await,
            Err(problem) => Health::Bad(problem.code.title().to_owned()),
        },
        // The key is no longer usable, and the next use has another one made. So the target is called
        // without a key, and its refusal does not count as an error.
        false => match ask(app, &base, path, None).await {
            Health::Refused => Health::Good,
            health => health,
        },
    };
    Ok(Some(health))
}

/// The statements that record the result of a check. `asked` is the event of a caller's request for it, if
/// a caller asked; the events that follow from the result then name that caller as their actor.
fn record(
    app: &App,
    connection: &Connection,
    health: &Health,
    asked: Option<&Event>,
) -> Vec<Statement> {
    let error = health.error();
    let now_ms = app.now_ms();
    let event = |kind| {
        let by = asked.map_or("chittyconnect", |asked| asked.actor_id.as_str());
        let traceparent = asked.and_then(|asked| asked.traceparent.as_deref());
        let (id, payload) = (connection.id.as_str(), json!({ "error": error }));
        let event = Event::new(now_ms, kind, id, by, payload, traceparent);
        Event { via: asked.and_then(|asked| asked.via.clone()), ..event }
    };
    let (failed, recovered) =
        (event(EventKind::ConnectionFailed), event(EventKind::ConnectionRecovered));
    store::note(&Finding {
        id: &connection.id,
        at: &time::iso8601(now_ms),
        error: error.as_deref(),
        limit: FAILED_AFTER,
        failed_event: &failed,
        recovered_event: &recovered,
        request_event: asked,
        overdue_ms: 0,
    })
}

/// Checks a connection, and records the result and who asked for it. Returns that event, or `None` if the
/// connection has no check path.
///
/// # Errors
/// Storage failures.
pub async fn check(
    app: &App,
    ready: Ready<'_>,
    connection: &Connection,
    mut asked: Event,
) -> Result<Option<Event>, DbError> {
    // 1. Call the target.
    let Some(health) = find_health(app, ready, connection).await? else { return Ok(None) };
    // 2. Record the result and the caller's event in one batch.
    asked.payload = json!({ "error": health.error() });
    ready.db().batch(record(app, connection, &health, Some(&asked))).await?;
    Ok(Some(asked))
}

/// How many checks one run of the cron makes. Each is one call, plus one read if the connection has a
/// credential, or two reads if ChittyAuth made it. Ten thousand connections every five minutes are two
/// thousand a minute; a tenth more lets the cron catch up. Together with renewals and revocations this stays
/// below the platform's 10,000 calls a run.
const AT_MOST: usize = 2200;

/// How many checks run at once. The platform lets six calls of one run wait for their answers; renewals and
/// revocations take up to four of them, and a seventh call waits for its turn.
const AT_ONCE: usize = 4;

/// How many results are recorded in one round trip.
const RECORDED_AT_ONCE: usize = 20;

/// Checks the connections that are due, until the time is up; the cron runs it.
pub async fn check_due(app: &App, ready: Ready<'_>, until_ms: u64) {
    let bounds = Bounds {
        batch: 60,
        at_once: AT_ONCE,
        noted_at_once: RECORDED_AT_ONCE,
        at_most: AT_MOST,
        until_ms,
    };
    work::run(app, ready, &Checks, bounds).await;
}

struct Checks;

impl Work for Checks {
    type Item = Connection;

    const QUEUE: &'static Queue = &CHECKS;

    fn hold(&self, app: &App) -> Hold {
        store::check_pause(u32::try_from(Settings::of(app).check_ms / 1000).unwrap_or(300))
    }

    fn columns(&self) -> String {
        store::connection_columns()
    }

    fn read(&self, _: &App, row: Row) -> Result<Connection, String> {
        store::read_connection(row).map_err(|error| error.to_string())
    }

    async fn perform(
        &self,
        app: &App,
        ready: Ready<'_>,
        _: &Claim,
        connection: Connection,
    ) -> Vec<Statement> {
        match find_health(app, ready, &connection).await {
            Ok(health) => {
                health.map(|health| record(app, &connection, &health, None)).unwrap_or_default()
            }
            Err(error) => {
                let fields =
                    [("connection_id", connection.id.as_str()), ("error", &error.to_string())];
                log::warn("check_not_noted", &fields);
                Vec::new()
            }
        }
    }
}
