//! Native tests: the real handlers and the real SQL, on SQLite in memory, with faults at the seams.
//! What only the real runtime shows (bind types, limits, queues, restarts) is in `tests/e2e`.

// What the lints forbid on the request path is how a test fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, reason = "tests say what they check by their names")]

mod access;
mod actors;
mod audit;
mod catalog;
mod connections;
mod context_keys;
mod contexts;
mod credentials;
mod description;
mod discovery;
mod ecosystem;
mod edge;
mod effort;
mod events;
mod faults;
mod github;
mod github_client;
mod github_input;
mod github_leases;
mod github_minting;
mod github_ownership;
mod github_recovery;
mod github_visits;
mod grants;
mod health;
mod identities;
mod init;
mod input;
mod layers;
mod limits;
mod metrics;
mod migrations;
mod minting;
mod orchestrations;
mod outages;
mod passing;
mod plans;
mod quotas;
mod races;
mod record;
mod resilience;
mod search;
mod timeline;
mod work;
mod world;
