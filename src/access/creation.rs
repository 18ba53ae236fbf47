//! What all creations share: the batch that stores the new thing with its event and the reply to repeats, and
//! the reply 201.

use http_kit::precondition::etag;
use seams::db::{Row, Statement, first_row};

use crate::access::caller::{Scope, WriteError};
use crate::access::idempotency::{Idempotency, StoredReply};
use crate::access::quota::Quota;
use crate::access::reply::{After, Body, Reply};
use crate::app::App;
use crate::store::event::Event;
use crate::store::{Ready, outbox};

/// A creation that its caller may repeat.
pub struct Creation<'a> {
    /// The event. Its entity is the new thing, and its id becomes the revision.
    pub event: Event,
    /// The path of the new thing.
    location: String,
    /// How long after its instant the event is overdue, in ms.
    overdue_ms: u64,
    quotas: &'a [Quota],
    key: Option<&'a Idempotency>,
}

/// What is known after the batch of a creation has failed.
pub enum Recovery {
    /// The batch was committed after all; with the body of the reply.
    Committed(String),
    /// Another request with the same idempotency key was faster; with its reply.
    Replayed(Reply),
}

impl<'a> Creation<'a> {
    /// The creation of the entity of `event`, which is then found below `place`, such as `/v1/keys`. It counts
    /// against `quotas`, and its reply is stored under `key`.
    pub fn new(
        app: &App,
        event: Event,
        place: &str,
        quotas: &'a [Quota],
        key: Option<&'a Idempotency>,
    ) -> Self {
        let location = format!("{place}/{}", event.entity_id);
        Creation { event, location, overdue_ms: app.config.outbox_overdue_ms, quotas, key }
    }

    /// Writes all of the creation in one batch: the statements `own` of its resource, the event, the reply to
    /// repeats, and the assertions of the quotas. One statement of `own` returns the reply's body as `body`;
    /// `stored` selects the body for repeats, with `?1` bound to the entity's id and `?2` to its revision.
    /// Returns the body, or `None` if no statement of `own` returned one.
    ///
    /// # Errors
    /// [`WriteError`]; with an idempotency key also if `stored` selects nothing.
    pub async fn write(
        &self,
        ready: Ready<'_>,
        scope: &Scope,
        own: Vec<Statement>,
        stored: &str,
    ) -> Result<Option<String>, WriteError> {
        let told = outbox::insert(&self.event, self.overdue_ms);
        self.write_with(ready, scope, own, told, stored).await
    }

    /// As [`write`](Self::write), for statements that may store nothing: the event is written only if `table`
    /// has the entity under the key `column` with the new revision.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_if_stored(
        &self,
        ready: Ready<'_>,
        scope: &Scope,
        own: Vec<Statement>,
        (table, column): (&'static str, &'static str),
        stored: &str,
    ) -> Result<Option<String>, WriteError> {
        let told = outbox::insert_if_changed(&self.event, self.overdue_ms, table, column);
        self.write_with(ready, scope, own, told, stored).await
    }

    async fn write_with(
        &self,
        ready: Ready<'_>,
        scope: &Scope,
        own: Vec<Statement>,
        told: Statement,
        stored: &str,
    ) -> Result<Option<String>, WriteError> {
        let count = own.len();
        let mut batch = own;
        batch.push(told);
        if let Some(key) = self.key {
            let tag = etag(self.event.id.as_str());
            let reply = StoredReply { status: 201, etag: &tag, location: &self.location };
            batch.extend(key.store(scope, &self.event, &reply, stored));
        }
        batch.extend(self.quotas.iter().filter_map(Quota::assertion));
        let results: Vec<Vec<Row>> = scope.write(ready, batch).await?;
        let row = results.into_iter().take(count).find_map(|rows| first_row(Some(rows)));
        Ok(row.map(|mut row| row.text("body")).transpose()?)
    }

    /// The reply to the creation, which announces the event.
    pub fn reply(self, body: String) -> Reply {
        Reply::new(201, Body::Json(body))
            .header("etag", etag(self.event.id.as_str()))
            .header("location", self.location)
            .then(After::Announce(self.event))
    }
}
