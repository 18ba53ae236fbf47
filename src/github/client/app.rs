//! The calls as the App itself, with its JWT.

use seams::outside::OutsideResponse;
use serde::Deserialize;
use serde_json::Value;

use super::error::GithubError;
use super::limits::RateBucket;
use super::request::{self, Call};
use super::{jwt, link};
use crate::app::{App, Slot};
use crate::github::client::ClientState;

/// The most bytes of a page of deliveries: a hundred, each of some hundred bytes.
const MAX_DELIVERIES_BYTES: usize = 1 << 20;

/// An account at GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Its number, which a rename does not change.
    pub id: i64,
    /// Its name.
    pub login: String,
    /// `User` or `Organization`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The URL of its picture.
    #[serde(default)]
    pub avatar_url: Option<String>,
}

/// An installation of the App.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Installation {
    /// Its number.
    pub id: i64,
    /// The account that it is on.
    pub account: Account,
    /// `all` or `selected`.
    #[serde(default)]
    pub repository_selection: String,
    /// Its permissions, such as `{"issues": "write"}`.
    #[serde(default)]
    pub permissions: Value,
    /// The names of the events that it receives.
    #[serde(default)]
    pub events: Value,
    /// When it was created, as GitHub writes it.
    #[serde(default)]
    pub created_at: String,
    /// When it was last changed.
    #[serde(default)]
    pub updated_at: String,
    /// Since when it is suspended.
    #[serde(default)]
    pub suspended_at: Option<String>,
}

/// Returns an installation.
///
/// # Errors
/// [`super::ErrorKind::NotFound`] when the App has none of this number.
pub async fn installation(app: &App, id: i64) -> Result<Installation, GithubError> {
    request::read(&send(app, &Call::get(app, &format!("/app/installations/{id}"))).await?)
}

/// A delivery of the App's webhook, as GitHub lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HookDelivery {
    /// Its number; a redelivery has one of its own.
    pub id: u64,
    /// Its `X-GitHub-Delivery`, which redeliveries share.
    pub guid: String,
    /// When GitHub made it, as GitHub writes it.
    pub delivered_at: String,
    /// Whether it is a redelivery.
    #[serde(default)]
    pub redelivery: bool,
    /// The status that this gateway answered, or the number that GitHub writes if there was no answer.
    #[serde(default)]
    pub status_code: u16,
    /// The name of its event.
    pub event: String,
    /// Its action.
    #[serde(default)]
    pub action: Option<String>,
}

impl HookDelivery {
    /// Whether this gateway has refused the delivery for its content. It would refuse every redelivery too,
    /// so it does not request one. A refusal that somebody can mend here, such as for a wrong secret, does
    /// not count.
    pub fn is_refused(&self) -> bool {
        matches!(self.status_code, 400 | 413 | 415 | 422)
    }
}

/// A page of deliveries, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deliveries {
    /// At most a hundred.
    pub items: Vec<HookDelivery>,
    /// Where the next, older page begins.
    pub next_cursor: Option<String>,
}

/// Returns a page of the webhook's deliveries of the last days.
///
/// # Errors
/// Any failure of the call.
pub async fn deliveries(app: &App, cursor: Option<&str>) -> Result<Deliveries, GithubError> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("per_page", "100");
    if let Some(cursor) = cursor {
        query.append_pair("cursor", cursor);
    }
    let path = format!("/app/hook/deliveries?{}", query.finish());
    let answer = send(app, &Call::get(app, &path).up_to(MAX_DELIVERIES_BYTES)).await?;
    Ok(Deliveries { items: request::read(&answer)?, next_cursor: link::next_cursor(&answer) })
}

/// Requests a redelivery. If GitHub accepts the request, the delivery may still not arrive.
///
/// # Errors
/// Any failure of the call; GitHub may have accepted the request even then.
pub async fn redeliver(app: &App, id: u64) -> Result<(), GithubError> {
    let path = format!("/app/hook/deliveries/{id}/attempts");
    send(app, &Call::bare(app, "POST", &path)).await.map(drop)
}

/// Makes a call as the App.
pub(super) async fn send(app: &App, call: &Call) -> Result<OutsideResponse, GithubError> {
    let jwt = jwt::current(app).await?;
    let answered = request::send(app, RateBucket::App, Some(&jwt), call).await;
    if matches!(&answered, Err(error) if error.status == Some(401)) {
        ClientState::of(app).jwt.forget(&jwt);
    }
    answered
}
