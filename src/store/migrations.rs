//! The migration runner: the safety net that makes an empty database work on the first request.
//!
//! It shares wrangler's own record of applied migrations (the table `d1_migrations`), so `wrangler d1
//! migrations apply` and this runner may run in either order. Each migration is one batch, which inserts
//! its row into that table before it changes the schema. If two isolates race, the batch of the second
//! fails on the unique name of that row and changes nothing; that isolate then reads the table again.

use seams::db::{Db, DbError, Statement};

// `MIGRATIONS`, which `build.rs` generates from the folder `migrations`.
include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// Creates the table of applied migrations exactly as wrangler 4 does.
const BOOK: &str = "CREATE TABLE IF NOT EXISTS d1_migrations (\
    id INTEGER PRIMARY KEY AUTOINCREMENT, \
    name TEXT UNIQUE, \
    applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)";

/// Brings the schema up to date. With no migration missing, this is one read.
///
/// # Errors
/// The first failure that is not a lost race.
pub async fn apply(db: &dyn Db) -> Result<(), DbError> {
    // In each round this isolate or a faster one applies one migration, so as many rounds as migrations
    // suffice; one more round sees that none is left.
    for _ in 0..=MIGRATIONS.len() {
        let applied = applied(db).await?;
        let Some((name, sql)) =
            MIGRATIONS.iter().find(|(name, _)| !applied.iter().any(|done| done == name))
        else {
            return Ok(());
        };
        match db.batch(batch_of(name, sql)).await {
            Ok(_) => {}
            Err(error) if error.is_unique("d1_migrations.name") => {}
            Err(error) => return Err(error),
        }
    }
    Err(DbError::Failed("migrations do not come to an end".to_owned()))
}

/// Returns the names of the applied migrations; none when the table does not exist yet.
async fn applied(db: &dyn Db) -> Result<Vec<String>, DbError> {
    match db.rows(Statement::new("SELECT name FROM d1_migrations ORDER BY id")).await {
        Ok(rows) => rows.into_iter().map(|mut row| row.text("name")).collect(),
        Err(DbError::NoSuchTable(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn batch_of(name: &'static str, sql: &'static str) -> Vec<Statement> {
    let book = [
        Statement::new(BOOK),
        Statement::new("INSERT INTO d1_migrations (name) VALUES (?1)").bind(name),
    ];
    book.into_iter().chain(statements(sql).into_iter().map(Statement::new)).collect()
}

/// Splits a migration into its statements at each `;` that ends a line, and drops comment lines. Migrations
/// are written for that: the body of a trigger is on one line, and no text has a `;` at the end of a line.
/// A test applies every file split and whole, and compares the schemas.
pub fn statements(sql: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut current = String::new();
    for line in sql.lines().filter(|line| !line.trim_start().starts_with("--")) {
        let line = line.trim_end();
        current.push_str(line.strip_suffix(';').unwrap_or(line));
        if line.ends_with(';') {
            statements.push(std::mem::take(&mut current).trim().to_owned());
        } else {
            current.push('\n');
        }
    }
    statements.retain(|statement| !statement.is_empty());
    statements
}
