//! The catalog in the memory of an isolate. It is read from the database at most once a minute, and only when a
//! request needs it. While the database is down, the isolate's last copy stays in use; an isolate that has
//! none takes the copy in KV, and without that the built-in list. So a reader is never refused.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use seams::db::{DbError, Row, Statement, first_row};
use seams::{log, time};
use serde::de::DeserializeOwned;

use crate::app::{App, Slot};
use crate::discovery::catalog::{Entry, Lists, Status, Surroundings, unite};
use crate::discovery::document::{Content, Texts};
use crate::discovery::endpoint::{is_chittyos, usual_host};
use crate::discovery::listed::MAX_SERVICES;
use crate::discovery::names::key_of;
use crate::discovery::published::{self, ServiceStatus};
use crate::discovery::{Directory, STALE_MS, age, look, origin, take as take_moved};
use crate::store::Ready;

/// How long an isolate uses what it has read, in ms: a pipeline that waits five minutes for the catalog sees
/// every change.
const KEEP_MS: u64 = 60_000;

/// The pause after a read that failed, in ms.
const AFTER_FAILURE_MS: u64 = 5_000;

/// How long a read may take before it counts as lost, in ms.
const LONGEST_READ_MS: u64 = 10_000;

/// How often a request without any copy looks for the one that another request is reading, in ms.
const LOOK_MS: u64 = 50;

/// The shortest pause between two looks because of names that are not in the copy, in ms.
const AFTER_MISS_MS: u64 = 5_000;

/// How old a published state may be, in ms.
const PUBLISHED_MS: u64 = 300_000;

/// The most registrations that the catalog takes: with the most entries of the registry, the discovery
/// document stays below the megabyte that a pipeline can hold. Confirmed ones go first.
const MAX_CONFIRMED: usize = 900;
const MAX_UNCONFIRMED: usize = 100;

/// The key of the copy in `CHITTYCONNECT_KV`.
const COPY: &str = "discovery/v1";

/// Where a copy of the catalog comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// From the database, at this number of its changes.
    Database(i64),
    /// From the copy in KV.
    Copy,
    /// From nowhere: only the built-in services are known.
    BuiltIn,
}

/// The catalog as an isolate has read it.
pub(super) struct Snapshot {
    /// Sorted by name.
    pub(super) entries: Vec<Entry>,
    /// When ChittyRegistry last answered, ISO-8601.
    pub(super) refreshed_at: Option<String>,
    /// The instant of the newest change, ISO-8601.
    pub(super) updated_at: String,
    origin: Origin,
    /// The documents that are made of it, and whether the list was stale then.
    texts: RefCell<Option<(bool, Rc<Texts>)>>,
}

/// The latest copy in this isolate.
pub(super) struct Memory {
    latest: RefCell<Option<Rc<Snapshot>>>,
    /// Until when the copy need not be read again, in ms since the Unix epoch.
    fresh_until_ms: Cell<u64>,
    /// When the read that is under way began.
    reading_since_ms: Cell<Option<u64>>,
    /// When a name that is not in the copy was last looked for.
    missed_ms: Cell<u64>,
    started_ms: u64,
}

impl Slot for Memory {
    fn new(app: &App) -> Self {
        Memory {
            latest: RefCell::default(),
            fresh_until_ms: Cell::default(),
            reading_since_ms: Cell::default(),
            missed_ms: Cell::default(),
            started_ms: app.now_ms(),
        }
    }
}

impl Memory {
    fn put(&self, snapshot: Rc<Snapshot>, fresh_until_ms: u64) {
        *self.latest.borrow_mut() = Some(snapshot);
        self.fresh_until_ms.set(fresh_until_ms);
    }

    /// Has the next request read the catalog again. Until it has, the copy stays.
    pub(super) fn expire(&self) {
        self.fresh_until_ms.set(0);
    }

    /// Whether it is time to look for a name that is not in the copy; if so, notes the time.
    pub(super) fn take_miss(&self, now_ms: u64) -> bool {
        let is_time = now_ms.abs_diff(self.missed_ms.get()) >= AFTER_MISS_MS;
        if is_time {
            self.missed_ms.set(now_ms);
        }
        is_time
    }
}

impl Snapshot {
    fn new(
        app: &App,
        lists: &Lists,
        watched: &BTreeMap<String, Status>,
        origin_of_it: Origin,
    ) -> Self {
        let url_of = |name: &str, host: Option<&str>| match is_chittyos(name) {
            true => origin(app, name, &Directory::of(app).name_of(name)),
            false => origin(app, name, host.unwrap_or_else(|| usual_host(name))),
        };
        let around = Surroundings {
            watched,
            url_of: &url_of,
            own_url: &app.config.public_url,
            now_ms: app.now_ms(),
        };
        let changes = lists.registered.iter().map(|one| one.updated_at.as_str());
        let newest = changes.chain(lists.refreshed_at.as_deref()).max().map(str::to_owned);
        let started = || time::iso8601(Memory::of(app).started_ms);
        Snapshot {
            entries: unite(lists, &around),
            refreshed_at: lists.refreshed_at.clone(),
            updated_at: newest.unwrap_or_else(started),
            origin: origin_of_it,
            texts: RefCell::default(),
        }
    }

    /// Returns the entry of a name, in either form and in any case, or of a ChittyID.
    pub(super) fn find(&self, text: &str) -> Option<&Entry> {
        let key = key_of(text);
        let is_it = |entry: &&Entry| entry.id == key || entry.chitty_id.as_deref() == Some(text);
        self.entries.iter().find(is_it)
    }

    /// Whether no list could be read, so that only the built-in services are known.
    pub(super) fn is_built_in(&self) -> bool {
        self.origin == Origin::BuiltIn
    }

    /// Whether ChittyRegistry has not answered for so long that two refreshes have failed.
    pub(super) fn is_stale(&self, now_ms: u64) -> bool {
        let refreshed_ms = self.refreshed_at.as_deref().and_then(time::parse);
        refreshed_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) >= STALE_MS)
    }

    /// Returns the documents of this copy, made at their first use.
    pub(super) fn texts(&self, app: &App) -> Rc<Texts> {
        let is_stale = self.is_stale(app.now_ms());
        if let Some((made_stale, texts)) = &*self.texts.borrow()
            && *made_stale == is_stale
        {
            return Rc::clone(texts);
        }
        let texts = Rc::new(Texts::of(
            app,
            &Content {
                entries: &self.entries,
                refreshed_at: self.refreshed_at.as_deref(),
                updated_at: &self.updated_at,
                is_stale,
            },
        ));
        *self.texts.borrow_mut() = Some((is_stale, Rc::clone(&texts)));
        texts
    }
}

/// Returns the catalog: the isolate's copy, or one that is read now. While one request reads, the others use
/// the copy that there is. Never fails.
pub(super) async fn current(app: &App) -> Rc<Snapshot> {
    let memory = Memory::of(app);
    loop {
        let now_ms = app.now_ms();
        // The request that began to read may have ended before its end.
        let since_ms = memory.reading_since_ms.get();
        let is_reading = since_ms.is_some_and(|at_ms| now_ms.abs_diff(at_ms) < LONGEST_READ_MS);
        let latest = memory.latest.borrow().clone();
        match latest {
            Some(latest) if is_reading || now_ms < memory.fresh_until_ms.get() => return latest,
            None if is_reading => app.sleep(LOOK_MS).await,
            _ => break,
        }
    }
    memory.reading_since_ms.set(Some(app.now_ms()));
    let snapshot = read(app).await;
    memory.reading_since_ms.set(None);
    snapshot
}

/// Reads the catalog into the memory: from the database, or if that fails from the next best place.
async fn read(app: &App) -> Rc<Snapshot> {
    let memory = Memory::of(app);
    if let Err(error) = read_database(app).await {
        log::warn("catalog_unread", &[("error", error.as_str())]);
        let latest = memory.latest.borrow().clone();
        let snapshot = match latest.filter(|latest| !latest.is_built_in()) {
            Some(latest) => latest,
            None => Rc::new(copied(app).await),
        };
        memory.put(snapshot, app.now_ms() + AFTER_FAILURE_MS);
    }
    let latest = memory.latest.borrow().clone();
    // Both ways have put a copy into the memory.
    latest.unwrap_or_else(|| Rc::new(built_in(app)))
}

async fn read_database(app: &App) -> Result<(), String> {
    let ready = Ready::ensure(app).await.map_err(|problem| problem.detail.into_owned())?;
    let results = ready.db().batch(queries()).await.map_err(|error| error.to_string())?;
    take(app, results).map(|_| ()).map_err(|error| error.to_string())
}

/// The catalog without any list.
fn built_in(app: &App) -> Snapshot {
    Snapshot::new(app, &Lists::default(), &BTreeMap::new(), Origin::BuiltIn)
}

/// The catalog of the copy in KV, or the built-in one.
async fn copied(app: &App) -> Snapshot {
    let Some(kv) = &app.cache else { return built_in(app) };
    let text = kv.get(COPY).await.unwrap_or_else(|error| {
        log::warn("catalog_copy_unread", &[("error", &error)]);
        None
    });
    let lists = text.and_then(|text| serde_json::from_str::<Lists>(&text).ok());
    match lists {
        Some(lists) => Snapshot::new(app, &lists, &BTreeMap::new(), Origin::Copy),
        None => built_in(app),
    }
}

/// Keeps a copy of the lists in KV, for isolates that begin while the database is down.
pub(super) async fn keep_copy(app: &App, lists: &Lists) {
    let Some(kv) = &app.cache else { return };
    // Plain data, so serializing cannot fail.
    let text = serde_json::to_string(lists).unwrap_or_default();
    if let Err(error) = kv.put(COPY, &text, None).await {
        log::warn("catalog_copy_not_kept", &[("error", &error)]);
    }
}

/// Notes the number of the catalog's changes, as the last handover has read it: another isolate may have
/// changed the catalog.
pub(super) fn follow(app: &App, version: i64) {
    let memory = Memory::of(app);
    let is_current = match &*memory.latest.borrow() {
        Some(latest) => latest.origin == Origin::Database(version),
        None => true,
    };
    if !is_current {
        memory.expire();
    }
}

/// The queries for the whole catalog.
pub(super) fn queries() -> Vec<Statement> {
    let listed = Statement::new(format!(
        "SELECT json_group_array(json_object('name', name, 'host', host, 'listed_name', \
         listed_name, 'chitty_id', chitty_id, 'status', status, 'health_path', health_path)) \
         AS listed FROM (SELECT * FROM service_addresses ORDER BY name LIMIT {MAX_SERVICES})"
    ));
    let those = |is_confirmed: u8, most: usize| {
        format!(
            "SELECT * FROM (SELECT * FROM registered_services WHERE is_confirmed = {is_confirmed} \
             ORDER BY name LIMIT {most})"
        )
    };
    let (confirmed, others) = (those(1, MAX_CONFIRMED), those(0, MAX_UNCONFIRMED));
    let registered = Statement::new(format!(
        "SELECT json_group_array(json_object('name', name, 'shown_name', shown_name, \
         'is_confirmed', json(iif(is_confirmed, 'true', 'false')), 'host', host, \
         'health_path', health_path, 'version', version, 'description', description, \
         'capabilities', json(capabilities), 'status', status, \
         'last_deployed_at', last_deployed_at, 'last_beacon_at', last_beacon_at, \
         'updated_at', updated_at)) AS registered FROM ({confirmed} UNION ALL {others})"
    ));
    vec![look(), listed, registered, published::overview(), age()]
}

/// Takes over the results of [`queries`]. Returns the lists.
pub(super) fn take(
    app: &App,
    results: impl IntoIterator<Item = Vec<Row>>,
) -> Result<Lists, DbError> {
    let mut results = results.into_iter();
    let mut next = || results.next().unwrap_or_default();
    take_moved(app, next())?;
    let mut lists = Lists {
        listed: list(next(), "listed")?,
        registered: list(next(), "registered")?,
        refreshed_at: None,
    };
    let watched = watched(app.now_ms(), next())?;
    let mut age = first_row(Some(next())).ok_or(DbError::Shape)?;
    lists.refreshed_at = Some(age.text("refreshed_at")?).filter(|at| !at.is_empty());
    let origin_of_it = Origin::Database(age.integer("catalog_version")?);
    let snapshot = Snapshot::new(app, &lists, &watched, origin_of_it);
    Memory::of(app).put(Rc::new(snapshot), app.now_ms() + KEEP_MS);
    Ok(lists)
}

/// Reads the JSON text in the column of the first row.
fn list<T: DeserializeOwned>(rows: Vec<Row>, column: &str) -> Result<T, DbError> {
    let text = first_row(Some(rows)).ok_or(DbError::Shape)?.text(column)?;
    serde_json::from_str(&text).map_err(|_| DbError::Shape)
}

/// What the watch says of the services that it watches, by name, as far as that is recent.
fn watched(now_ms: u64, rows: Vec<Row>) -> Result<BTreeMap<String, Status>, DbError> {
    let mut watched = BTreeMap::new();
    for row in rows {
        let published = ServiceStatus::read(row)?;
        if published.is_recent(now_ms, PUBLISHED_MS) {
            watched.insert(published.service.clone(), Status::of_word(published.word()));
        }
    }
    Ok(watched)
}
