//! What is stored, and what every folder needs to store something: the schema ([`Ready`], [`migrations`]),
//! events that are told after their change ([`event`], [`outbox`]), identities of which none is lost
//! ([`minting`]), and work that is done piece by piece ([`work`]).

pub mod event;
pub mod migrations;
pub mod minting;
pub mod outbox;
pub mod work;

use std::cell::Cell;
use std::rc::Rc;

use http_kit::problem::{Code, Problem};
use seams::db::Db;
use seams::log;

use crate::app::{App, Slot};

/// What this isolate knows about the schema.
#[derive(Default)]
pub struct Schema {
    state: Cell<Database>,
    /// When it may be tried again in the background, in ms.
    next_try_ms: Cell<u64>,
}

impl Slot for Schema {
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

impl Schema {
    /// As this isolate last saw it.
    pub fn state(&self) -> Database {
        self.state.get()
    }

    /// Whether the background should look after it now; never once it is there.
    pub fn is_due(&self, now_ms: u64) -> bool {
        match self.state.get() {
            Database::Pending => true,
            Database::Failed => now_ms >= self.next_try_ms.get(),
            Database::Ready => false,
        }
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
        if Schema::of(app).state.get() != Database::Ready {
            if let Err(error) = migrations::apply(db.as_ref()).await {
                Schema::of(app).state.set(Database::Failed);
                Schema::of(app).next_try_ms.set(app.now_ms() + BACKGROUND_PAUSE_MS);
                log::error("migrations_failed", &[("error", &error.to_string())]);
                return Err(not_ready(
                    "The database could not be prepared. The next request tries again.",
                ));
            }
            Schema::of(app).state.set(Database::Ready);
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
