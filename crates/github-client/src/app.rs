//! The calls as the App itself, with its JWT.

use seams::outside::OutsideResponse;
use serde::Deserialize;
use serde_json::Value;

use crate::Client;
use crate::error::GithubError;
use crate::limits::RateBucket;
use crate::link;
use crate::request::{self, Call};

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
    /// The status that the program answered, or the number that GitHub writes if there was no answer.
    #[serde(default)]
    pub status_code: u16,
    /// The name of its event.
    pub event: String,
    /// Its action.
    #[serde(default)]
    pub action: Option<String>,
}

impl HookDelivery {
    /// Whether the program has refused the delivery for its content. It would refuse every redelivery too, so
    /// none is worth a request. A refusal that somebody can mend there, such as for a wrong secret, does not
    /// count.
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

impl Client<'_> {
    /// Returns an installation.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when the App has none of this number.
    pub async fn installation(&self, id: i64) -> Result<Installation, GithubError> {
        let call = Call::get(self.config, &format!("/app/installations/{id}"));
        request::read(&self.send_as_app(&call).await?)
    }

    /// Returns a page of the webhook's deliveries of the last days.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn deliveries(&self, cursor: Option<&str>) -> Result<Deliveries, GithubError> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("per_page", "100");
        if let Some(cursor) = cursor {
            query.append_pair("cursor", cursor);
        }
        let path = format!("/app/hook/deliveries?{}", query.finish());
        let call = Call::get(self.config, &path).up_to(MAX_DELIVERIES_BYTES);
        let answer = self.send_as_app(&call).await?;
        Ok(Deliveries { items: request::read(&answer)?, next_cursor: link::next_cursor(&answer) })
    }

    /// Requests a redelivery. If GitHub accepts the request, the delivery may still not arrive.
    ///
    /// # Errors
    /// Any failure of the call; GitHub may have accepted the request even then.
    pub async fn redeliver(&self, id: u64) -> Result<(), GithubError> {
        let path = format!("/app/hook/deliveries/{id}/attempts");
        self.send_as_app(&Call::bare(self.config, "POST", &path)).await.map(drop)
    }

    /// Makes a call as the App.
    pub(crate) async fn send_as_app(&self, call: &Call) -> Result<OutsideResponse, GithubError> {
        let jwt = self.jwt().await?;
        let answered = self.send(RateBucket::App, Some(&jwt), call).await;
        if matches!(&answered, Err(error) if error.status == Some(401)) {
            self.state.jwt.forget(&jwt);
        }
        answered
    }
}
