//! Lists that the database assembles: one row holds a page as JSON text, which the reply contains unchanged.

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
    /// The number of items.
    pub count: i64,
    /// Where the next page starts, if there is one.
    pub next: Option<Cursor<2>>,
}

/// The separator between items. JSON that the database makes contains no line feed, so the last
/// separator marks where the last item starts.
pub const SEPARATOR: &str = ",\n";

impl Page {
    /// Reads a page from three columns of a row: `item_count`, `items`, and the keys of the last item as
    /// `last_keys`. If another page follows, the row holds one item more than `limit`. That item is left
    /// out, and its keys become the cursor of the next page.
    ///
    /// # Errors
    /// [`DbError::Shape`].
    pub fn read(row: &mut Row, limit: i64) -> Result<Self, DbError> {
        let count = row.integer("item_count")?;
        let items = row.long_text("items")?.unwrap_or_default();
        if count <= limit {
            return Ok(Page { items, count, next: None });
        }
        let items = items.before_last(SEPARATOR).unwrap_or_default();
        let keys = row.text("last_keys")?;
        let (one, other) = keys.split_once('|').ok_or(DbError::Shape)?;
        let next = Cursor([one.to_owned(), other.to_owned()]);
        Ok(Page { items, count: limit, next: Some(next) })
    }

    /// Reads a page from the rows of [`Newest::statement`].
    ///
    /// # Errors
    /// [`DbError::Shape`].
    pub fn of(rows: Vec<Row>, limit: i64) -> Result<Self, DbError> {
        Page::read(&mut rows.into_iter().next().ok_or(DbError::Shape)?, limit)
    }

    /// Returns the reply with this page: its items under the name `plural`, `count`, the texts in
    /// `more`, and `next_cursor`.
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

/// SQL for the keys of an item as one text that sorts as the keys do: numbers are padded with zeros.
const LAST: &str = "iif(typeof(one) = 'integer', printf('%020d', one), one) || '|' || other";

/// A list that begins with the newest item and follows an index over two columns.
pub struct Newest<'a> {
    /// The table, with its alias if it has one: the text after `FROM`.
    pub from: &'a str,
    /// The two columns that order the list. A cursor holds their values for the first item of a page.
    pub keys: [&'a str; 2],
    /// SQL for an item as JSON.
    pub item: &'a str,
    /// The condition after `WHERE`.
    pub condition: String,
}

impl Newest<'_> {
    /// Returns the statement for one page, which gives a row for [`Page::read`].
    pub fn statement(self, mut params: Params, limit: i64, from: Option<Cursor<2>>) -> Statement {
        let Newest { from: table, keys: [one, other], item, mut condition } = self;
        if let Some(Cursor([first, second])) = from {
            let (first, second) = (params.add(first), params.add(second));
            condition += &format!(" AND ({one}, {other}) <= ({first}, {second})");
        }
        let limit = params.add(limit + 1);
        params.statement(format!(
            "SELECT count(*) AS item_count, group_concat(item, '{SEPARATOR}') AS items, \
             min({LAST}) AS last_keys \
             FROM (SELECT {one} AS one, {other} AS other, {item} AS item FROM {table} \
             WHERE {condition} ORDER BY {one} DESC, {other} DESC LIMIT {limit})"
        ))
    }
}

impl Newest<'_> {
    /// Reads one page.
    ///
    /// # Errors
    /// 401 or 403 if the caller lacks the permission; storage failures.
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

/// The page that a caller asks for: its size, and where it starts.
pub struct PageRequest {
    /// The page size.
    pub limit: i64,
    /// Where it starts; `None` is the beginning of the list.
    pub cursor: Option<Cursor<2>>,
}

impl PageRequest {
    /// Reads `limit` (100 by default) and `cursor`.
    ///
    /// # Errors
    /// 422 if either is not acceptable.
    pub fn of(request: &Request<'_>) -> Result<Self, Problem> {
        let limit = paging::limit(request, paging::MAX_LIMIT)?;
        Ok(PageRequest { limit, cursor: Cursor::of(request)? })
    }
}

/// Reads a filter that must be one of `words`; any other text becomes an error.
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
