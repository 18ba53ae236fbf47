//! The client of GitHub's API: tokens, limits, pages, and answers that are not what they should be.

mod limits;
mod reading;
mod tokens;
mod users;
mod writing;

use std::cell::Cell;
use std::rc::Rc;

use chitty_core::TransportError;
use chittyconnect::github::as_installation;
use chittyconnect::github::tokens::installation_token;
use chittyconnect::store::Ready;
use github_client::{ErrorKind, GithubError, Repository};
use seams::outside::{OutsideRequest, OutsideResponse};
use seams::time;
use serde_json::{Value, json};

use crate::world::outside::answer;
use crate::world::{Isolate, World};

const API: &str = "http://github/api";
const KV_KEY: &str = "github:installation:7";

type TransportResult = Result<OutsideResponse, TransportError>;

/// GitHub in the test's hand: issues tokens `ghs_1`, `ghs_2`, …, knows those that were not revoked, and
/// answers everything else as the test says.
struct Github {
    world: World,
    issued: Cell<u32>,
    /// Tokens up to this one are refused.
    revoked: Cell<u32>,
    life_ms: Cell<u64>,
}

impl Github {
    fn new(
        world: &World,
        mut behave: impl FnMut(&OutsideRequest) -> TransportResult + 'static,
    ) -> Rc<Self> {
        let github = Rc::new(Github {
            world: world.clone(),
            issued: Cell::new(0),
            revoked: Cell::new(0),
            life_ms: Cell::new(3_600_000),
        });
        let shared = Rc::clone(&github);
        world.outside.set(move |request| {
            if request.url.ends_with("/access_tokens") {
                return Ok(shared.issue());
            }
            match number_of(request) {
                Some(number) if number <= shared.revoked.get() => Ok(answer(401, "{}")),
                _ => behave(request),
            }
        });
        github
    }

    fn issue(&self) -> OutsideResponse {
        let number = self.issued.get() + 1;
        self.issued.set(number);
        let expires_at = time::iso8601(self.world.clock_ms() + self.life_ms.get());
        answer(
            201,
            &json!({"token": format!("ghs_{number}"), "expires_at": expires_at}).to_string(),
        )
    }
}

/// Which of the installation's tokens a request has.
fn number_of(request: &OutsideRequest) -> Option<u32> {
    header(request, "authorization")?.strip_prefix("Bearer ghs_")?.parse().ok()
}

fn header<'r>(request: &'r OutsideRequest, name: &str) -> Option<&'r str> {
    request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn path(request: &OutsideRequest) -> &str {
    request.url.strip_prefix(API).unwrap_or(&request.url)
}

/// An answer with headers.
fn with(status: u16, headers: &[(&str, &str)], body: &Value) -> OutsideResponse {
    let mut answer = answer(status, &body.to_string());
    let pairs = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    answer.headers.extend(pairs);
    answer
}

async fn ready(gateway: &Isolate) -> Ready<'_> {
    Ready::ensure(&gateway.app).await.unwrap()
}

async fn repository(gateway: &Isolate) -> Repository<'_> {
    as_installation(&gateway.app, ready(gateway).await, 7).repository("octo-org/hello")
}

async fn token(gateway: &Isolate) -> Result<String, GithubError> {
    installation_token(&gateway.app, ready(gateway).await, 7).await
}

fn kind<T: std::fmt::Debug>(result: Result<T, GithubError>) -> ErrorKind {
    result.unwrap_err().kind
}

fn labels() -> OutsideResponse {
    answer(200, r#"[{"name":"bug"}]"#)
}

fn installation_body(id: i64, account: i64, kind: &str) -> Value {
    json!({
        "id": id, "account": {"id": account, "login": "octo-org", "type": kind},
        "repository_selection": "all", "permissions": {"issues": "write"}, "events": ["push"],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "suspended_at": null,
    })
}
