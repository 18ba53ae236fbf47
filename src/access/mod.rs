//! Who may do what, and how often: the way of a request from its credential to its handler, and what every
//! handler takes on that way.

pub mod caller;
pub mod event;
pub mod idempotency;
pub mod kind;
pub mod limits;
pub mod listing;
pub mod quota;
pub mod rates;
pub mod reply;
pub mod route;
pub mod service_name;
