//! D1 behind the [`Db`] seam.
//!
//! The calls go to the binding directly instead of through the `worker` crate's wrappers, which would
//! deserialize each row through serde: rows here are arrays of plain values. Long texts stay JavaScript
//! strings until something reads them.

use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use async_trait::async_trait;
use js_sys::{Array, JsString, Object, Promise};
use seams::db::{Columns, Db, DbError, ForeignText, Row, RuntimeText, Statement, Value};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::worker_sys::{D1Database, D1PreparedStatement, D1Result};

use super::thrown;

#[wasm_bindgen]
extern "C" {
    /// A prepared statement, with the form of `raw` that `worker_sys` does not have.
    type Prepared;

    #[wasm_bindgen(method, catch, js_name = raw)]
    fn raw_with(this: &Prepared, options: &JsValue) -> Result<Promise, JsValue>;
}

/// The most statements whose columns an isolate remembers. The texts of statements are fixed, or put together
/// from a few fixed parts.
const MAX_STATEMENTS: usize = 500;

/// The database bound as `DB`.
pub(crate) struct D1 {
    binding: D1Database,
    /// The columns of the results of statements, by their text, so that each name is read once.
    columns: RefCell<HashMap<Cow<'static, str>, Columns>>,
}

impl D1 {
    pub(crate) fn new(binding: D1Database) -> Self {
        D1 { binding, columns: RefCell::default() }
    }

    fn prepare(&self, statement: &Statement) -> Result<D1PreparedStatement, JsValue> {
        let prepared = self.binding.prepare(&statement.sql)?;
        if statement.params.is_empty() {
            return Ok(prepared);
        }
        prepared.bind(statement.params.iter().map(bound).collect::<Array>())
    }

    fn known_columns(&self, sql: &str) -> Option<Columns> {
        self.columns.borrow().get(sql).cloned()
    }

    fn remember(&self, sql: Cow<'static, str>, names: &Array) -> Columns {
        let names: Columns =
            names.iter().map(|name| name.as_string().unwrap_or_default()).collect();
        let mut columns = self.columns.borrow_mut();
        if columns.len() >= MAX_STATEMENTS {
            columns.clear();
        }
        columns.insert(sql, Rc::clone(&names));
        names
    }

    /// The rows of one statement of a batch: objects, whose members are in the order of the columns, as long
    /// as the columns have distinct names that are not numbers. The native tests check that they do.
    fn batch_rows(&self, sql: Cow<'static, str>, result: &JsValue) -> Result<Vec<Row>, DbError> {
        let result: &D1Result = result.unchecked_ref();
        let rows = result.results().map_err(failed)?.unwrap_or_default();
        if rows.length() == 0 {
            return Ok(Vec::new());
        }
        let names = || Object::keys(rows.get(0).unchecked_ref::<Object>());
        let columns = self.known_columns(&sql).unwrap_or_else(|| self.remember(sql, &names()));
        rows.iter().map(|cells| row(&columns, &Object::values(cells.unchecked_ref()))).collect()
    }
}

#[async_trait(?Send)]
impl Db for D1 {
    async fn rows(&self, statement: Statement) -> Result<Vec<Row>, DbError> {
        let known = self.known_columns(&statement.sql);
        let prepared = self.prepare(&statement).map_err(failed)?;
        let promise = match known {
            Some(_) => prepared.raw(),
            None => {
                let options = Object::new();
                let wanted = JsValue::from_str("columnNames");
                js_sys::Reflect::set(&options, &wanted, &JsValue::TRUE).map_err(failed)?;
                prepared.unchecked_ref::<Prepared>().raw_with(&options)
            }
        };
        let rows: Array =
            JsFuture::from(promise.map_err(failed)?).await.map_err(failed)?.unchecked_into();
        let columns = match known {
            Some(columns) => columns,
            // Then the names are the first row.
            None => self.remember(statement.sql, &rows.shift().unchecked_into()),
        };
        rows.iter().map(|cells| row(&columns, &cells.unchecked_into())).collect()
    }

    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, DbError> {
        let prepared: Result<Vec<_>, JsValue> =
            statements.iter().map(|statement| self.prepare(statement)).collect();
        let prepared = prepared.map_err(failed)?.into_iter().collect::<Array>();
        let promise = self.binding.batch(prepared).map_err(failed)?;
        let results: Array = JsFuture::from(promise).await.map_err(failed)?.unchecked_into();
        let texts = statements.into_iter().map(|statement| statement.sql);
        texts.zip(results.iter()).map(|(sql, result)| self.batch_rows(sql, &result)).collect()
    }
}

fn row(columns: &Columns, cells: &Array) -> Result<Row, DbError> {
    let cells: Result<Vec<Value>, DbError> = cells.iter().map(cell).collect();
    Ok(Row::new(Rc::clone(columns), cells?))
}

/// The length in UTF-16 units from which a text stays with the runtime: to copy a shorter one costs less.
const LONG_UNITS: u32 = 512;

/// A text that stays a JavaScript string.
pub(super) struct LongText(pub(super) JsString);

impl ForeignText for LongText {
    fn copy(&self) -> String {
        String::from(&self.0)
    }

    fn between(&self, before: &str, after: &str) -> Rc<dyn ForeignText> {
        let text = JsString::from(before).concat(&self.0).concat(&JsValue::from_str(after));
        Rc::new(LongText(text))
    }

    fn before_last(&self, separator: &str) -> Option<Rc<dyn ForeignText>> {
        let at = u32::try_from(self.0.last_index_of(separator, i32::MAX)).ok()?;
        Some(Rc::new(LongText(self.0.substring(0, at))))
    }

    fn replaced(&self, what: &str, by: &str) -> Rc<dyn ForeignText> {
        Rc::new(LongText(self.0.replace_all(what, by)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[allow(clippy::cast_possible_truncation, reason = "integers are within 2^53")]
fn cell(value: JsValue) -> Result<Value, DbError> {
    if let Some(text) = value.dyn_ref::<JsString>() {
        Ok(match text.length() < LONG_UNITS {
            true => Value::Text(text.into()),
            false => Value::Runtime(RuntimeText(Rc::new(LongText(text.clone())))),
        })
    } else if let Some(number) = value.as_f64() {
        Ok(Value::Integer(number as i64))
    } else if value.is_null() {
        Ok(Value::Null)
    } else {
        Err(DbError::Shape)
    }
}

#[allow(clippy::cast_precision_loss, reason = "integers are within 2^53")]
fn bound(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Text(text) => JsValue::from_str(text),
        Value::Runtime(text) => JsValue::from_str(&text.0.copy()),
        // An i64 would become a BigInt, which D1 refuses.
        Value::Integer(number) => JsValue::from_f64(*number as f64),
    }
}

/// Converts an error of D1. D1 wraps SQLite's message in its own; the cause holds the plainer one.
fn failed(error: JsValue) -> DbError {
    let mut message = thrown(&error);
    if let Some(error) = error.dyn_ref::<js_sys::Error>() {
        let cause = error.cause();
        if cause.is_object() {
            message = thrown(&cause);
        }
    }
    DbError::from_message(&message)
}
