//! Pages of contexts: the list and the search. Both are one statement that walks one index and
//! stops after a page, whatever there is beyond it.

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

/// SQL for a context on a page: what is stored of it as it is, unless it has a type or customizations; then
/// all of it, with a blank at its end. [`complete`] adds what the others lack. To put `shown` together of
/// each costs more than to find and read the rows.
const ITEM: &str = "iif(type IS NULL AND customizations IS NULL, document, shown || ' ') AS item";

/// Gives the items of a page that lack them the members that `shown` adds to `document`: those that end
/// without a blank. No item holds a line feed, so the ends are where one stands.
fn complete(items: Text) -> Text {
    items
        .between("", SEPARATOR)
        .replaced("},\n", ",\"type\":null,\"customizations\":null},\n")
        .before_last(SEPARATOR)
        .unwrap_or_default()
}

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only this status.
    pub status: Option<Status>,
    /// Only this type.
    pub kind: Option<String>,
    /// Only what was made at this instant (ISO-8601 UTC) or later.
    pub since: Option<String>,
}

/// The caller's contexts, newest first.
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
        "SELECT {}, count(*), group_concat(item, '{SEPARATOR}'), \
         min(created_at || '|' || chitty_id) \
         FROM (SELECT created_at, chitty_id, {ITEM} FROM contexts \
         WHERE owner_chitty_id = ?1 AND deleted_at IS NULL{narrowed} \
         ORDER BY created_at DESC, chitty_id DESC LIMIT {limit_at} + 1)",
        Scope::STATE_SQL
    ));
    page(ready, scope, query, limit).await
}

/// The caller's contexts that match, best first; see [`crate::contexts::search`] for what that is.
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
    // The last row is the one of the lowest tier and number; SQLite takes the other columns beside
    // a lone min() from the row that has it.
    let query = params.statement(format!(
        "SELECT {}, count(*), group_concat(item, '{SEPARATOR}'), tier || '|' || chitty_id, \
         min(tier * 1000000000000 + row_id) \
         FROM (SELECT tier, row_id, chitty_id, {ITEM} \
         FROM (SELECT tier, row_id FROM ({hits} LIMIT {limit_at} + 1)) \
         CROSS JOIN contexts USING (row_id) \
         WHERE owner_chitty_id = ?1 AND deleted_at IS NULL)",
        Scope::STATE_SQL
    ));
    page(ready, scope, query, limit).await
}

/// The tiers of the ranking, best last.
const ELSEWHERE: u8 = 1;
const IN_NAME: u8 = 2;
const EXACT: u8 = 3;

/// Where a search goes on: in which tier, from which context on.
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
        // Whatever has become of that context: its place in the order stays.
        let from = format!(
            " AND rowid <= (SELECT row_id FROM contexts \
             WHERE chitty_id = {id} AND owner_chitty_id = ?1)"
        );
        Ok(Start { tier, from })
    }

    /// The condition that leaves out what earlier pages had of a tier.
    fn bound_in(&self, tier: u8) -> String {
        if tier == self.tier { self.from.clone() } else { String::new() }
    }
}

/// The tiers from where the search starts, each lazily read: a page that the first one fills never
/// touches the next.
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
    // An exact match is one row at most, and the first of the first page.
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

/// What is matched: also as contexts of before have it, while there are any and where it differs.
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

/// The newest matches of one FTS5 expression. FTS5 walks them in the order of rowid by itself, so
/// the limit ends the walk.
fn tier(level: u8, expression: &str, condition: &str, limit_at: &str) -> String {
    format!(
        "SELECT * FROM (SELECT {level} AS tier, rowid AS row_id FROM contexts_fts \
         WHERE contexts_fts MATCH {expression}{condition} \
         ORDER BY rowid DESC LIMIT {limit_at} + 1)"
    )
}

/// Reads the one row of a page: the caller's state, then the page.
async fn page(
    ready: Ready<'_>,
    scope: &Scope,
    query: Statement,
    limit: i64,
) -> Result<Page, Problem> {
    let mut row = first(scope.rows_with_state(ready, query).await?)?;
    Scope::admit(row.optional_text(0)?.as_deref())?;
    let page = Page::read(&mut row, 1, limit)?;
    Ok(Page { items: complete(page.items), ..page })
}
