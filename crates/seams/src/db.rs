//! The database seam: SQL in, rows out. D1 in a Worker, SQLite natively.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use async_trait::async_trait;

/// One SQL statement with its bound parameters (`?1`, `?2`, …).
#[derive(Debug, Clone)]
pub struct Statement {
    /// The text. Callers' values never become part of it.
    pub sql: Cow<'static, str>,
    /// Parameters in order. D1 allows 100.
    pub params: Vec<Value>,
}

impl Statement {
    /// A statement without parameters yet.
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Statement { sql: sql.into(), params: Vec::new() }
    }

    /// Adds the next parameter.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.params.push(value.into());
        self
    }

    /// The same statement, which also returns columns of the rows that it changed.
    #[must_use]
    pub fn returning(mut self, columns: &str) -> Self {
        self.sql = format!("{} RETURNING {columns}", self.sql).into();
        self
    }
}

/// The parameters of a statement whose text is built from parts.
#[derive(Debug, Default)]
pub struct Params(Vec<Value>);

impl Params {
    /// Adds a value and returns its placeholder.
    pub fn add(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("?{}", self.0.len())
    }

    /// The statement of `sql` with these parameters.
    pub fn statement(self, sql: String) -> Statement {
        Statement { sql: sql.into(), params: self.0 }
    }
}

/// A parameter or a cell. There are no reals: D1 binds every JavaScript number as REAL, and only an INTEGER
/// column converts it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL
    Null,
    /// TEXT
    Text(String),
    /// INTEGER, within ±2^53 (JavaScript does not keep larger ones exactly).
    Integer(i64),
    /// TEXT of a row that is still in the runtime's memory.
    Runtime(RuntimeText),
}

/// A long text that stays in the runtime's memory: a text that is only passed on is not copied into this
/// program and out of it again.
pub trait ForeignText {
    /// Copies the text into this program.
    fn copy(&self) -> String;

    /// The text between two other texts.
    fn between(&self, before: &str, after: &str) -> Rc<dyn ForeignText>;

    /// The part before the last `separator`; `None` where there is none.
    fn before_last(&self, separator: &str) -> Option<Rc<dyn ForeignText>>;

    /// The text with `by` in place of every `what`.
    fn replaced(&self, what: &str, by: &str) -> Rc<dyn ForeignText>;

    /// The text as a value of its concrete type, for the runtime that made it.
    fn as_any(&self) -> &dyn Any;
}

/// A [`ForeignText`] as a value.
#[derive(Clone)]
pub struct RuntimeText(pub Rc<dyn ForeignText>);

impl fmt::Debug for RuntimeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.copy().fmt(f)
    }
}

impl PartialEq for RuntimeText {
    fn eq(&self, other: &Self) -> bool {
        self.0.copy() == other.0.copy()
    }
}

impl Eq for RuntimeText {}

/// A text in this program's memory or in the runtime's.
#[derive(Debug, Clone)]
pub enum Text {
    /// In this program's memory.
    Own(String),
    /// In the runtime's.
    Runtime(RuntimeText),
}

impl Default for Text {
    fn default() -> Self {
        Text::Own(String::new())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        match text {
            Text::Own(text) => text,
            Text::Runtime(text) => text.0.copy(),
        }
    }
}

impl Text {
    /// The text between two other texts.
    #[must_use]
    pub fn between(self, before: &str, after: &str) -> Self {
        match self {
            Text::Own(text) => Text::Own([before, &text, after].concat()),
            Text::Runtime(text) => Text::Runtime(RuntimeText(text.0.between(before, after))),
        }
    }

    /// The part before the last `separator`; `None` where there is none.
    #[must_use]
    pub fn before_last(self, separator: &str) -> Option<Self> {
        match self {
            Text::Own(mut text) => {
                text.truncate(text.rfind(separator)?);
                Some(Text::Own(text))
            }
            Text::Runtime(text) => {
                text.0.before_last(separator).map(|text| Text::Runtime(RuntimeText(text)))
            }
        }
    }

    /// The text with `by` in place of every `what`.
    #[must_use]
    pub fn replaced(self, what: &str, by: &str) -> Self {
        match self {
            Text::Own(text) => Text::Own(text.replace(what, by)),
            Text::Runtime(text) => Text::Runtime(RuntimeText(text.0.replaced(what, by))),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// The names of the columns of a result, in the order of the select list.
pub type Columns = Rc<[String]>;

/// One row. Its cells are read by the names of their columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    columns: Columns,
    cells: Vec<Value>,
}

impl Row {
    /// A row of cells in the order of their columns.
    pub fn new(columns: Columns, cells: Vec<Value>) -> Self {
        Row { columns, cells }
    }

    /// A row of named cells, such as a test makes.
    pub fn of<const N: usize>(cells: [(&str, Value); N]) -> Self {
        let columns = cells.iter().map(|(name, _)| (*name).to_owned()).collect();
        Row { columns, cells: cells.into_iter().map(|(_, value)| value).collect() }
    }

    fn cell(&mut self, column: &str) -> Option<&mut Value> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.cells.get_mut(at)
    }

    /// Takes the value of a column. The row has NULL there afterwards.
    ///
    /// # Errors
    /// [`DbError::Shape`] if there is no such column.
    pub fn value(&mut self, column: &str) -> Result<Value, DbError> {
        let cell = self.cell(column).ok_or(DbError::Shape)?;
        Ok(std::mem::replace(cell, Value::Null))
    }

    /// Takes the text of a column; `None` if it is NULL.
    ///
    /// # Errors
    /// [`DbError::Shape`] if there is no such column or it is not text.
    pub fn optional_text(&mut self, column: &str) -> Result<Option<String>, DbError> {
        Ok(self.long_text(column)?.map(String::from))
    }

    /// Takes the text of a column, as [`Row::optional_text`]. The text may be long and is only handed on: it
    /// stays where it is.
    ///
    /// # Errors
    /// [`DbError::Shape`].
    pub fn long_text(&mut self, column: &str) -> Result<Option<Text>, DbError> {
        match self.value(column)? {
            Value::Text(text) => Ok(Some(Text::Own(text))),
            Value::Runtime(text) => Ok(Some(Text::Runtime(text))),
            Value::Null => Ok(None),
            Value::Integer(_) => Err(DbError::Shape),
        }
    }

    /// Takes the text of a column that must not be NULL.
    ///
    /// # Errors
    /// [`DbError::Shape`].
    pub fn text(&mut self, column: &str) -> Result<String, DbError> {
        self.optional_text(column)?.ok_or(DbError::Shape)
    }

    /// Returns the integer of a column.
    ///
    /// # Errors
    /// [`DbError::Shape`] if there is no such column or it is not an integer.
    pub fn integer(&self, column: &str) -> Result<i64, DbError> {
        let at = self.columns.iter().position(|name| name == column).ok_or(DbError::Shape)?;
        match self.cells.get(at) {
            Some(Value::Integer(number)) => Ok(*number),
            _ => Err(DbError::Shape),
        }
    }

    /// Returns whether the integer of a column is not 0, as SQL writes a truth.
    ///
    /// # Errors
    /// [`DbError::Shape`] if there is no such column or it is not an integer.
    pub fn flag(&self, column: &str) -> Result<bool, DbError> {
        Ok(self.integer(column)? != 0)
    }
}

/// Returns the first row of one of a batch's results; `None` if there is no such result or it has no row.
pub fn first_row(rows: Option<Vec<Row>>) -> Option<Row> {
    rows?.into_iter().next()
}

/// Why a statement failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// A UNIQUE or PRIMARY KEY constraint; holds SQLite's text, which names the columns.
    #[error("unique: {0}")]
    Unique(String),
    /// The transaction's assertion that the caller is authorized failed (see `migrations/0011…`).
    #[error("not authorized")]
    Unauthorized,
    /// The transaction's assertion about a quota failed (see `migrations/0017…`). Holds the name of the
    /// constraint.
    #[error("over quota: {0}")]
    OverQuota(String),
    /// The table does not exist (yet).
    #[error("missing: {0}")]
    NoSuchTable(String),
    /// A row does not have the shape that the code expects: a bug.
    #[error("a row of unexpected shape")]
    Shape,
    /// Any other error: the database did not answer, or refused. A write may or may not have taken place.
    #[error("database: {0}")]
    Failed(String),
}

impl DbError {
    /// Classifies SQLite's error text, which is the same through D1 and natively.
    pub fn from_message(message: &str) -> Self {
        if message.contains("UNIQUE constraint failed") {
            DbError::Unique(message.to_owned())
        } else if message.contains("CHECK constraint failed: authorized") {
            DbError::Unauthorized
        } else if let Some(at) = message.find("CHECK constraint failed: quota_") {
            let text = message.get(at..).unwrap_or_default();
            let name = text.split_whitespace().nth(3).unwrap_or_default();
            DbError::OverQuota(name.trim_end_matches(':').to_owned())
        } else if message.contains("no such table") {
            DbError::NoSuchTable(message.to_owned())
        } else {
            DbError::Failed(message.to_owned())
        }
    }

    /// Whether the constraint that failed is the one over `columns` (as in `table.a, table.b`).
    pub fn is_unique(&self, columns: &str) -> bool {
        matches!(self, DbError::Unique(message) if message.contains(columns))
    }
}

/// Access to the database.
#[async_trait(?Send)]
pub trait Db {
    /// Runs one reading statement, in one round trip.
    async fn rows(&self, statement: Statement) -> Result<Vec<Row>, DbError>;

    /// Runs statements in order, in one transaction and one round trip: all of them or, on the
    /// first error, none. The rows of each are returned in the same order.
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, DbError>;
}
