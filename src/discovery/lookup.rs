//! One service of the catalog by its name.

use http_kit::problem::{Code, Problem};

use crate::app::{App, Slot};
use crate::discovery::catalog::Entry;
use crate::discovery::memory::{Memory, current};
use crate::discovery::names::{is_catalog_name, key_of};
use crate::discovery::refresh;
use crate::store::Ready;

/// Returns the entry of a name or of a ChittyID. A name that is not in the isolate's copy is looked for in the
/// database, and ChittyRegistry is asked if nobody has just asked it.
///
/// # Errors
/// 404 if there is no such service. 503 if the catalog could not be read, so that nobody mistakes an outage
/// for that.
pub(super) async fn find(app: &App, text: &str) -> Result<Entry, Problem> {
    // 1. Look into the isolate's copy.
    let mut snapshot = current(app).await;
    if let Some(entry) = snapshot.find(text) {
        return Ok(entry.clone());
    }
    // 2. Another isolate, or the registry, may know a new service.
    if is_catalog_name(&key_of(text)) && Memory::of(app).take_miss(app.now_ms()) {
        let is_new = match Ready::ensure(app).await {
            Ok(ready) => refresh::for_unknown_name(app, ready).await,
            Err(_) => false,
        };
        if !is_new {
            Memory::of(app).expire();
        }
        snapshot = current(app).await;
    }
    match snapshot.find(text) {
        Some(entry) => Ok(entry.clone()),
        None if snapshot.is_built_in() => Err(Problem::new(
            Code::StorageUnavailable,
            "The catalog could not be read, so only built-in services are known. Repeat the request.",
        )),
        None => Err(Problem::new(
            Code::NotFound,
            "There is no such service. GET /api/services lists them.",
        )),
    }
}
