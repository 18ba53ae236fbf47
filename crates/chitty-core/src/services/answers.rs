//! What several clients read of an answer alike.

use crate::error::ServiceError;

/// The names under which the generations of the services send an id.
pub(crate) const ID_NAMES: &[&str] = &["chittyId", "chitty_id", "chittyid", "id", "technical_id"];

/// The statuses that say that something is not there.
pub(crate) const GONE: &[u16] = &[404, 410];

/// Whatever was to be gone and is not there is gone.
pub(crate) fn gone_is_done(result: Result<(), ServiceError>) -> Result<(), ServiceError> {
    match result {
        Err(ServiceError { status: Some(404 | 410), .. }) => Ok(()),
        result => result,
    }
}
