//! Initialization: what must be so before a request is handled, and what is done beside requests.
//!
//! - [`Ready`]: the schema is there. Blocking, on an isolate's first request; one D1 read when
//!   another isolate or a deploy has been there before. A failure is answered 503, logged, and
//!   tried again by the next request.
//! - [`registration`]: the gateway's own identity. In the background; the gateway serves without.

pub mod migrations;
pub mod registration;

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

use seams::db::Db;
use seams::log;

use crate::app::{App, Slot};
use http_kit::problem::{Code, Problem};

/// What this isolate knows about the gateway's initialization.
#[derive(Default)]
pub struct State {
    database: Cell<Database>,
    /// When the schema may be tried again in the background, in ms.
    next_try_ms: Cell<u64>,
    registration: RefCell<registration::Progress>,
}

impl Slot for State {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// The state of the schema, as this isolate last saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Database {
    /// Nobody has asked yet.
    #[default]
    Pending,
    /// Every migration is applied.
    Ready,
    /// The last try failed; the next request tries again.
    Failed,
}

impl Database {
    /// Its name in `/health`.
    pub fn as_str(self) -> &'static str {
        match self {
            Database::Pending => "pending",
            Database::Ready => "ready",
            Database::Failed => "failed",
        }
    }
}

impl State {
    /// The state of the schema.
    pub fn database(&self) -> Database {
        self.database.get()
    }

    /// How far the registration is. Not to be held while anything is awaited.
    pub fn registration(&self) -> Ref<'_, registration::Progress> {
        self.registration.borrow()
    }
}

/// How long the background leaves a schema alone that has just failed, in ms. Requests that need it
/// try at once.
const BACKGROUND_PAUSE_MS: u64 = 1000;

/// The proof that the schema is there, and the only way to the database.
#[derive(Clone, Copy)]
pub struct Ready<'a> {
    db: &'a Rc<dyn Db>,
}

impl<'a> Ready<'a> {
    /// Lets a request through once the schema is there, applying what is missing.
    ///
    /// # Errors
    /// 503 when the database is not bound or a migration failed.
    pub async fn ensure(app: &'a App) -> Result<Ready<'a>, Problem> {
        let Some(db) = app.bare_db() else {
            return Err(not_ready(
                "The database binding `DB` is missing; GET /health lists what is.",
            ));
        };
        if State::of(app).database.get() != Database::Ready {
            if let Err(error) = migrations::apply(db.as_ref()).await {
                State::of(app).database.set(Database::Failed);
                State::of(app).next_try_ms.set(app.now_ms() + BACKGROUND_PAUSE_MS);
                log::error("migrations_failed", &[("error", &error.to_string())]);
                return Err(not_ready(
                    "The database could not be prepared. The next request tries again.",
                ));
            }
            State::of(app).database.set(Database::Ready);
        }
        Ok(Ready { db })
    }

    /// The database, with its schema.
    pub fn db(self) -> &'a dyn Db {
        self.db.as_ref()
    }

    /// The same for what outlives the request, such as a stream.
    pub fn share(self) -> OwnedReady {
        OwnedReady(Rc::clone(self.db))
    }
}

/// A database whose schema is there, for what outlives a request.
pub struct OwnedReady(Rc<dyn Db>);

impl OwnedReady {
    /// The proof of it.
    pub fn ready(&self) -> Ready<'_> {
        Ready { db: &self.0 }
    }
}

fn not_ready(detail: &'static str) -> Problem {
    Problem::new(Code::NotReady, detail).retry_after(2)
}

/// Whether there is background work for this isolate now.
pub fn is_due(app: &App, now_ms: u64) -> bool {
    match State::of(app).database.get() {
        Database::Pending => true,
        Database::Failed => now_ms >= State::of(app).next_try_ms.get(),
        Database::Ready => State::of(app).registration.borrow().is_due(now_ms),
    }
}

/// The background work: the schema if it is missing, then the registration.
pub async fn advance(app: &App) {
    if let Ok(ready) = Ready::ensure(app).await {
        registration::advance(app, ready).await;
    }
}
