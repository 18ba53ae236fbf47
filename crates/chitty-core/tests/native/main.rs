//! Tests of what ChittyCore promises. They use only the public API, scripted services, and a clock that
//! the test advances.

// A test fails by a panic, which the lints forbid on the request path.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, reason = "tests say what they check by their names")]

mod answers;
mod batch;
mod breaker;
mod cache;
mod clients;
mod context;
mod deadlines;
mod doubts;
mod health;
mod metrics;
#[allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example for native programs, which have a clock and a console"
)]
mod readme;
mod retries;
mod sagas;
mod sharing;
mod signing;
mod tokens;
mod variants;
mod world;
