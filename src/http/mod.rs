//! The thin edge: from an incoming request to a handler and back. `edge` is the way, `route` what a
//! route is (the table is `crate::routes`); the rest are the pieces that a handler takes or gives.

pub mod body;
pub mod budget;
pub mod caller;
pub mod edge;
pub mod fields;
pub mod hints;
pub mod idempotency;
pub mod limits;
pub mod listing;
pub mod nearest;
pub mod numbers;
pub mod paging;
pub mod precondition;
pub mod problem;
pub mod quota;
pub mod reply;
pub mod request;
pub mod route;
pub mod trace;

/// What a handler comes to.
pub type Outcome = Result<reply::Reply, problem::Problem>;
