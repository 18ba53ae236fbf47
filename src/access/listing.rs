//! Lists that the database puts together: one row holds a page as JSON text, which is handed on as it
//! is.

use http_kit::paging::{self, Cursor};
use http_kit::problem::{FieldError, Problem};
use http_kit::request::Request;
use seams::db::{DbError, Params, Row, Statement, Text};
use serde_json::json;

use crate::access::caller::Scope;
use crate::access::reply::Reply;
use crate::store::Ready;

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// The items, separated by [`SEPARATOR`].
    pub items: Text,
    /// How many.
    pub count: i64,
    /// Where the next page starts, if there is one.
    pub next: Option<Cursor<2>>,
}

/// Stands between the items: JSON that is made by the database holds no line feed, so this finds
/// where the last item starts.
pub const SEPARATOR: &str = ",\n";

impl Page {
    /// Reads the row of a page, from the cell `at` on: how many items there are, the items, and the
    /// keys of the last of them. There is one item more than the limit where another page follows;
    /// that one is left out, and its keys are where the next page starts.
    ///
    /// # Errors
    /// [`DbError::Shape`].
    pub fn read(row: &mut Row, at: usize, limit: i64) -> Result<Self, DbError> {
        let count = row.integer(at)?;
        let items = row.long_text(at + 1)?.unwrap_or_default();
        if count <= limit {
            return Ok(Page { items, count, next: None });
        }
        let items = items.before_last(SEPARATOR).unwrap_or_default();
        let keys = row.text(at + 2)?;
        let (one, other) = keys.split_once('|').ok_or(DbError::Shape)?;
        let next = Cursor([one.to_owned(), other.to_owned()]);
        Ok(Page { items, count: limit, next: Some(next) })
    }

    /// The page that the statement of [`Newest`] has read.
    ///
    /// # Errors
    /// [`DbError::Shape`].
    pub fn of(rows: Vec<Row>, limit: i64) -> Result<Self, DbError> {
        Page::read(&mut rows.into_iter().next().ok_or(DbError::Shape)?, 0, limit)
    }

    /// The envelope of the list: its items under the plural of what they are, beside `count`.
    pub fn reply(&self, request: &Request<'_>, plural: &str, more: &[(&str, &str)]) -> Reply {
        let next = self.next.as_ref().map(|cursor| cursor.encode(request));
        let mut after = format!("],\"count\":{}", self.count);
        for (name, value) in more {
            after += &format!(",\"{name}\":{}", json!(value));
        }
        after += &format!(",\"next_cursor\":{}}}", json!(next));
        let text = self.items.clone().between(&format!("{{\"{plural}\":["), &after);
        let reply = Reply::json(text);
        match next {
            Some(cursor) => reply.header("link", paging::next_link(request, &cursor)),
            None => reply,
        }
    }
}

/// The keys of an item as a text that sorts as they do: numbers with zeros before them.
const LAST: &str = "iif(typeof(one) = 'integer', printf('%020d', one), one) || '|' || other";

/// A list that is walked from the newest on, along an index over two columns.
pub struct Newest<'a> {
    /// What is listed: `FROM …` with its alias.
    pub from: &'a str,
    /// The two columns by which it is ordered, and by which a page starts.
    pub keys: [&'a str; 2],
    /// SQL for an item as JSON.
    pub item: &'a str,
    /// What it is narrowed to, after `WHERE`.
    pub condition: String,
}

impl Newest<'_> {
    /// The statement of one page: a row for [`Page::read`].
    pub fn statement(self, mut params: Params, limit: i64, from: Option<Cursor<2>>) -> Statement {
        let Newest { from: table, keys: [one, other], item, mut condition } = self;
        if let Some(Cursor([first, second])) = from {
            let (first, second) = (params.add(first), params.add(second));
            condition += &format!(" AND ({one}, {other}) <= ({first}, {second})");
        }
        let limit = params.add(limit + 1);
        params.statement(format!(
            "SELECT count(*), group_concat(item, '{SEPARATOR}'), min({LAST}) \
             FROM (SELECT {one} AS one, {other} AS other, {item} AS item FROM {table} \
             WHERE {condition} ORDER BY {one} DESC, {other} DESC LIMIT {limit})"
        ))
    }
}

impl Newest<'_> {
    /// Reads one page.
    ///
    /// # Errors
    /// When the caller may not; storage failures.
    pub async fn read(
        self,
        ready: Ready<'_>,
        scope: &Scope,
        params: Params,
        asked: PageRequest,
    ) -> Result<Page, Problem> {
        let PageRequest { limit, cursor } = asked;
        let rows = scope.rows(ready, self.statement(params, limit, cursor)).await?;
        Ok(Page::of(rows, limit)?)
    }
}

/// What a list asks of the caller beside its filters: how many, from where on.
pub struct PageRequest {
    /// The page size.
    pub limit: i64,
    /// Where it starts.
    pub cursor: Option<Cursor<2>>,
}

impl PageRequest {
    /// Reads `limit` (100 by default) and `cursor`.
    ///
    /// # Errors
    /// 422.
    pub fn of(request: &Request<'_>) -> Result<Self, Problem> {
        let limit = paging::limit(request, paging::MAX_LIMIT)?;
        Ok(PageRequest { limit, cursor: Cursor::of(request)? })
    }
}

/// A filter that is one of some words.
pub fn word(
    request: &Request<'_>,
    name: &str,
    words: &[&'static str],
    errors: &mut Vec<FieldError>,
) -> Option<&'static str> {
    let text = request.query(name)?;
    let found = words.iter().copied().find(|word| *word == text);
    if found.is_none() {
        let detail = format!("must be one of {}", words.join(", "));
        errors.push(FieldError::new(format!("?{name}"), detail));
    }
    found
}
