//! The published status of the watches, and how an isolate acts on it.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;

use chitty_core::watch::{State, Status};
use chitty_core::{BreakerState, Service};
use seams::db::{DbError, Row, Statement};
use seams::{log, time};

use crate::app::{App, Settings as _, Slot};
use crate::ecosystem::settings::Settings;
use crate::ecosystem::watch::Command;

/// How long a watch may publish nothing before an isolate wakes it, in ms: twice the longest pause between two
/// checks, and twice the deadline of a check.
fn silent_ms(app: &App) -> u64 {
    let config = &Settings::of(app).watch;
    let longest_ms = config.health_check_interval_ms.max(config.max_reconnect_delay_ms);
    2 * longest_ms + 2 * config.check_deadline_ms
}

/// How long an isolate waits before it wakes the same object again, in ms.
const WAKE_PAUSE_MS: u64 = 60_000;

/// The news that an isolate has read, and the objects that it has woken.
#[derive(Default)]
pub struct NewsMemory {
    news: RefCell<BTreeMap<Service, i64>>,
    woken_ms: RefCell<BTreeMap<Service, u64>>,
    identity: RefCell<Option<Status>>,
}

impl Slot for NewsMemory {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl NewsMemory {
    /// The status of the watch of ChittyID as this isolate last read it, with its uptime as of now; `None`
    /// before the first read, and if the watch was silent at the last one. An idle isolate does not read, and
    /// keeps the last status: an old one is better than none.
    pub(crate) fn identity(&self, now_ms: u64) -> Option<RefMut<'_, Status>> {
        let mut status = RefMut::filter_map(self.identity.borrow_mut(), Option::as_mut).ok()?;
        let since_ms = status.since.filter(|_| status.state == State::Connected);
        status.uptime = since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
        status.stats.uptime = status.uptime;
        Some(status)
    }

    /// Remembers the published status of the watch of ChittyID.
    pub(crate) fn note(&self, app: &App, news: &[News]) {
        let found = news.iter().find(|news| news.service == Service::Id);
        let current = found.filter(|found| !found.is_silent(app, app.now_ms()));
        let status = current.and_then(|found| serde_json::from_str(&found.status).ok());
        *self.identity.borrow_mut() = status;
    }
}

/// The published news of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    service: Service,
    is_down: bool,
    /// Rises whenever `is_down` changes.
    number: i64,
    updated_ms: u64,
    /// Whether the watch is in the state `DISCONNECTED`.
    disconnected: bool,
    /// For ChittyID: the watch's status, as its object has published it. Empty for other services.
    status: String,
}

impl News {
    /// Whether the watch has published nothing for longer than it may.
    fn is_silent(&self, app: &App, now_ms: u64) -> bool {
        !self.disconnected && now_ms.saturating_sub(self.updated_ms) > silent_ms(app)
    }
}

/// The statement that reads the news; it is part of the handover's batch.
pub(crate) fn look() -> Statement {
    Statement::new(
        "SELECT service, is_down, news, updated_at, state, \
         CASE service WHEN 'id' THEN status ELSE '' END AS status FROM service_connections",
    )
}

/// Reads the rows of [`look`].
pub(crate) fn read(rows: Vec<Row>) -> Result<Vec<News>, DbError> {
    let mut news = Vec::new();
    for mut row in rows {
        // Skip a service that this version does not know.
        let Some(service) = Service::parse(&row.text("service")?) else { continue };
        news.push(News {
            service,
            is_down: row.flag("is_down")?,
            number: row.integer("news")?,
            updated_ms: time::parse(&row.text("updated_at")?).unwrap_or(0),
            disconnected: row.text("state")? == "DISCONNECTED",
            status: row.text("status")?,
        });
    }
    Ok(news)
}

/// Acts on the news. It applies each piece of news to the breaker once, so that what this isolate's own calls
/// show afterwards takes precedence. It wakes silent objects, and asks an object for a check if a breaker has
/// just contradicted the published status.
pub(crate) async fn act(app: &App, news: &[News], breakers_changed: bool) {
    let now_ms = app.now_ms();
    let mut wake = Vec::new();
    for service in Service::ALL {
        let found = news.iter().find(|news| news.service == *service);
        if let Some(found) = found {
            let known = NewsMemory::of(app).news.borrow().get(service).copied();
            if known.map_or(found.is_down, |known| found.number > known) {
                app.core.take_news(*service, found.is_down);
            }
            NewsMemory::of(app).news.borrow_mut().insert(*service, found.number);
        }
        let silent = found.is_none_or(|found| found.is_silent(app, now_ms));
        let open = matches!(app.core.breaker(*service), BreakerState::Open { .. });
        let contradicts = breakers_changed
            && found.is_some_and(|found| !found.disconnected && found.is_down != open);
        if contradicts {
            wake.push((*service, Command::Check));
        } else if silent && take_turn(app, *service, now_ms) {
            wake.push((*service, Command::Ensure));
        }
    }
    ask(app, wake).await;
}

/// Sends `ensure` to every object, which wakes those that nobody has disconnected. The cron runs it, as the
/// last resort against a lost alarm.
pub(crate) async fn ensure_all(app: &App) {
    ask(app, Service::ALL.iter().map(|service| (*service, Command::Ensure)).collect()).await;
}

async fn ask(app: &App, commands: Vec<(Service, Command)>) {
    let Some(objects) = app.watches.as_deref() else { return };
    let asked = commands.into_iter().map(|(service, command)| async move {
        if let Err(error) = objects.ask(service, command.as_str()).await {
            log::warn("connection_not_asked", &[("service", service.as_str()), ("error", &error)]);
        }
    });
    futures_util::future::join_all(asked).await;
}

fn take_turn(app: &App, service: Service, now_ms: u64) -> bool {
    let mut woken = NewsMemory::of(app).woken_ms.borrow_mut();
    let due = woken.get(&service).is_none_or(|at| now_ms.abs_diff(*at) > WAKE_PAUSE_MS);
    if due {
        woken.insert(service, now_ms);
    }
    due
}
