//! The storage that all folders share: the schema ([`Ready`], [`migrations`]), the types of ids ([`ids`], and the
//! macro in `id_type`), events and their outbox ([`event`], [`outbox`]), the minting of identities such that none
//! is lost ([`minting`]), and background work in batches ([`work`]).

pub mod event;
pub(crate) mod id_type;
pub mod ids;
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

/// SQL of a statement that fails its transaction where a condition holds, with
/// [`seams::db::DbError::Unauthorized`]: see `migrations/0011_create_access_tables.sql`.
pub fn fail_if(condition: &str) -> String {
    format!("INSERT INTO assertions (held) SELECT 0 WHERE {condition}")
}

/// What this isolate knows about the schema.
#[derive(Default)]
pub struct Schema {
    state: Cell<Database>,
    /// When the background may try the migrations again, in ms since the Unix epoch.
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
    /// This isolate has not looked at it yet.
    #[default]
    Pending,
    /// Every migration is applied.
    Ready,
    /// The last try failed; the next request tries again.
    Failed,
}

impl Database {
    /// The name of the state in `/health`.
    pub fn as_str(self) -> &'static str {
        match self {
            Database::Pending => "pending",
            Database::Ready => "ready",
            Database::Failed => "failed",
        }
    }
}

impl Schema {
    /// The state of the schema, as this isolate last saw it.
    pub fn state(&self) -> Database {
        self.state.get()
    }

    /// Whether the background should apply the migrations now: before the first try, and after the pause
    /// that follows a failed one.
    pub fn is_due(&self, now_ms: u64) -> bool {
        match self.state.get() {
            Database::Pending => true,
            Database::Failed => now_ms >= self.next_try_ms.get(),
            Database::Ready => false,
        }
    }
}

/// How long the background waits after failed migrations before it tries them again, in ms. Requests that
/// need the database try at once.
const BACKGROUND_PAUSE_MS: u64 = 1000;

/// The proof that every migration is applied, and the only way to the database.
#[derive(Clone, Copy)]
pub struct Ready<'a> {
    db: &'a Rc<dyn Db>,
}

impl<'a> Ready<'a> {
    /// Applies the missing migrations, unless this isolate knows that there are none, and returns the proof.
    ///
    /// # Errors
    /// 503 when the database is not bound or a migration failed.
    pub async fn ensure(app: &'a App) -> Result<Ready<'a>, Problem> {
        let Some(db) = app.bare_db() else {
            return Err(not_ready(
                "The database binding `DB` is missing. GET /health lists everything that is missing.",
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

    /// The database, with every migration applied.
    pub fn db(self) -> &'a dyn Db {
        self.db.as_ref()
    }

    /// The same proof, owned, for a value that outlives the request, such as a stream.
    pub fn share(self) -> OwnedReady {
        OwnedReady(Rc::clone(self.db))
    }
}

/// A [`Ready`] that owns its database, for a value that outlives the request.
pub struct OwnedReady(Rc<dyn Db>);

impl OwnedReady {
    /// The borrowed proof.
    pub fn ready(&self) -> Ready<'_> {
        Ready { db: &self.0 }
    }
}

fn not_ready(detail: &'static str) -> Problem {
    Problem::new(Code::NotReady, detail).retry_after(2)
}
