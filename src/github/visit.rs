//! What the browser keeps that came back from GitHub: so that to load the page again shows what has come of it.
//!
//! Whoever has the address knows the state in it, and perhaps made it for somebody else; only the browser that
//! came back has this. It is sealed, and says nothing that the browser was not shown.

use http_kit::request::Request;
use seams::log;
use serde::{Deserialize, Serialize};

use crate::access::reply::Reply;
use crate::app::App;
use crate::config::Environment;
use crate::github::page;

/// The name of the cookie, and where it is sealed for.
const COOKIE: &str = "chittyconnect_github";
const VISIT: &str = "github/visit";

/// For how long it is kept, in seconds: a day.
const KEPT_S: u32 = 24 * 3600;

/// The most bytes of it; browsers keep 4096.
const MAX_BYTES: usize = 3800;

/// A visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The nonce of its state, or where GitHub's own button has begun it, the hash of its code.
    pub nonce: String,
    /// Which installation it was about.
    pub installation_id: i64,
    /// Whether that was there already.
    pub is_update: bool,
    /// Who came, by their name at GitHub.
    pub user: String,
    /// What was asked on the page, sealed.
    pub question: Option<String>,
}

/// Whether whoever asks sees pages: a browser that goes somewhere.
pub fn is_by_browser(request: &Request<'_>) -> bool {
    page::is_wanted(request) || request.header("sec-fetch-mode").as_deref() == Some("navigate")
}

/// Has the browser keep a visit. Where that fails the page is only not shown again.
pub fn kept(app: &App, reply: Reply, visit: &Visit) -> Reply {
    let text = serde_json::to_string(visit).unwrap_or_default();
    match app.config.sealer.seal(VISIT, &text) {
        Ok(sealed) if sealed.len() <= MAX_BYTES => {
            // A browser does not send a secure one to a gateway on its own machine.
            let secure = match app.config.environment {
                Environment::Development => "",
                _ => "; Secure",
            };
            reply.header(
                "set-cookie",
                format!(
                    "{COOKIE}={sealed}; Path=/integrations/github; Max-Age={KEPT_S}; HttpOnly; \
                     SameSite=Lax{secure}"
                ),
            )
        }
        Ok(_) => reply,
        Err(error) => {
            log::warn("visit_not_kept", &[("error", &error.to_string())]);
            reply
        }
    }
}

/// The visit with this nonce, if this browser has made it.
pub fn of(app: &App, request: &Request<'_>, nonce: &str) -> Option<Visit> {
    let cookies = request.header("cookie")?;
    let sealed = cookies.split(';').find_map(|cookie| {
        cookie.trim().strip_prefix(COOKIE).and_then(|rest| rest.strip_prefix('='))
    })?;
    let text = app.config.sealer.open(VISIT, sealed).ok()?;
    let visit: Visit = serde_json::from_str(&text).ok()?;
    (visit.nonce == nonce).then_some(visit)
}
