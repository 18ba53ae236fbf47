//! The migration runner: the safety net that makes an empty database work on the first request.
//!
//! It shares wrangler's own book-keeping (`d1_migrations`), so `wrangler d1 migrations apply` and
//! this runner may go in either order. Each migration is one batch whose first statement is its
//! book-keeping row: of two racing isolates the second fails on that row's unique name, its batch
//! leaves nothing behind, and it looks again.

use seams::db::{Db, DbError, Statement};

macro_rules! migration {
    ($name:literal) => {
        (concat!($name, ".sql"), include_str!(concat!("../../migrations/", $name, ".sql")))
    };
}

/// Every migration, in order; a test holds the list against the folder.
pub const MIGRATIONS: [(&str, &str); 31] = [
    migration!("0001_create_contexts_table"),
    migration!("0002_create_installations_table"),
    migration!("0003_create_actors_table"),
    migration!("0004_create_connections_table"),
    migration!("0005_create_outbox_table"),
    migration!("0006_create_idempotency_keys_table"),
    migration!("0007_create_registration_tables"),
    migration!("0008_create_metrics_tables"),
    migration!("0009_create_service_connections_tables"),
    migration!("0010_create_orchestrations_table"),
    migration!("0011_create_access_tables"),
    migration!("0012_extend_connections"),
    migration!("0013_create_dead_letters_table"),
    migration!("0014_create_github_tables"),
    migration!("0015_bound_credentials_by_their_source"),
    migration!("0016_credentials_of_nobody"),
    migration!("0017_create_quota_tables"),
    migration!("0018_track_doubts_and_mints"),
    migration!("0019_extend_github_tables"),
    migration!("0020_fair_work_and_audit_archive"),
    migration!("0021_compare_names_by_their_key"),
    migration!("0022_write_words_anew"),
    migration!("0023_keep_what_services_say"),
    migration!("0024_create_identities_table"),
    migration!("0025_create_discovery_tables"),
    migration!("0026_list_events_by_owner"),
    migration!("0027_follow_renamed_accounts"),
    migration!("0028_describe_contexts"),
    migration!("0029_pack_metrics"),
    migration!("0030_create_context_keys_table"),
    migration!("0031_write_fewer_rows"),
];

/// As wrangler 4 creates it.
const BOOK: &str = "CREATE TABLE IF NOT EXISTS d1_migrations (\
    id INTEGER PRIMARY KEY AUTOINCREMENT, \
    name TEXT UNIQUE, \
    applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)";

/// Brings the schema up to date. With nothing to do it is one read.
///
/// # Errors
/// The first failure that is not a lost race.
pub async fn apply(db: &dyn Db) -> Result<(), DbError> {
    // Each round applies one migration or loses it to another isolate, so the rounds are bounded
    // by the migrations; one more sees that nothing is left.
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

/// The names on the book; none when there is no book.
async fn applied(db: &dyn Db) -> Result<Vec<String>, DbError> {
    match db.rows(Statement::new("SELECT name FROM d1_migrations ORDER BY id")).await {
        Ok(rows) => rows.into_iter().map(|mut row| row.text(0)).collect(),
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

/// Cuts a migration into its statements: at each `;` that ends a line, comment lines left out.
/// Migrations keep to that (the body of a trigger on one line, no `;` at a line's end inside a text);
/// a test runs every file both ways and compares the schemas.
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
