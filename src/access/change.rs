//! A change of one entity, under the condition of the request's `If-Match`.

use chitty_core::ChittyId;
use http_kit::precondition::IfMatch;
use http_kit::request::Request;

use crate::app::App;
use crate::store::event::Event;

/// A change of one entity that has a ChittyID.
pub struct Change<'a> {
    /// The ChittyID of the entity.
    pub id: &'a ChittyId,
    /// The event of the change; its id becomes the revision.
    pub event: &'a Event,
    /// The revisions that the caller accepts for the change.
    pub if_match: IfMatch,
    /// How long after its instant the event is overdue, in ms.
    pub overdue_ms: u64,
}

impl<'a> Change<'a> {
    /// The change that a request asks for.
    pub fn of(app: &App, request: &Request<'_>, id: &'a ChittyId, event: &'a Event) -> Self {
        let (if_match, overdue_ms) = (IfMatch::of(request), app.config.outbox_overdue_ms);
        Change { id, event, if_match, overdue_ms }
    }
}
