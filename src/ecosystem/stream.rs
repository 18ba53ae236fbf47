//! `GET /v1/ecosystem/events`: what happens to the watches, as Server-Sent Events (HTML standard §9.2).
//!
//! The stream reads the database, to which the watches publish. It needs no object of its own
//! and misses nothing between two reads, and a client that reconnects with `Last-Event-ID` continues where it
//! stopped. Each read checks the caller's permission again in the same round trip, so the stream ends when
//! the actor is suspended or the credential expires or is revoked.

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

/// How often the stream reads the database for new events, in ms.
const LOOK_MS: u64 = 1_000;

/// How often the stream sends a comment while there are no events, in ms: so that no proxy closes the
/// connection, and so that the gateway notices when the client has gone (the runtime reports that only at the
/// next write).
const HEARTBEAT_MS: u64 = 5_000;

/// The longest duration of a stream, in ms. The client then reconnects by itself.
const LONGEST_MS: u64 = 300_000;

/// The longest duration of a stream with a token of ChittyAuth, in ms, if the gateway caches tokens for a
/// shorter time than this or not at all.
const LONGEST_UNREMEMBERED_MS: u64 = 10_000;

/// The most events of one read.
const MAX_EVENTS: i64 = 100;

/// The most streams that one isolate keeps open: each reads the database once a second.
const MAX_STREAMS: u32 = 50;

/// The most streams that one isolate keeps open for one actor.
const MAX_STREAMS_OF_ACTOR: u32 = 10;

/// How many streams are open in this isolate, by actor.
#[derive(Clone, Default)]
pub struct OpenStreams(Rc<RefCell<BTreeMap<String, u32>>>);

impl Slot for OpenStreams {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// The place of one open stream; freed when the stream is dropped.
struct Place {
    open: OpenStreams,
    actor: String,
}

impl OpenStreams {
    /// Takes a place for a stream of an actor.
    ///
    /// # Errors
    /// 429 when the actor has taken all of its places, or all places are taken.
    fn take(&self, actor: &str) -> Result<Place, Problem> {
        let mut open = self.0.borrow_mut();
        let own = open.get(actor).copied().unwrap_or_default();
        let detail = if own >= MAX_STREAMS_OF_ACTOR {
            "You have reached your limit of open streams. Close one that you no longer read."
        } else if open.values().sum::<u32>() >= MAX_STREAMS {
            "This isolate has reached its limit of open streams. Wait a while."
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

/// Stream the events of the connections as Server-Sent Events.
///
/// The type of each event is `connected`, `disconnected`, `reconnecting`, `unhealthy`, `stateChange`,
/// `error` or `maxReconnectAttemptsReached`. The stream ends after five minutes (after one minute with a
/// token of ChittyAuth), and at once when you lose the permission. With `Last-Event-ID` the next stream
/// continues where this one ended.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/ecosystem/events",
    operation_id = "ecosystemEvents",
    tag = "ecosystem",
    params(
        ("service" = Option<String>, Query, description = "Only events of this service."),
        ("Last-Event-ID" = Option<u64>, Header, description = "Only events after this one; without it, only events from now on."),
    ),
    responses(
        (status = 200, description = "The stream.", body = String, content_type = "text/event-stream"),
        (status = 429, description = "`too_many_streams`: you, or all callers together, have too many streams open."),
    ),
))]
pub async fn events(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read which service's events to stream.
    let service = match request.query("service") {
        None => None,
        Some(name) => Some(chitty_core::Service::parse(&name).ok_or_else(|| {
            Problem::invalid("?service", "must be a service; GET /v1/ecosystem lists them")
        })?),
    };
    // 2. Take a place among the open streams.
    let place = OpenStreams::of(app).take(scope.actor())?;
    // 3. Check the permission, and settle after which event the stream begins.
    let latest = Statement::new("SELECT coalesce(max(id), 0) AS id FROM connection_events");
    let mut results = scope.read(ready, vec![latest]).await?.into_iter();
    let latest = first_row(results.next());
    let latest = latest.ok_or(DbError::Shape)?.integer("id")?;
    let after = match request.header("last-event-id") {
        None => latest,
        Some(text) => {
            let id = whole(&text).and_then(|id| i64::try_from(id).ok());
            id.ok_or_else(|| {
                Problem::invalid("Last-Event-ID", "must be the id of an event of this stream")
            })?
        }
    };
    // 4. Reply with the stream.
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

/// How long a stream may last, in ms. Only ChittyAuth knows whether one of its tokens is revoked, so a stream
/// with such a token lasts about as long as the gateway caches the token.
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
    /// The id of the last event that was sent.
    after: i64,
    /// How long the stream has sent nothing, in ms.
    silent_ms: u64,
    begun: bool,
    until_ms: u64,
    _place: Place,
}

impl Source {
    /// Waits for the next piece of text; `None` at the end of the stream.
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
                    // The client reconnects with the last id that it has seen, and may then learn from the
                    // refusal why the stream ended.
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
        self.after = row.integer("id")?;
        let (event, data) = (row.text("event")?, row.text("data")?);
        // JSON from serde_json is a single line.
        Ok(format!("id: {}\nevent: {event}\ndata: {data}\n\n", self.after))
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
