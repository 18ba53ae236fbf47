//! When actors and keys were last seen. The isolate collects this and writes it together in the
//! background, so that a read costs no write.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use chitty_core::CallContext;
use seams::db::{DbError, Statement};
use seams::{log, time};
use serde_json::{Value, json};

use crate::access::caller::{Caller, Credential, is_principal};
use crate::app::{App, Slot};
use crate::store::Ready;

/// How long after a note the same actor or key is not noted again, in ms: the precision of `last_seen_at`.
const PAUSE_MS: u64 = 60_000;

/// How long an actor must be silent for its next request to begin another session, in ms.
const SESSION_MS: u64 = 30 * 60_000;

/// After how long a write of notes that has not ended counts as lost, in ms: longer than the
/// runtime lets work go on after a reply (30 s).
const LOST_MS: u64 = 40_000;

/// The most actors and keys that an isolate remembers.
const MAX_REMEMBERED: usize = 4096;

/// The actors and keys that this isolate has seen lately.
#[derive(Default)]
pub struct RecentActors {
    /// When each was noted last (ms), by its id.
    noted: RefCell<BTreeMap<String, u64>>,
    /// The notes to write, by id. The note of an actor holds the scopes that its ChittyAuth token
    /// carries, if it used one.
    waiting: RefCell<BTreeMap<String, Note>>,
    writing_since_ms: Cell<Option<u64>>,
}

impl Slot for RecentActors {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

struct Note {
    at_ms: u64,
    scopes: Option<Value>,
    principal_id: Option<String>,
}

impl RecentActors {
    /// Notes that a caller was seen, unless this was noted less than a minute ago.
    pub fn note(&self, caller: &Caller, now_ms: u64) {
        let scopes = match caller.credential() {
            Credential::Token { .. } => Some(caller.carried_scopes()),
            Credential::Key { id, .. } => {
                self.note_one(id.as_str(), None, None, now_ms);
                None
            }
            Credential::Delegation { .. } => None,
        };
        self.note_one(caller.actor(), scopes, caller.principal_id(), now_ms);
    }

    fn note_one(
        &self,
        id: &str,
        scopes: Option<&[String]>,
        principal_id: Option<&str>,
        now_ms: u64,
    ) {
        let mut noted = self.noted.borrow_mut();
        if noted.get(id).is_some_and(|at_ms| now_ms.abs_diff(*at_ms) < PAUSE_MS) {
            return;
        }
        if noted.len() >= MAX_REMEMBERED {
            noted.retain(|_, at_ms| now_ms.abs_diff(*at_ms) < PAUSE_MS);
        }
        if noted.len() >= MAX_REMEMBERED {
            noted.pop_first();
        }
        noted.insert(id.to_owned(), now_ms);
        let scopes = scopes.map(|scopes| json!(scopes));
        let principal_id = principal_id.map(str::to_owned);
        let note = Note { at_ms: now_ms, scopes, principal_id };
        self.waiting.borrow_mut().insert(id.to_owned(), note);
    }

    /// Whether the current request must write the notes after its reply. If it must, no other
    /// request does until that write has ended or counts as lost.
    pub fn is_due(&self, now_ms: u64) -> bool {
        let lost = |since_ms: u64| now_ms.abs_diff(since_ms) > LOST_MS;
        let due = !self.waiting.borrow().is_empty() && self.writing_since_ms.get().is_none_or(lost);
        if due {
            self.writing_since_ms.set(Some(now_ms));
        }
        due
    }
}

/// Writes the notes. If that fails, the next requests of these actors and keys are noted again.
pub(crate) async fn perform(app: &App) {
    // 1. Write the notes that wait.
    let waiting = RecentActors::of(app).waiting.take();
    let written = match Ready::ensure(app).await {
        Ok(ready) => write(ready, &waiting).await.map_err(|error| error.to_string()),
        Err(problem) => Err(problem.detail.to_string()),
    };
    // 2. Let another request write; if this one failed, let its actors and keys be noted again.
    RecentActors::of(app).writing_since_ms.set(None);
    if let Err(error) = written {
        let mut noted = RecentActors::of(app).noted.borrow_mut();
        noted.retain(|id, _| !waiting.contains_key(id));
        log::warn("seen_not_written", &[("error", &error)]);
    }
}

/// Asks ChittyAuth for the principal of an actor that has just registered, and stores it. Best
/// effort: if that fails, the principal is learned from the next credential that names it.
pub(crate) async fn learn_principal(app: &App, actor: &str, token: &str) {
    // 1. Ask ChittyAuth for the principal.
    let session = app.core.session(CallContext::default());
    let principal = match session.auth().principal(token, actor).await {
        Ok(principal) => principal.filter(|id| is_principal(id)),
        Err(error) => {
            log::warn("principal_not_learned", &[("error", &error.to_string())]);
            return;
        }
    };
    // 2. Store it, unless it is stored already.
    let (Some(principal), Ok(ready)) = (principal, Ready::ensure(app).await) else { return };
    let keep = Statement::new(
        "UPDATE actors SET chitty_auth_principal_id = ?2 \
         WHERE chitty_id = ?1 AND chitty_auth_principal_id IS NOT ?2",
    );
    let keep = keep.bind(actor).bind(principal);
    if let Err(error) = ready.db().batch(vec![keep]).await {
        log::warn("principal_not_learned", &[("error", &error.to_string())]);
    }
}

async fn write(ready: Ready<'_>, notes: &BTreeMap<String, Note>) -> Result<(), DbError> {
    let list: Vec<Value> = notes
        .iter()
        .map(|(id, note)| {
            let session_since = time::iso8601(note.at_ms.saturating_sub(SESSION_MS));
            json!([id, time::iso8601(note.at_ms), session_since, note.scopes, note.principal_id])
        })
        .collect();
    let list = Value::Array(list).to_string();
    // Another isolate may have seen the actor later, or begun the session to which this request belongs.
    let actors = Statement::new(
        "UPDATE actors SET \
         session_count = session_count + iif(ifnull(last_seen_at, '') < n.session_since, 1, 0), \
         last_seen_at = max(ifnull(last_seen_at, ''), n.at), \
         vouched = coalesce(n.scopes, vouched), \
         chitty_auth_principal_id = coalesce(n.principal, chitty_auth_principal_id) \
         FROM (SELECT value ->> '$[0]' AS id, value ->> '$[1]' AS at, \
         value ->> '$[2]' AS session_since, value ->> '$[3]' AS scopes, \
         value ->> '$[4]' AS principal \
         FROM json_each(?1)) AS n WHERE actors.chitty_id = n.id",
    )
    .bind(list.as_str());
    let keys = Statement::new(
        "UPDATE keys SET last_used_at = max(ifnull(last_used_at, ''), n.at) \
         FROM (SELECT value ->> '$[0]' AS id, value ->> '$[1]' AS at FROM json_each(?1)) AS n \
         WHERE keys.key_id = n.id",
    )
    .bind(list);
    ready.db().batch(vec![actors, keys]).await.map(|_| ())
}
