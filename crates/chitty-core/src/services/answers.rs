//! The parts of an answer that several clients read in the same way.

use crate::error::ServiceError;

/// The members in which the generations of the services send an id.
pub(crate) const ID_NAMES: &[&str] = &["chittyId", "chitty_id", "chittyid", "id", "technical_id"];

/// The statuses that say that something does not exist.
pub(crate) const GONE: &[u16] = &[404, 410];

/// Turns 404 and 410 into success, for a call that removes something.
pub(crate) fn gone_is_done(result: Result<(), ServiceError>) -> Result<(), ServiceError> {
    match result {
        Err(ServiceError { status: Some(404 | 410), .. }) => Ok(()),
        result => result,
    }
}
