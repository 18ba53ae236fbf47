//! D1 behind the [`Db`] seam.
//!
//! The calls go to the binding directly instead of through the `worker` crate's wrappers, which
//! would deserialize each row through serde: rows here are arrays of plain values.

use async_trait::async_trait;
use js_sys::{Array, Object};
use seams::db::{Db, DbError, Row, Statement, Value};
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

#[allow(clippy::cast_possible_truncation, reason = "integers are within 2^53")]
fn cell(value: JsValue) -> Result<Value, DbError> {
    if let Some(text) = value.as_string() {
        Ok(Value::Text(text))
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
        // D1 refuses BigInt, which is what an i64 would become.
        Value::Integer(number) => JsValue::from_f64(*number as f64),
    }
}

/// D1 wraps SQLite's text in its own; the innermost cause is the plainest.
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
