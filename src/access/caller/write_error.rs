//! The reasons why a caller's write changed nothing: a refusal, or a failure of the database.

use http_kit::problem::Problem;
use seams::db::DbError;

use crate::access::quota;

/// Why nothing was changed.
#[derive(Debug)]
pub enum WriteError {
    /// The caller lacks the permission, or has lost it.
    Refused(Problem),
    /// The database failed.
    Db(DbError),
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(problem) => problem,
            WriteError::Db(error) => quota::problem(&error),
        }
    }
}

impl From<DbError> for WriteError {
    fn from(error: DbError) -> Self {
        WriteError::Db(error)
    }
}

impl WriteError {
    /// Whether the write failed because of the UNIQUE constraint over `columns`.
    pub fn is_unique(&self, columns: &str) -> bool {
        matches!(self, WriteError::Db(error) if error.is_unique(columns))
    }
}
