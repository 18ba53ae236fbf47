//! What the gateway gives to a browser and gets back: the `state` that goes to GitHub, and the question of a
//! page.
//!
//! Both are sealed, so only this gateway can make them, and one cannot be opened as the other. Each has a
//! nonce and an end: it is valid once and for a limited time.

use http_kit::problem::Problem;
use seams::db::{DbError, Statement};
use seams::{log, time};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::github::install::refusal::unconfigured;
use crate::store::Ready;
use crate::store::work::{Due, Prune};

/// How long a state is valid, in ms: the time that a user may spend at GitHub.
pub(super) const STATE_FOR_MS: u64 = 15 * 60_000;

/// How long a question can be answered, in ms.
pub(super) const QUESTION_FOR_MS: u64 = 15 * 60_000;

/// The places for which states and questions are sealed, so that one cannot be opened as the other.
pub(super) const STATE: &str = "github/state";
pub(crate) const QUESTION: &str = "github/question";

/// The `state` that goes to GitHub and comes back, sealed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// Identifies the state, so that its second use is recognised.
    pub(super) nonce: String,
    /// Until when it is valid, in ms since the Unix epoch.
    pub(super) until_ms: u64,
    /// The actor who asks for the installation.
    pub(super) actor: Option<String>,
    /// Whether the actor asks for it even if it has another owner.
    #[serde(default)]
    pub(super) claims: bool,
}

/// The question that a page asks the browser's user, sealed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) nonce: String,
    pub(crate) until_ms: u64,
    pub(crate) actor: String,
    pub(super) installation_id: i64,
    /// The owner of the installation when the question was asked.
    pub(super) from: Option<String>,
    /// The user's account at GitHub: its number, and its name if the installation is not on that account.
    pub(super) github: (i64, Option<String>),
}

pub(super) fn seal<T: Serialize>(app: &App, place: &str, what: &T) -> Result<String, Problem> {
    let text = serde_json::to_string(what).unwrap_or_default();
    app.config.sealer.seal(place, &text).map_err(|error| {
        log::error("state_not_sealed", &[("error", &error.to_string())]);
        unconfigured()
    })
}

pub(crate) fn open<T: for<'de> Deserialize<'de>>(app: &App, place: &str, text: &str) -> Option<T> {
    let json = app.config.sealer.open(place, text).ok()?;
    serde_json::from_str(&json).ok()
}

/// Marks a nonce as used. Returns whether this is its first use.
pub(super) async fn use_once(
    ready: Ready<'_>,
    nonce: &str,
    until_ms: u64,
) -> Result<bool, Problem> {
    let used = Statement::new("INSERT INTO github_states (nonce, expires_at) VALUES (?1, ?2)")
        .bind(nonce)
        .bind(time::iso8601(until_ms));
    match ready.db().batch(vec![used]).await {
        Ok(_) => Ok(true),
        Err(DbError::Unique(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a nonce has been used.
pub(crate) async fn is_used(ready: Ready<'_>, nonce: &str) -> Result<bool, DbError> {
    let query = Statement::new("SELECT 1 AS used FROM github_states WHERE nonce = ?1").bind(nonce);
    Ok(!ready.db().rows(query).await?.is_empty())
}

/// The states that have expired.
pub fn prune(now_ms: u64) -> Prune {
    Due::all("github_states", &["nonce"], "expires_at").prune(now_ms, 0, 500)
}
