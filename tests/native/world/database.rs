//! SQLite in memory behind the gateway's own seam, with faults.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use async_trait::async_trait;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use seams::db::{Columns, Db, DbError, ForeignText, Row, RuntimeText, Statement, Value};

use super::{cpu_ns, yield_now};

/// A text of a row that only the runtime has.
struct LongText(String);

impl ForeignText for LongText {
    fn copy(&self) -> String {
        self.0.clone()
    }

    fn between(&self, before: &str, after: &str) -> Rc<dyn ForeignText> {
        Rc::new(LongText([before, &self.0, after].concat()))
    }

    fn before_last(&self, separator: &str) -> Option<Rc<dyn ForeignText>> {
        let at = self.0.rfind(separator)?;
        Some(Rc::new(LongText(self.0[..at].to_owned())))
    }

    fn replaced(&self, what: &str, by: &str) -> Rc<dyn ForeignText> {
        Rc::new(LongText(self.0.replace(what, by)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What goes wrong at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The call fails and has no effect.
    Before,
    /// The call has its effect and fails all the same: its answer was lost.
    After,
}

/// What one transaction has written.
#[derive(Debug, Default, Clone)]
pub(crate) struct WrittenTables {
    /// The tables that its statements have changed, without what triggers did.
    pub(crate) tables: BTreeSet<String>,
    /// The entries that it has added to the audit, as JSON.
    pub(crate) audit: Vec<serde_json::Value>,
}

pub(crate) struct Database {
    /// What each transaction has written since somebody began to look.
    written: RefCell<Option<Vec<WrittenTables>>>,
    connection: RefCell<Connection>,
    calls: Cell<usize>,
    effort_ns: Cell<u64>,
    log: RefCell<Vec<String>>,
    fault: RefCell<Box<dyn FnMut(usize) -> Fault>>,
    /// What meets the next so many calls with a statement that has this in it.
    fault_at: RefCell<Option<(&'static str, Fault, usize)>>,
}

impl Database {
    pub(crate) fn empty() -> Self {
        Database {
            written: RefCell::default(),
            connection: RefCell::new(Connection::open_in_memory().unwrap()),
            calls: Cell::new(0),
            effort_ns: Cell::new(0),
            log: RefCell::default(),
            fault: RefCell::new(Box::new(|_| Fault::None)),
            fault_at: RefCell::default(),
        }
    }

    /// How many calls there were since the last reset.
    pub(crate) fn calls(&self) -> usize {
        self.calls.get()
    }

    /// What it has used of a processor, in ns.
    pub(crate) fn effort_ns(&self) -> u64 {
        self.effort_ns.get()
    }

    pub(crate) fn reset_calls(&self) {
        self.calls.set(0);
    }

    /// Decides for each call, counted from 1 since the last reset, what goes wrong.
    pub(crate) fn set_fault(&self, fault: impl FnMut(usize) -> Fault + 'static) {
        *self.fault.borrow_mut() = Box::new(fault);
    }

    /// Decides what goes wrong with the next so many calls that have a statement with `part` in it.
    pub(crate) fn set_fault_at(&self, part: &'static str, fault: Fault, times: usize) {
        *self.fault_at.borrow_mut() = Some((part, fault, times));
    }

    fn fault_of(&self, statements: &[Statement]) -> Fault {
        let mut fault_at = self.fault_at.borrow_mut();
        let Some((part, fault, times)) = fault_at.as_mut() else { return Fault::None };
        if *times == 0 || !statements.iter().any(|statement| statement.sql.contains(*part)) {
            return Fault::None;
        }
        *times -= 1;
        *fault
    }

    /// Begins to look at what transactions write.
    pub(crate) fn watch(&self) {
        *self.written.borrow_mut() = Some(Vec::new());
    }

    /// What the transactions have written since, those that have written nothing left out.
    pub(crate) fn watched(&self) -> Vec<WrittenTables> {
        self.written.take().unwrap_or_default()
    }

    fn note_change(&self, connection: &Connection, sql: &str) {
        let words: Vec<&str> = sql.split([' ', '(']).collect();
        let table = words.iter().position(|word| ["INTO", "UPDATE", "FROM"].contains(word));
        if let Some(written) = self.written.borrow_mut().as_mut()
            && connection.changes() > 0
            && let (Some(now), Some(table)) = (written.last_mut(), table)
        {
            now.tables.insert(words[table + 1].to_owned());
        }
    }

    fn newest_entry(&self) -> i64 {
        self.cell("SELECT ifnull(max(seq), 0) FROM audit").unwrap().parse().unwrap()
    }

    fn entries_after(&self, seq: i64) -> Vec<serde_json::Value> {
        let rows = self.cells(&format!(
            "SELECT json_object('actor_id', actor_id, 'via', via, 'action', action, 'entity_type', \
             entity_type, 'entity_id', entity_id, 'outcome', outcome, 'owner_id', owner_id) \
             FROM audit WHERE seq > {seq}"
        ));
        rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
    }

    /// Every statement that was run, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Runs SQL by hand.
    pub(crate) fn execute(&self, sql: &str) {
        self.connection.borrow().execute_batch(sql).unwrap();
    }

    /// The first cell of the first row as text.
    /// Runs statements that may be refused.
    pub(crate) fn try_execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.borrow().execute_batch(sql)
    }

    /// Every text in every table, to look for what must not be there.
    pub(crate) fn dump(&self) -> String {
        let tables =
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%fts%'";
        let connection = self.connection.borrow();
        let mut text = String::new();
        for table in self.cells(tables) {
            let mut statement = connection.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
            let width = statement.column_count();
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().unwrap() {
                for index in 0..width {
                    if let ValueRef::Text(cell) = row.get_ref(index).unwrap() {
                        text += &String::from_utf8_lossy(cell);
                        text.push('\n');
                    }
                }
            }
        }
        text
    }

    pub(crate) fn cell(&self, sql: &str) -> Option<String> {
        self.cells(sql).into_iter().next()
    }

    /// The first cell of each row as text.
    pub(crate) fn cells(&self, sql: &str) -> Vec<String> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Null => "NULL".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(text) | ValueRef::Blob(text) => {
                    String::from_utf8_lossy(text).into_owned()
                }
            })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    pub(crate) fn count(&self, table: &str) -> usize {
        self.cell(&format!("SELECT count(*) FROM {table}")).unwrap().parse().unwrap()
    }

    /// The query plan of a statement, a line a step.
    pub(crate) fn plan(&self, sql: &str) -> Vec<String> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // Unbound parameters count as NULL; a plan does not depend on them.
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get(3).unwrap());
        }
        steps
    }

    async fn call<T>(
        &self,
        meant: Fault,
        effect: impl FnOnce(&Connection) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        yield_now().await;
        self.calls.set(self.calls.get() + 1);
        let fault = (self.fault.borrow_mut())(self.calls.get());
        let fault = if meant == Fault::None { fault } else { meant };
        let lost = || DbError::Failed("the database did not answer".to_owned());
        if fault == Fault::Before {
            return Err(lost());
        }
        let before = cpu_ns();
        let result = effect(&self.connection.borrow());
        self.effort_ns.set(self.effort_ns.get() + (cpu_ns() - before));
        yield_now().await;
        if fault == Fault::After { Err(lost()) } else { result }
    }

    fn run(&self, connection: &Connection, statement: &Statement) -> Result<Vec<Row>, DbError> {
        self.log.borrow_mut().push(statement.sql.to_string());
        let failed = |error: rusqlite::Error| DbError::from_message(&error.to_string());
        let mut prepared = connection.prepare_cached(&statement.sql).map_err(failed)?;
        for (index, value) in statement.params.iter().enumerate() {
            // Numbers go in as REAL, as D1 binds them.
            #[allow(clippy::cast_precision_loss)]
            let bound = match value {
                Value::Null => rusqlite::types::Value::Null,
                Value::Text(text) => rusqlite::types::Value::Text(text.clone()),
                Value::Runtime(text) => rusqlite::types::Value::Text(text.0.copy()),
                Value::Integer(number) => rusqlite::types::Value::Real(*number as f64),
            };
            prepared.raw_bind_parameter(index + 1, bound).map_err(failed)?;
        }
        // D1 refuses a statement with more or fewer parameters than were bound.
        assert_eq!(prepared.parameter_count(), statement.params.len(), "{}", statement.sql);
        assert!(statement.params.len() <= 100, "D1 takes 100 parameters");
        // In a batch D1 gives rows as objects: a column needs a name of its own that is no number.
        let named: Columns = prepared.column_names().map(str::to_owned).collect();
        let mut names = named.to_vec();
        names.sort_unstable();
        let columns = names.len();
        names.dedup();
        assert_eq!(names.len(), columns, "{}", statement.sql);
        assert!(names.iter().all(|name| name.parse::<u32>().is_err()), "{}", statement.sql);
        let mut rows = prepared.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let cells = (0..columns).map(|index| cell(row.get_ref(index).unwrap()));
            found.push(Row::new(Rc::clone(&named), cells.collect()));
        }
        if !is_reading(&statement.sql) {
            self.note_change(connection, &statement.sql);
        }
        Ok(found)
    }
}

fn is_reading(sql: &str) -> bool {
    !["INSERT", "UPDATE", "DELETE"].iter().any(|word| sql.starts_with(word))
}

fn cell(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        #[allow(clippy::cast_possible_truncation)]
        ValueRef::Real(number) => Value::Integer(number as i64),
        ValueRef::Text(text) => {
            let text = String::from_utf8(text.to_vec()).unwrap();
            // As in the runtime, which keeps long ones.
            match text.len() < 512 {
                true => Value::Text(text),
                false => Value::Runtime(RuntimeText(Rc::new(LongText(text)))),
            }
        }
        ValueRef::Blob(_) => panic!("no blobs here"),
    }
}

#[async_trait(?Send)]
impl Db for Database {
    async fn rows(&self, statement: Statement) -> Result<Vec<Row>, DbError> {
        let fault = self.fault_of(std::slice::from_ref(&statement));
        self.call(fault, |connection| self.run(connection, &statement)).await
    }

    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, DbError> {
        let fault = self.fault_of(&statements);
        self.call(fault, |connection| {
            let is_watched = self.written.borrow().is_some();
            let before = if is_watched { self.newest_entry() } else { 0 };
            if let Some(written) = self.written.borrow_mut().as_mut() {
                written.push(WrittenTables::default());
            }
            let transaction = connection.unchecked_transaction().unwrap();
            let results: Result<Vec<_>, DbError> =
                statements.iter().map(|statement| self.run(&transaction, statement)).collect();
            if results.is_ok() {
                transaction.commit().unwrap();
            }
            let added = if is_watched { self.entries_after(before) } else { Vec::new() };
            if let Some(written) = self.written.borrow_mut().as_mut() {
                let mut now = written.pop().unwrap();
                now.audit = added;
                if results.is_ok() && !now.tables.is_empty() {
                    written.push(now);
                }
            }
            results
        })
        .await
    }
}
