//! The GitHub App: what GitHub tells the gateway, and what the gateway does there.
//!
//! The way of a delivery: [`webhook`] checks its signature and hands it over → [`consumer`] puts it on
//! record ([`deliveries`]) and acknowledges the message → in the order of its lane it gets its EVNT
//! ChittyID and one batch ([`apply`]): what it changes, the event that tells of it, the job that it asks
//! for → the event goes the way of all events; the job ([`jobs`], [`act`]) is done in the background with
//! the App's [`client`], by the rules of [`review_rules`]. What is lost on the way to the record is found
//! on GitHub's list and asked for again ([`recovery`]).
//!
//! [`install`] brings a user to GitHub and back ([`uninvited`] is back only), the browser keeps its [`visit`];
//! [`installations`] keeps where the App is installed.

pub mod act;
pub mod apply;
pub mod client;
pub mod consumer;
pub mod deliveries;
pub mod encoding;
pub mod install;
pub mod installations;
pub mod jobs;
pub mod message;
pub mod page;
pub mod payload;
pub mod private_key;
pub mod recovery;
pub mod settings;
pub mod signature;
pub mod summary;
pub mod uninvited;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;
pub mod visit;
pub mod webhook;

use seams::log;

use crate::app::{App, Slot};
use crate::store::Ready;

/// Whether a delivery has asked for something to be done at GitHub.
#[derive(Default)]
pub struct WorkAhead(pub std::cell::Cell<bool>);

impl Slot for WorkAhead {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// The cron's part: deal with what is overdue, do the jobs that are due, look for what never arrived.
pub async fn cron(app: &App, ready: Ready<'_>) {
    if let Err(error) = consumer::sweep(app, ready).await {
        log::warn("deliveries_not_swept", &[("error", &error.to_string())]);
    }
    jobs::run_due(app, ready, jobs::IN_THE_CRON_MS).await;
    recovery::round(app, ready).await;
}
