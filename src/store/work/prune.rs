//! Deleting rows that nobody needs any more.

use seams::db::Statement;
use seams::log;

use crate::app::App;
use crate::store::Ready;

/// Rows of one kind that are to be deleted.
#[derive(Debug)]
pub struct Prune {
    /// What they are, for the log.
    pub what: &'static str,
    /// A `DELETE` of a bounded number of them.
    pub statement: Statement,
}

/// How many statements one run of [`prune`] makes at most.
const MAX_PRUNES: usize = 400;

/// Deletes the rows of each kind in turn, until nothing of any kind is left or the time is up. A kind
/// that fails is left for the next run and does not keep the others from their turn.
pub async fn prune(app: &App, ready: Ready<'_>, kinds: Vec<Prune>, until_ms: u64) {
    let mut open = kinds;
    let mut made = 0;
    while !open.is_empty() {
        let mut more = Vec::new();
        for kind in open {
            if made == MAX_PRUNES || app.now_ms() >= until_ms {
                return;
            }
            made += 1;
            let statement = kind.statement.clone().returning("1 AS gone");
            match ready.db().batch(vec![statement]).await {
                Ok(results) if results.iter().any(|rows| !rows.is_empty()) => more.push(kind),
                Ok(_) => {}
                Err(error) => {
                    let fields = [("what", kind.what), ("error", &error.to_string())];
                    log::warn("prune_failed", &fields);
                }
            }
        }
        open = more;
    }
}
