//! D1 behind the [`Db`] seam.
//!
//! The calls go to the binding directly instead of through the `worker` crate's wrappers, which would
//! deserialize each row through serde: rows here are arrays of plain values. Long texts stay JavaScript
//! strings until something reads them.

use std::any::Any;
use std::rc::Rc;

use async_trait::async_trait;
use js_sys::{Array, JsString, Object};
use seams::db::{Db, DbError, ForeignText, Row, RuntimeText, Statement, Value};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::worker_sys::{D1Database, D1PreparedStatement, D1Result};

use super::thrown;

/// The database bound as `DB`.
pub(crate) struct D1 {
    binding: D1Database,
}

impl D1 {
    pub(crate) fn new(binding: D1Database) -> Self {
        D1 { binding }
    }

    fn prepare(&self, statement: &Statement) -> Result<D1PreparedStatement, JsValue> {
        let prepared = self.binding.prepare(&statement.sql)?;
        if statement.params.is_empty() {
            return Ok(prepared);
        }
        prepared.bind(statement.params.iter().map(bound).collect::<Array>())
    }
}

#[async_trait(?Send)]
impl Db for D1 {
    async fn rows(&self, statement: Statement) -> Result<Vec<Row>, DbError> {
        let promise =
            self.prepare(&statement).and_then(|prepared| prepared.raw()).map_err(failed)?;
        let rows = JsFuture::from(promise).await.map_err(failed)?;
        rows.unchecked_into::<Array>().iter().map(|cells| row(&cells.unchecked_into())).collect()
    }

    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, DbError> {
        let prepared: Result<Vec<_>, JsValue> =
            statements.iter().map(|statement| self.prepare(statement)).collect();
        let prepared = prepared.map_err(failed)?.into_iter().collect::<Array>();
        let promise = self.binding.batch(prepared).map_err(failed)?;
        let results = JsFuture::from(promise).await.map_err(failed)?;
        results.unchecked_into::<Array>().iter().map(|result| rows(&result)).collect()
    }
}

/// The rows of one statement of a batch: objects, whose members are in the order of the columns, as
/// long as these have distinct names that are not numbers (the native tests see to that).
fn rows(result: &JsValue) -> Result<Vec<Row>, DbError> {
    let result: &D1Result = result.unchecked_ref();
    let Some(rows) = result.results().map_err(failed)? else { return Ok(Vec::new()) };
    rows.iter().map(|cells| row(&Object::values(cells.unchecked_ref()))).collect()
}

fn row(cells: &Array) -> Result<Row, DbError> {
    cells.iter().map(cell).collect::<Result<_, _>>().map(Row)
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
