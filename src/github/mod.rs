//! The GitHub App: receives GitHub's webhooks and acts at GitHub.
//!
//! The path of a delivery: [`webhook`] verifies its signature and puts it on the queue → [`consumer`]
//! records it in the database ([`deliveries`]) and acknowledges the message → [`lane`] processes the
//! deliveries of a lane (one repository or installation) in order: it mints the EVNT ChittyID of each and
//! commits one batch ([`apply`]) with the delivery's changes, its event and its job → the event goes
//! through the outbox like every other event; the job ([`jobs`], [`act`]) runs in the background with the
//! calls of [`github_client`], by the rules of [`review_rules`]. A delivery that is lost before it is
//! recorded is found on GitHub's list and requested again ([`recovery`]); one that is recorded but not
//! processed in time is found by the [`sweep`].
//!
//! [`install`] sends a user to GitHub to install the App and receives the user when GitHub sends them back
//! ([`uninvited`] receives users who began at GitHub); the browser keeps the [`visit`] in a cookie.
//! [`installations`] stores where the App is installed, and [`tokens`] stores the tokens of installations.

pub mod act;
pub mod apply;
pub mod consumer;
pub mod deliveries;
pub mod encoding;
pub mod install;
pub mod installations;
pub mod jobs;
pub mod lane;
pub mod message;
pub mod page;
pub mod payload;
pub mod recovery;
pub mod settings;
pub mod signature;
pub mod summary;
pub mod sweep;
pub mod tokens;
pub mod uninvited;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;
pub mod visit;
pub mod webhook;

use std::rc::Rc;

use github_client::{Client, InstallationClient, State};
use seams::log;

use crate::app::{App, Settings as _, Slot};
use crate::github::settings::Settings;
use crate::github::tokens::StoredTokens;
use crate::store::Ready;

impl Slot for State {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// Returns the client of GitHub's API, for calls as the App and as users.
pub fn client(app: &App) -> Client<'_> {
    Client {
        outside: app.outside.as_ref(),
        rs256: app.rs256.as_ref(),
        clock: app.clock(),
        config: &Settings::of(app).api,
        state: State::of(app),
    }
}

/// Returns the client of GitHub's API, for calls as an installation.
pub fn as_installation<'a>(app: &'a App, ready: Ready<'a>, id: i64) -> InstallationClient<'a> {
    client(app).as_installation(id, Rc::new(StoredTokens { app, ready }))
}

/// Whether a delivery has made jobs due, which this isolate then runs after the batch.
#[derive(Default)]
pub struct WorkAhead(pub std::cell::Cell<bool>);

impl Slot for WorkAhead {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// The cron's part: processes overdue deliveries, runs the jobs that are due and looks for deliveries
/// that never arrived.
pub async fn cron(app: &App, ready: Ready<'_>) {
    // 1. Process the deliveries that are overdue.
    if let Err(error) = sweep::sweep(app, ready).await {
        log::warn("deliveries_not_swept", &[("error", &error.to_string())]);
    }
    // 2. Run the jobs that are due.
    jobs::run_due(app, ready, jobs::IN_THE_CRON_MS).await;
    // 3. Look for deliveries that never arrived.
    recovery::round(app, ready).await;
}
