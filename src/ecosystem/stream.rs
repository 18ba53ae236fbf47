//! `GET /v1/ecosystem/events`: what happens to the connections, as Server-Sent Events (HTML standard
//! §9.2).
//!
//! The stream reads the database, where the connections' objects publish: it needs no object of its
//! own, misses nothing between two reads, and a client that comes back with `Last-Event-ID` goes on
//! where it was. Each look judges anew whether the caller may, in the same round trip: whoever is
//! suspended, or whose credential ends or is revoked, sees no more.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use chitty_core::Clock;
use futures_util::stream::{self, StreamExt};
use http_kit::numbers::whole;
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{DbError, Row, Statement, first_row};
use seams::{log, time};

use crate::access::caller::{Credential, Scope};
use crate::access::reply::{Body, Outcome, Reply};
use crate::app::{App, Slot};
use crate::store::work::Prune;
use crate::store::{OwnedReady, Ready};

/// How often the stream looks for news, in ms.
const LOOK_MS: u64 = 1_000;

/// How often it says something where there is no news, in ms: so that nobody in between takes it for
/// dead, and that a client which has gone is noticed (the runtime says so at the next write only).
const HEARTBEAT_MS: u64 = 5_000;

/// How long one stream lasts, in ms. The client then comes back by itself.
const LONGEST_MS: u64 = 300_000;

/// How long one by a token of ChittyAuth lasts at least, in ms, where nothing is remembered of tokens.
const LONGEST_UNREMEMBERED_MS: u64 = 10_000;

/// The most events of one look.
const MAX_EVENTS: i64 = 100;

/// The most streams that one isolate keeps open: each looks into the database once a second.
const MAX_STREAMS: u32 = 50;

/// The most of them that are one actor's.
const MAX_STREAMS_OF_ACTOR: u32 = 10;

/// How many streams are open in this isolate, by actor.
#[derive(Clone, Default)]
pub struct OpenStreams(Rc<RefCell<BTreeMap<String, u32>>>);

impl Slot for OpenStreams {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// The place of one stream; given back when the stream is dropped.
struct Place {
    open: OpenStreams,
    actor: String,
}

impl OpenStreams {
    /// A place for a stream of an actor.
    ///
    /// # Errors
    /// 429 when the actor has its share, or all places are taken.
    fn take(&self, actor: &str) -> Result<Place, Problem> {
        let mut open = self.0.borrow_mut();
        let own = open.get(actor).copied().unwrap_or_default();
        let detail = if own >= MAX_STREAMS_OF_ACTOR {
            "You have as many streams open here as you may. Close one that you no longer read."
        } else if open.values().sum::<u32>() >= MAX_STREAMS {
            "As many streams are open here as there may be. Wait a while."
        } else {
            open.insert(actor.to_owned(), own + 1);
            return Ok(Place { open: self.clone(), actor: actor.to_owned() });
        };
        Err(Problem::new(Code::TooManyStreams, detail).retry_after(30))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.0.borrow_mut();
        let left = open.get(&self.actor).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            open.remove(&self.actor);
        } else {
            open.insert(self.actor.clone(), left);
        }
    }
}

/// What happens to the connections, as Server-Sent Events.
///
/// The type of each is `connected`, `disconnected`, `reconnecting`, `unhealthy`, `stateChange`,
/// `error` or `maxReconnectAttemptsReached`. The stream ends after five minutes, by a token of ChittyAuth
/// after one, and at once when you may not see it any more; with `Last-Event-ID` the next goes on where
/// it was.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/ecosystem/events",
    operation_id = "ecosystemEvents",
    tag = "ecosystem",
    params(
        ("service" = Option<String>, Query, description = "Only of this service."),
        ("Last-Event-ID" = Option<u64>, Header, description = "Only what came after this event; without it, only what comes from now on."),
    ),
    responses(
        (status = 200, description = "The stream.", body = String, content_type = "text/event-stream"),
        (status = 429, description = "`too_many_streams`: you, or all together, have too many open."),
    ),
))]
pub async fn events(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let service = match request.query("service") {
        None => None,
        Some(name) => Some(chitty_core::Service::parse(&name).ok_or_else(|| {
            Problem::invalid("?service", "must be a service; GET /v1/ecosystem lists them")
        })?),
    };
    let place = OpenStreams::of(app).take(scope.actor())?;
    let latest = Statement::new("SELECT coalesce(max(id), 0) AS id FROM connection_events");
    let mut results = scope.read(ready, vec![latest]).await?.into_iter();
    let latest = first_row(results.next());
    let latest = latest.ok_or(DbError::Shape)?.integer(0)?;
    let after = match request.header("last-event-id") {
        None => latest,
        Some(text) => {
            let id = whole(&text).and_then(|id| i64::try_from(id).ok());
            id.ok_or_else(|| {
                Problem::invalid("Last-Event-ID", "must be the id of an event of this stream")
            })?
        }
    };
    let until_ms = request.now_ms + longest_ms(app, &scope, request.now_ms);
    let source = Source {
        db: ready.share(),
        scope,
        clock: app.clock(),
        service: service.map(chitty_core::Service::host),
        after,
        silent_ms: 0,
        begun: false,
        until_ms,
        _place: place,
    };
    let stream = stream::unfold(source, Source::next).boxed_local();
    Ok(Reply::new(200, Body::Stream { content_type: "text/event-stream", stream }))
}

/// How long a stream lasts. Only ChittyAuth knows whether a token of its is revoked, so it is shown again
/// as often as elsewhere.
fn longest_ms(app: &App, scope: &Scope, now_ms: u64) -> u64 {
    let Credential::Token { expires_at, .. } = scope.credential() else { return LONGEST_MS };
    let ends_ms = expires_at.as_deref().and_then(time::parse);
    let left_ms = ends_ms.map_or(LONGEST_MS, |ends_ms| ends_ms.saturating_sub(now_ms));
    app.config.auth_cache_ms.max(LONGEST_UNREMEMBERED_MS).min(left_ms).min(LONGEST_MS)
}

struct Source {
    db: OwnedReady,
    scope: Scope,
    clock: Rc<dyn Clock>,
    service: Option<&'static str>,
    /// The last event that was sent.
    after: i64,
    /// For how long nothing was sent.
    silent_ms: u64,
    begun: bool,
    until_ms: u64,
    _place: Place,
}

impl Source {
    /// The next piece of text, once there is one; `None` at the end.
    async fn next(mut self) -> Option<(Vec<u8>, Self)> {
        if !self.begun {
            // The client sees at once that it is connected.
            self.begun = true;
            return Some((b"retry: 1000\n: connected\n\n".to_vec(), self));
        }
        while self.clock.now_ms() < self.until_ms {
            let text = match self.look().await {
                Ok(text) => text,
                Err(problem) => {
                    // The client comes back with the last id that it has seen, or learns why it may not.
                    log::info("event_stream_ended", &[("code", problem.code.as_str())]);
                    return None;
                }
            };
            if !text.is_empty() {
                self.silent_ms = 0;
                return Some((text.into_bytes(), self));
            }
            self.clock.sleep(LOOK_MS).await;
            self.silent_ms += LOOK_MS;
            if self.silent_ms >= HEARTBEAT_MS {
                self.silent_ms = 0;
                return Some((b": still here\n\n".to_vec(), self));
            }
        }
        None
    }

    async fn look(&mut self) -> Result<String, Problem> {
        let scope = self.scope.at(self.clock.now_ms());
        let statement = match self.service {
            None => Statement::new(
                "SELECT id, event, data FROM connection_events WHERE id > ?1 ORDER BY id LIMIT ?2",
            )
            .bind(self.after)
            .bind(MAX_EVENTS),
            Some(service) => Statement::new(
                "SELECT id, event, data FROM connection_events WHERE service = ?3 AND id > ?1 \
                 ORDER BY id LIMIT ?2",
            )
            .bind(self.after)
            .bind(MAX_EVENTS)
            .bind(service),
        };
        let mut text = String::new();
        for row in scope.rows(self.db.ready(), statement).await? {
            text += &self.frame(row)?;
        }
        Ok(text)
    }

    fn frame(&mut self, mut row: Row) -> Result<String, DbError> {
        self.after = row.integer(0)?;
        // JSON of serde_json is one line.
        Ok(format!("id: {}\nevent: {}\ndata: {}\n\n", self.after, row.text(1)?, row.text(2)?))
    }
}

/// The events that are older than the newest 10,000.
pub fn prune() -> Prune {
    const KEEP: i64 = 10_000;
    let statement = Statement::new(
        "DELETE FROM connection_events WHERE id IN (SELECT id FROM connection_events \
         WHERE id <= (SELECT max(id) FROM connection_events) - ?1 ORDER BY id LIMIT 500)",
    );
    Prune { what: "connection_events", statement: statement.bind(KEEP) }
}
