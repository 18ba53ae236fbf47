//! Pages of contexts: the list and the search. Each is one statement that walks one index and stops after a
//! page, however many contexts follow.

use http_kit::names;
use http_kit::paging::{Cursor, invalid_cursor};
use http_kit::problem::Problem;
use seams::db::{Params, Statement, Text};

use super::{first, former_words};
use crate::access::caller::Scope;
use crate::access::listing::{Page, SEPARATOR};
use crate::contexts::Status;
use crate::contexts::search::{Matches, Query};
use crate::store::Ready;

/// SQL for a context on a page: the stored column `document`, or, if the context has a type or
/// customizations, the computed column `shown` with a blank at its end. [`complete`] adds to the former the
/// members that it lacks. Computing `shown` for every row would cost more than finding and reading the rows.
const ITEM: &str = "iif(type IS NULL AND customizations IS NULL, document, shown || ' ') AS item";

/// Adds the members that `shown` has and `document` lacks to each item of a page that ends without a blank.
/// No item contains a line feed, so each line feed marks the end of an item.
fn complete(items: Text) -> Text {
    items
        .between("", SEPARATOR)
        .replaced("},\n", ",\"type\":null,\"customizations\":null},\n")
        .before_last(SEPARATOR)
        .unwrap_or_default()
}

/// The filters of a list.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only contexts of this status.
    pub status: Option<Status>,
    /// Only contexts of this type.
    pub kind: Option<String>,
    /// Only contexts created at this instant (ISO-8601 UTC) or later.
    pub since: Option<String>,
}

/// Returns a page of the caller's contexts, newest first.
///
/// # Errors
/// 403 when the caller may do nothing; storage failures.
pub async fn list(
    ready: Ready<'_>,
    scope: &Scope,
    filter: &Filter,
    limit: i64,
    from: Option<Cursor<2>>,
) -> Result<Page, Problem> {
    let mut params = Params::default();
    params.add(scope.actor());
    let limit_at = params.add(limit);
    let mut narrowed = String::new();
    if let Some(status) = filter.status {
        narrowed += &format!(" AND status = {}", params.add(status.as_str()));
    }
    if let Some(kind) = &filter.kind {
        narrowed += &format!(" AND type = {}", params.add(kind.as_str()));
    }
    if let Some(since) = &filter.since {
        narrowed += &format!(" AND created_at >= {}", params.add(since.as_str()));
    }
    if let Some(Cursor([created_at, chitty_id])) = from {
        let (at, id) = (params.add(created_at), params.add(chitty_id));
        narrowed += &format!(" AND (created_at, chitty_id) <= ({at}, {id})");
    }
    let query = params.statement(format!(
        "SELECT {}, count(*) AS item_count, group_concat(item, '{SEPARATOR}') AS items, \
         min(created_at || '|' || chitty_id) AS last_keys \
         FROM (SELECT created_at, chitty_id, {ITEM} FROM contexts \
         WHERE owner_chitty_id = ?1 AND deleted_at IS NULL{narrowed} \
         ORDER BY created_at DESC, chitty_id DESC LIMIT {limit_at} + 1)",
        Scope::STATE_SQL
    ));
    page(ready, scope, query, limit).await
}

/// Returns a page of the caller's contexts that match a text, best first; [`crate::contexts::search`]
/// explains matching and order.
///
/// # Errors
/// 422 for a cursor of another list; 403 when the caller may do nothing; storage failures.
pub async fn find(
    ready: Ready<'_>,
    scope: &Scope,
    text: &str,
    status: Option<Status>,
    limit: i64,
    from: Option<Cursor<2>>,
) -> Result<Page, Problem> {
    let mut params = Params::default();
    params.add(scope.actor());
    let limit_at = params.add(limit);
    let start = Start::of(from, &mut params)?;
    let hits = match Query::of(text, scope.actor(), status) {
        Query::Nothing => "SELECT 0 AS tier, 0 AS row_id WHERE 0".to_owned(),
        Query::All(every) => {
            let every = params.add(every);
            tier(ELSEWHERE, &every, &start.bound_in(ELSEWHERE), &limit_at)
        }
        Query::Words { now, with_former } => {
            tiers(&mut params, &start, text, status, [now, with_former], &limit_at)
        }
    };
    // The last row of the page is the one with the lowest tier and row_id. SQLite takes the bare columns
    // beside a single min() from the row that has the minimum.
    let query = params.statement(format!(
        "SELECT {}, count(*) AS item_count, group_concat(item, '{SEPARATOR}') AS items, \
         tier || '|' || chitty_id AS last_keys, min(tier * 1000000000000 + row_id) \
         FROM (SELECT tier, row_id, chitty_id, {ITEM} \
         FROM (SELECT tier, row_id FROM ({hits} LIMIT {limit_at} + 1)) \
         CROSS JOIN contexts USING (row_id) \
         WHERE owner_chitty_id = ?1 AND deleted_at IS NULL)",
        Scope::STATE_SQL
    ));
    page(ready, scope, query, limit).await
}

/// The tiers of the ranking; a higher number is better.
const ELSEWHERE: u8 = 1;
const IN_NAME: u8 = 2;
const EXACT: u8 = 3;

/// The position where a search starts or continues: the tier, and an SQL condition for the first row in it.
struct Start {
    tier: u8,
    from: String,
}

impl Start {
    fn of(cursor: Option<Cursor<2>>, params: &mut Params) -> Result<Self, Problem> {
        let Some(Cursor([tier, chitty_id])) = cursor else {
            return Ok(Start { tier: EXACT, from: String::new() });
        };
        let tier = match tier.as_str() {
            "2" => IN_NAME,
            "1" => ELSEWHERE,
            _ => return Err(invalid_cursor()),
        };
        let id = params.add(chitty_id);
        // This holds even if that context was deleted meanwhile: its row, and so its position, stays.
        let from = format!(
            " AND rowid <= (SELECT row_id FROM contexts \
             WHERE chitty_id = {id} AND owner_chitty_id = ?1)"
        );
        Ok(Start { tier, from })
    }

    /// Returns the condition that excludes the rows of a tier that earlier pages had.
    fn bound_in(&self, tier: u8) -> String {
        if tier == self.tier { self.from.clone() } else { String::new() }
    }
}

/// Returns SQL for the tiers from the start of the search on. SQLite reads them lazily: if the first tier
/// fills the page, the next is never touched.
fn tiers(
    params: &mut Params,
    start: &Start,
    text: &str,
    status: Option<Status>,
    [now, with_former]: [Matches; 2],
    limit_at: &str,
) -> String {
    let name = params.add(names::key(text));
    let same_name =
        format!("owner_chitty_id = ?1 AND ifnull(name_key, name) = {name} AND deleted_at IS NULL");
    let mut parts = Vec::new();
    // There is at most one exact match, and it is the first row of the first page.
    if start.tier == EXACT {
        let status = status.map(|status| format!(" AND status = '{}'", status.as_str()));
        let status = status.unwrap_or_default();
        parts.push(format!(
            "SELECT {EXACT} AS tier, row_id FROM contexts WHERE {same_name}{status}"
        ));
    }
    let not_exact = format!(" AND rowid IS NOT (SELECT row_id FROM contexts WHERE {same_name})");
    let in_name = (IN_NAME, now.in_name, with_former.in_name);
    for (level, now, with_former) in [in_name, (ELSEWHERE, now.elsewhere, with_former.elsewhere)] {
        if start.tier >= level {
            let expression = expression(params, now, with_former);
            let condition = format!("{}{not_exact}", start.bound_in(level));
            parts.push(tier(level, &expression, &condition, limit_at));
        }
    }
    parts.join(" UNION ALL ")
}

/// Returns SQL for the FTS5 expression to match. It includes the former words if they differ and there are
/// contexts that still have former words.
fn expression(params: &mut Params, now: String, with_former: String) -> String {
    if now == with_former {
        return params.add(now);
    }
    let (now, with_former) = (params.add(now), params.add(with_former));
    format!(
        "iif(EXISTS (SELECT 1 FROM contexts WHERE {}), {with_former}, {now})",
        former_words::CONDITION
    )
}

/// Returns SQL for the newest matches of one FTS5 expression. FTS5 walks them in the order of rowid by
/// itself, so the limit ends the walk.
fn tier(level: u8, expression: &str, condition: &str, limit_at: &str) -> String {
    format!(
        "SELECT * FROM (SELECT {level} AS tier, rowid AS row_id FROM contexts_fts \
         WHERE contexts_fts MATCH {expression}{condition} \
         ORDER BY rowid DESC LIMIT {limit_at} + 1)"
    )
}

/// Runs the query of a page, whose one row has the caller's state and the page.
async fn page(
    ready: Ready<'_>,
    scope: &Scope,
    query: Statement,
    limit: i64,
) -> Result<Page, Problem> {
    let mut row = first(scope.rows_with_state(ready, query).await?)?;
    Scope::admit(row.optional_text("caller_status")?.as_deref())?;
    let page = Page::read(&mut row, limit)?;
    Ok(Page { items: complete(page.items), ..page })
}
