//! Whether the target of a connection works, with the credential that the gateway has for it.

use chitty_core::TransportError;
use futures_util::StreamExt;
use serde_json::json;

use crate::app::App;
use crate::connections::call::{Base, is_closed};
use crate::connections::credential::Credential;
use crate::connections::store::{self, Finding, Link};
use crate::connections::{provisioned, secrets};
use crate::events::{Event, EventKind};
use crate::init::Ready;
use crate::platform::db::DbError;
use crate::platform::{log, time};

/// After how many checks in a row that found something wrong a connection has failed.
const FAILED_AFTER: i64 = 3;

/// How many connections one run of the cron checks, and how many of them at once.
const CRON_LIMIT: i64 = 30;
const AT_ONCE: usize = 5;

/// When the cron checks a connection next.
pub fn next(app: &App) -> String {
    let interval_ms = app.config.connection_check_ms;
    let spread = u32::try_from(interval_ms / 4 + 1).unwrap_or(u32::MAX);
    time::iso8601(app.now_ms() + interval_ms + u64::from(app.jitter(spread)))
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Good,
    /// It does not accept the credential.
    Refused,
    /// It answers something else, or nothing; in words without anything of the target's.
    Bad(String),
}

impl Health {
    /// What was wrong, if anything was.
    pub fn error(&self) -> Option<String> {
        match self {
            Health::Good => None,
            Health::Refused => Some("the target refuses the credential".to_owned()),
            Health::Bad(error) => Some(error.clone()),
        }
    }
}

/// Asks a target at its check path.
pub async fn ask(app: &App, base: &Base, path: &str, credential: Option<&Credential>) -> Health {
    let mut request = base.request(app, "GET", path);
    request.headers.push(("accept".to_owned(), "application/json, */*".to_owned()));
    request.headers.extend(credential.and_then(Credential::header));
    match app.outside.send(request).await {
        Ok(answer) => match answer.status {
            // It is there, and busy.
            200..=299 | 429 => Health::Good,
            401 | 403 | 407 => Health::Refused,
            status => Health::Bad(format!("the target answers with status {status}")),
        },
        Err(TransportError::Timeout) => {
            Health::Bad("the target does not answer in time".to_owned())
        }
        // That it has a lot to say does not make it ill.
        Err(TransportError::TooLarge(_)) => Health::Good,
        Err(TransportError::Unreachable(error)) => {
            log::warn("target_unreachable", &[("error", &error)]);
            Health::Bad("the target cannot be reached".to_owned())
        }
    }
}

/// Checks a connection and puts on record what was found. `by` is who asked for it.
///
/// # Errors
/// Storage failures.
pub async fn check(
    app: &App,
    ready: Ready<'_>,
    link: &Link,
    by: &str,
) -> Result<Vec<Event>, DbError> {
    let Some(path) = &link.check_path else { return Ok(Vec::new()) };
    let base = Base::of(app, &link.service, &link.endpoint);
    let health = match provisioned::stands(ready, link, app.now_ms()).await? {
        true => match secrets::usable(app, ready, link).await {
            Ok(_) if is_closed(app, &link.service, &link.endpoint) => {
                Health::Bad("the connection leads where none may lead".to_owned())
            }
            Ok(credential) => ask(app, &base, path, credential.as_ref()).await,
            Err(problem) => Health::Bad(problem.code.title().to_owned()),
        },
        // The next use has another key made: that the target wants one says nothing about it.
        false => match ask(app, &base, path, None).await {
            Health::Refused => Health::Good,
            health => health,
        },
    };
    let error = health.error();
    let now_ms = app.now_ms();
    let event = |kind| Event::new(now_ms, kind, &link.id, by, json!({ "error": error }), None);
    let (failed, recovered) =
        (event(EventKind::ConnectionFailed), event(EventKind::ConnectionRecovered));
    let finding = Finding {
        id: &link.id,
        at: &time::iso8601(now_ms),
        error: error.as_deref(),
        limit: FAILED_AFTER,
        failed: &failed,
        recovered: &recovered,
        overdue_ms: 0,
    };
    ready.db().batch(store::note(&finding)).await?;
    Ok(vec![failed, recovered])
}

/// Checks what is due; the cron runs it.
pub async fn check_due(app: &App, ready: Ready<'_>) {
    let now = time::iso8601(app.now_ms());
    let interval_s = i64::try_from(app.config.connection_check_ms / 1000).unwrap_or(300);
    let due = match store::take_due(ready, &now, interval_s, CRON_LIMIT).await {
        Ok(due) => due,
        Err(error) => return log::warn("checks_not_taken", &[("error", &error.to_string())]),
    };
    futures_util::stream::iter(due)
        .for_each_concurrent(AT_ONCE, |link| async move {
            if let Err(error) = check(app, ready, &link, "chittyconnect").await {
                log::warn("check_not_noted", &[("error", &error.to_string())]);
            }
        })
        .await;
}
