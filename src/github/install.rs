//! Installing the App: to GitHub and back, in the browser of whoever installs it.
//!
//! `GET /integrations/github/install` sends the browser to GitHub with a `state` that only this gateway
//! can make, that is good for once and for a while. GitHub sends it back to
//! `GET /integrations/github/callback` with a code, by which the user proves who they are. What comes
//! back is believed only as far as GitHub confirms it: that the installation exists, and that this user
//! may administer it.
//!
//! Who starts with a credential asks for the installation to be theirs here. A browser that comes back
//! from GitHub may be somebody else's, who was given the address: so it is asked whether that is right
//! before anything is theirs ([`confirm`]).

use chitty_core::CallContext;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::events::{Event, EventKind, outbox};
use crate::github::client::{self, ErrorKind, GithubError};
use crate::github::deliveries::Known;
use crate::github::installations::{self, handlers::unavailable, store};
use crate::github::page;
use crate::github::payload;
use crate::http::Outcome;
use crate::http::caller::{Caller, Permission};
use crate::http::problem::{Code, Problem};
use crate::http::reply::{After, Body, Reply};
use crate::http::request::Request;
use crate::init::Ready;
use crate::platform::db::{DbError, Statement, first_row};
use crate::platform::{ids, log, time};

/// How long somebody may take at GitHub, in ms.
const STATE_FOR_MS: u64 = 15 * 60_000;

/// How long a question waits for its answer, in ms.
const QUESTION_FOR_MS: u64 = 15 * 60_000;

/// The largest form that is read, in bytes.
const MAX_FORM_BYTES: usize = 8 << 10;

/// Where states and questions are sealed for: one does not open as the other.
const STATE: &str = "github/state";
const QUESTION: &str = "github/question";

/// What goes to GitHub and comes back.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// By which it is recognised when it comes again.
    nonce: String,
    /// Until when it is good, in ms since the Unix epoch.
    until_ms: u64,
    /// Who asks for the installation.
    actor: Option<String>,
}

/// What a browser is asked.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    nonce: String,
    until_ms: u64,
    actor: String,
    installation_id: i64,
}

/// Go to GitHub to install the App.
///
/// With a credential the installation will be yours here; without one it belongs to nobody, and
/// administrators see it.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/integrations/github/install",
    operation_id = "githubInstall",
    tag = "github",
    params(("Authorization" = Option<String>, Header, description = "Whose it will be.")),
    responses(
        (status = 302, description = "To GitHub.", headers(("Location" = String))),
    ),
))]
pub async fn begin(app: &App, request: &Request<'_>) -> Outcome {
    let client = app.config.github.client.as_ref().filter(|_| app.config.github.app.is_some());
    let Some(client) = client else { return Err(unconfigured()) };
    let actor = asking_actor(app, request).await?;
    let nonce = ids::random_hex::<16>();
    let state = State { nonce, until_ms: request.now_ms + STATE_FOR_MS, actor };
    let state = sealed(app, STATE, &state)?;
    let web = &app.config.github.web_url;
    let location = format!("{web}/apps/{}/installations/new?state={state}", client.slug);
    Ok(Reply::new(302, Body::Empty).header("location", location))
}

fn unconfigured() -> Problem {
    Problem::new(
        Code::NotReady,
        "This gateway has no GitHub App; GET /health lists what is missing, and \
         docs/github-app.md says how to make one.",
    )
}

/// Who asks, if a credential was sent.
async fn asking_actor(app: &App, request: &Request<'_>) -> Result<Option<String>, Problem> {
    if request.header("authorization").is_none() && request.header("x-chittyos-api-key").is_none() {
        return Ok(None);
    }
    let ready = Ready::ensure(app).await?;
    let caller = Caller::authenticate(app, ready, request).await?;
    let scope = caller.scope(Permission::GithubWrite, request.now_ms);
    scope.admit_to(ready, Permission::GithubWrite, true).await?;
    scope.not_delegated(ready).await?;
    scope.check(ready).await?;
    Ok(Some(scope.actor().to_owned()))
}

fn sealed<T: Serialize>(app: &App, place: &str, what: &T) -> Result<String, Problem> {
    let text = serde_json::to_string(what).unwrap_or_default();
    app.config.sealer.seal(place, &text).map_err(|error| {
        log::error("state_not_sealed", &[("error", &error.to_string())]);
        unconfigured()
    })
}

fn opened<T: for<'de> Deserialize<'de>>(app: &App, place: &str, text: &str) -> Option<T> {
    let json = app.config.sealer.open(place, text).ok()?;
    serde_json::from_str(&json).ok()
}

/// Come back from GitHub.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/integrations/github/callback",
    operation_id = "githubCallback",
    tag = "github",
    params(
        ("state" = String, Query, description = "As it went to GitHub."),
        ("code" = String, Query, description = "By which GitHub says who the user is."),
        ("installation_id" = i64, Query, description = "The installation."),
        ("setup_action" = Option<String>, Query, description = "`install`, `update` or `request`."),
    ),
    responses(
        (status = 200, description = "A page: installed.", content_type = "text/html"),
        (status = 403, description = "`installation_refused`: the state is not good any more, or the user may not administer the installation."),
        (status = 503, description = "`github_unavailable`, `identity_authority_unavailable`: begin again later."),
    ),
))]
pub async fn come_back(app: &App, request: &Request<'_>) -> Outcome {
    match connect(app, request).await {
        Ok(reply) => Ok(reply),
        Err(problem) if page::is_wanted(request) => Ok(page::of_problem(&problem)),
        Err(problem) => Err(problem),
    }
}

fn refused(detail: &'static str) -> Problem {
    Problem::new(Code::InstallationRefused, detail)
}

const BEGIN_AGAIN: &str = "This way back from GitHub is not good any more: it works once, within a \
     quarter of an hour. Begin again at /integrations/github/install.";

async fn connect(app: &App, request: &Request<'_>) -> Outcome {
    if app.config.github.client.is_none() {
        return Err(unconfigured());
    }
    // 1. What went out comes back, once and in time.
    let state = request.query("state").and_then(|text| opened::<State>(app, STATE, &text));
    let state = state.filter(|state| request.now_ms < state.until_ms);
    let state = state.ok_or_else(|| refused(BEGIN_AGAIN))?;
    let ready = Ready::ensure(app).await?;
    use_once(ready, &state.nonce, state.until_ms).await?;
    if request.query("setup_action").as_deref() == Some("request") {
        return Ok(page::requested());
    }
    // 2. GitHub confirms who came, that the installation exists, and that it is theirs.
    let confirmed = confirmed(app, request).await?;
    // 3. It is put on record, and its first token fetched.
    let known = on_record(app, ready, request, &confirmed).await?;
    if let Err(error) = client::installation_token(app, ready, confirmed.id).await {
        // It is fetched when it is needed.
        log::warn("token_not_fetched", &[("error", &error.to_string())]);
    }
    // 4. It belongs to whoever asked for it, if that is who came.
    let login = &confirmed.account.login;
    let Some(actor) = state.actor else {
        return Ok(page::installed(login, &known.chitty_id, None));
    };
    let navigates = request.header("sec-fetch-mode").as_deref() == Some("navigate");
    if navigates || page::is_wanted(request) {
        let nonce = ids::random_hex::<16>();
        let until_ms = request.now_ms + QUESTION_FOR_MS;
        let installation_id = confirmed.id;
        let question = Question { nonce, until_ms, actor: actor.clone(), installation_id };
        let question = sealed(app, QUESTION, &question)?;
        return Ok(page::question(login, &known.chitty_id, &actor, &question));
    }
    let event = claim(app, ready, confirmed.id, &known.chitty_id, &actor, request).await?;
    Ok(telling(page::installed(login, &known.chitty_id, Some(&actor)), event))
}

/// Notes that a nonce has come back.
async fn use_once(ready: Ready<'_>, nonce: &str, until_ms: u64) -> Result<(), Problem> {
    let used = Statement::new("INSERT INTO github_states (nonce, expires_at) VALUES (?1, ?2)")
        .bind(nonce)
        .bind(time::iso8601(until_ms));
    match ready.db().batch(vec![used]).await {
        Ok(_) => Ok(()),
        Err(DbError::Unique(_)) => Err(refused(BEGIN_AGAIN)),
        Err(error) => Err(error.into()),
    }
}

async fn confirmed(app: &App, request: &Request<'_>) -> Result<client::Installation, Problem> {
    let id = request.query("installation_id").and_then(|id| id.parse::<i64>().ok());
    let (Some(id), Some(code)) = (id, request.query("code")) else {
        return Err(refused(
            "GitHub sent no installation or no code. The App must be set to request user \
             authorization during installation: see docs/github-app.md.",
        ));
    };
    let said = |error: GithubError| match error.kind {
        ErrorKind::NotFound => refused("GitHub has no such installation of this App."),
        ErrorKind::Refused | ErrorKind::Invalid => {
            refused("GitHub did not accept the code. Begin again at /integrations/github/install.")
        }
        _ => unavailable(&error),
    };
    let token = client::exchange_code(app, &code).await.map_err(said)?;
    let user = client::user(app, &token).await.map_err(said)?;
    let installation = client::installation(app, id).await.map_err(said)?;
    match client::may_administer(app, &token, &user, &installation).await.map_err(said)? {
        true => Ok(installation),
        false => Err(refused(
            "At GitHub you may not administer this installation. Ask an owner of the account.",
        )),
    }
}

/// Finds the installation, or mints its identity and puts it on record.
async fn on_record(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    confirmed: &client::Installation,
) -> Result<Known, Problem> {
    let known = ready.db().batch(vec![store::known(confirmed.id)]).await?;
    if let Some(row) = first_row(known.into_iter().next()) {
        return Ok(store::read_known(row)?);
    }
    let cx: CallContext = request.trace.call(None);
    let minted = installations::mint(app, confirmed.id, cx).await.map_err(|error| {
        Problem::upstream(
            Code::IdentityAuthorityUnavailable,
            "ChittyID did not mint an identity. The App is installed; begin again at \
             /integrations/github/install later to connect it.",
            &error,
        )
    })?;
    let traceparent = Some(request.trace.traceparent.as_str());
    let described = described(confirmed);
    let put = installations::put_on_record(app, ready, &described, minted.as_str(), traceparent);
    match put.await {
        Ok((known, events)) => {
            outbox::announce(app, events).await;
            Ok(known)
        }
        Err(error) => {
            let reason = "storage_unavailable";
            outbox::report_orphan(app, ready, &minted, "github:app", reason).await;
            Err(error.into())
        }
    }
}

fn described(confirmed: &client::Installation) -> payload::Installation {
    let account = &confirmed.account;
    payload::Installation {
        id: confirmed.id,
        account: Some(payload::Account {
            id: account.id,
            login: account.login.clone(),
            kind: account.kind.clone(),
            avatar_url: account.avatar_url.clone(),
        }),
        repository_selection: Some(confirmed.repository_selection.clone()),
        permissions: Some(confirmed.permissions.clone()),
        events: Some(confirmed.events.clone()),
        created_at: Some(confirmed.created_at.clone()),
        updated_at: Some(confirmed.updated_at.clone()),
        suspended_at: confirmed.suspended_at.clone(),
    }
}

/// Gives an installation to an actor, and tells of it; nothing is told of what is theirs already.
async fn claim(
    app: &App,
    ready: Ready<'_>,
    id: i64,
    chitty_id: &str,
    actor: &str,
    request: &Request<'_>,
) -> Result<Option<Event>, Problem> {
    let payload = json!({ "installation_id": id });
    let traceparent = Some(request.trace.traceparent.as_str());
    let kind = EventKind::AppClaimed;
    let event = Event::new(app.now_ms(), kind, chitty_id, actor, payload, traceparent);
    // By the way back from GitHub that the actor asked for.
    let event = Event { via: Some("github:install".to_owned()), ..event };
    let claim = store::claim(id, actor, &event.id, app.now_ms());
    let overdue_ms = app.config.outbox_overdue_ms;
    let told = outbox::insert_if_changed(&event, overdue_ms, "installations", "chitty_id");
    let changed = ready.db().batch(vec![claim, told]).await?.into_iter().next();
    Ok(first_row(changed).map(|_| event))
}

/// A page, after which the event is announced.
fn telling(page: Reply, event: Option<Event>) -> Reply {
    match event {
        Some(event) => page.then(After::Announce(event)),
        None => page,
    }
}

/// Answer that an installation is for the actor who asked for it.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/integrations/github/confirm",
    operation_id = "githubConfirm",
    tag = "github",
    request_body(content = String, content_type = "application/x-www-form-urlencoded",
        description = "The form of the page that the callback has shown."),
    responses(
        (status = 200, description = "A page: it is theirs.", content_type = "text/html"),
        (status = 403, description = "`installation_refused`: the question is not good any more."),
    ),
))]
pub async fn confirm(app: &App, request: &Request<'_>) -> Outcome {
    match answer(app, request).await {
        Ok(reply) => Ok(reply),
        Err(problem) if page::is_wanted(request) => Ok(page::of_problem(&problem)),
        Err(problem) => Err(problem),
    }
}

async fn answer(app: &App, request: &Request<'_>) -> Outcome {
    let form = request.body_bytes(MAX_FORM_BYTES).await?;
    let question = form_urlencoded::parse(&form).find(|(name, _)| name == "question");
    let question = question.and_then(|(_, text)| opened::<Question>(app, QUESTION, &text));
    let question = question.filter(|question| request.now_ms < question.until_ms);
    let question = question.ok_or_else(|| refused(BEGIN_AGAIN))?;
    let ready = Ready::ensure(app).await?;
    use_once(ready, &question.nonce, question.until_ms).await?;
    let id = question.installation_id;
    let known = ready.db().batch(vec![store::known(id)]).await?;
    let known = first_row(known.into_iter().next()).ok_or_else(|| refused(BEGIN_AGAIN))?;
    let known = store::read_known(known)?;
    let event = claim(app, ready, id, &known.chitty_id, &question.actor, request).await?;
    Ok(telling(page::claimed(&known.chitty_id, &question.actor), event))
}

/// Removes a bounded number of states that are not good any more anyway; the cron runs it.
pub fn prune(now_ms: u64) -> Statement {
    Statement::new(
        "DELETE FROM github_states WHERE nonce IN \
         (SELECT nonce FROM github_states WHERE expires_at <= ?1 LIMIT 500)",
    )
    .bind(time::iso8601(now_ms))
}
