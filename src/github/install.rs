//! Installing the App: sends the user's browser to GitHub, and receives it when it comes back.
//!
//! `GET /integrations/github/install` sends the browser to GitHub with a `state` that only this gateway
//! can make, and that is valid once and for a limited time. GitHub sends the browser back to
//! `GET /integrations/github/callback` with a code, by which the user proves who they are. The gateway
//! believes the callback only as far as GitHub confirms it: that the installation exists, and that this
//! user owns the account that it is on.
//!
//! A caller who begins with a credential asks to own the installation in ChittyOS. The browser that comes
//! back may belong to somebody else, who was given the address. So the gateway asks the browser's user for
//! confirmation before the actor becomes the owner ([`confirm`]).
//!
//! An installation keeps its owner until the owner releases it or it is claimed: a caller who begins with
//! `?claim=true` takes it over, and both are told.

use chitty_core::CallContext;
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{DbError, Statement, first_row};
use seams::{ids, log, time};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::access::caller::{Caller, Permission};
use crate::access::reply::{After, Body, Outcome, Reply};
use crate::app::{App, Settings as _};
use crate::github::client::{self, ErrorKind, GithubError, Ownership};
use crate::github::deliveries::InstallationRecord;
use crate::github::installations::handlers::{UNTOLD, unavailable};
use crate::github::installations::store::{self, Claim, ShownInstallation};
use crate::github::installations::{self};
use crate::github::settings::Settings;
use crate::github::visit::{self, Visit};
use crate::github::{page, payload, uninvited};
use crate::store::event::{Event, EventKind};
use crate::store::minting::MintIntent;
use crate::store::work::{Due, Prune};
use crate::store::{Ready, outbox};

/// How long a state is valid, in ms: the time that a user may spend at GitHub.
const STATE_FOR_MS: u64 = 15 * 60_000;

/// How long a question can be answered, in ms.
const QUESTION_FOR_MS: u64 = 15 * 60_000;

/// The largest form that is read, in bytes.
const MAX_FORM_BYTES: usize = 8 << 10;

/// The places for which states and questions are sealed, so that one cannot be opened as the other.
const STATE: &str = "github/state";
const QUESTION: &str = "github/question";

/// The `state` that goes to GitHub and comes back, sealed.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// Identifies the state, so that its second use is recognised.
    nonce: String,
    /// Until when it is valid, in ms since the Unix epoch.
    until_ms: u64,
    /// The actor who asks for the installation.
    actor: Option<String>,
    /// Whether the actor asks for it even if it has another owner.
    #[serde(default)]
    claims: bool,
}

/// The question that a page asks the browser's user, sealed.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    nonce: String,
    until_ms: u64,
    actor: String,
    installation_id: i64,
    /// The owner of the installation when the question was asked.
    from: Option<String>,
    /// The user's account at GitHub: its number, and its name if the installation is not on that account.
    github: (i64, Option<String>),
}

/// Go to GitHub to install the App.
///
/// With a credential, you become the owner of the installation in ChittyOS. Without one it has no owner,
/// and only administrators see it.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/integrations/github/install",
    operation_id = "githubInstall",
    tag = "github",
    params(
        ("Authorization" = Option<String>, Header, description = "The credential of the actor who is to own the installation."),
        ("claim" = Option<String>, Query, description = "`true` takes the installation over from another owner; both of you are told."),
    ),
    responses(
        (status = 302, description = "A redirection to GitHub.", headers(("Location" = String))),
        (status = 401, description = "`claim` needs a credential."),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn begin(app: &App, request: &Request<'_>) -> Outcome {
    or_page(app, request, to_github(app, request).await)
}

/// Turns an error into a page for a caller that accepts HTML.
fn or_page(app: &App, request: &Request<'_>, outcome: Outcome) -> Outcome {
    match outcome {
        Err(problem) if page::is_wanted(request) => {
            Ok(page::of_problem(&problem, &page::origin(request, &app.config.public_url)))
        }
        outcome => outcome,
    }
}

async fn to_github(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Check that there is an App to install, and read whether the caller claims the installation.
    let client = Settings::of(app).client.as_ref().filter(|_| Settings::of(app).app.is_some());
    let Some(client) = client else { return Err(unconfigured()) };
    let claims = match request.query("claim").as_deref() {
        None => false,
        Some("true") => true,
        Some(_) => return Err(Problem::invalid("?claim", "must be `true`, or left out")),
    };
    // 2. Identify the actor who asks for the installation; a claim needs one.
    let actor = asking_actor(app, request).await?;
    if claims && actor.is_none() {
        let detail = "Send your credential with GET /integrations/github/install?claim=true: it says \
             who claims the installation.";
        return Err(Problem::new(Code::AuthenticationRequired, detail));
    }
    // 3. Seal the state, and send the browser to GitHub with it.
    let nonce = ids::random_hex::<16>();
    let state = State { nonce, until_ms: request.now_ms + STATE_FOR_MS, actor, claims };
    let state = sealed(app, STATE, &state)?;
    let web = &Settings::of(app).web_url;
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

/// Returns the actor who asks for the installation, if the request has a credential.
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

/// Come back from GitHub after installing the App.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/integrations/github/callback",
    operation_id = "githubCallback",
    tag = "github",
    params(
        ("state" = Option<String>, Query, description = "The `state` that the gateway sent to GitHub; missing if the user began at GitHub."),
        ("code" = Option<String>, Query, description = "The code for which GitHub tells the gateway who the user is."),
        ("installation_id" = Option<String>, Query, description = "The number of the installation."),
        ("setup_action" = Option<String>, Query, description = "`install`, `update` or `request`."),
        ("error" = Option<String>, Query, description = "Why GitHub sends the user back without a code: `access_denied` if they cancelled."),
    ),
    responses(
        (status = 200, description = "A page that shows the installation and the next step.", content_type = "text/html"),
        (status = 403, description = "`installation_refused`: the state is no longer valid, or the user does not own the account at GitHub."),
        (status = 409, description = "`installation_owned`: the installation has another owner, and the user did not begin with `claim=true`."),
        (status = 503, description = "`github_unavailable`, `identity_authority_unavailable`: begin again later."),
    ),
))]
pub async fn come_back(app: &App, request: &Request<'_>) -> Outcome {
    or_page(app, request, connect(app, request).await)
}

pub(super) fn refused(detail: &'static str) -> Problem {
    Problem::new(Code::InstallationRefused, detail)
}

pub(super) const BEGIN_AGAIN: &str = "This link back from GitHub is no longer valid: it works once, within 15 \
     minutes. Begin again at /integrations/github/install.";

async fn connect(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Answer a user who comes back without consent, or who has not begun here.
    if Settings::of(app).client.is_none() {
        return Err(unconfigured());
    }
    if let Some(error) = request.query("error") {
        return without_consent(app, request, &error);
    }
    let Some(text) = request.query("state") else {
        return uninvited::come_back(app, request).await;
    };
    // 2. Open the state; it must come back in time and for the first time.
    let state = opened::<State>(app, STATE, &text).ok_or_else(|| refused(BEGIN_AGAIN))?;
    let ready = Ready::ensure(app).await?;
    let is_late = request.now_ms >= state.until_ms;
    if is_late || !use_once(ready, &state.nonce, state.until_ms).await? {
        return used_or_late(app, ready, request, &state, is_late).await;
    }
    if request.query("setup_action").as_deref() == Some("request") {
        return Ok(page::requested(&page::origin(request, &app.config.public_url)));
    }
    // 3. Ask GitHub who the user is, whether the installation exists, and whether they own its account.
    let (confirmed, user) = confirmed(app, request).await?;
    // 4. Record the installation, and fetch its first token.
    let known = on_record(app, ready, request, &confirmed).await?;
    fetch_token(app, ready, confirmed.id).await;
    // 5. Show it if no actor asks for it; refuse it if it has another owner and the actor does not claim it.
    let visit = Visit {
        nonce: state.nonce,
        installation_id: confirmed.id,
        is_update: is_update(request),
        user: user.login.clone(),
        question: None,
    };
    let seen = seen(ready, &confirmed, state.actor.as_deref()).await?;
    let origin = page::origin(request, &app.config.public_url);
    let Some(actor) = state.actor else {
        let page = page::installed(&seen.shown, visit.is_update, &origin);
        return Ok(visit::kept(app, page, &visit));
    };
    let from = seen.shown.owner.as_ref().map(|owner| owner.id.clone());
    if !state.claims && from.as_ref().is_some_and(|owner| *owner != actor) {
        return Err(owned_by_another());
    }
    // 6. Ask a browser's user before the actor becomes the owner.
    let is_own = user.id == confirmed.account.id;
    let github = (user.id, (!is_own).then_some(user.login));
    if visit::is_by_browser(request) {
        let nonce = ids::random_hex::<16>();
        let until_ms = request.now_ms + QUESTION_FOR_MS;
        let installation_id = confirmed.id;
        let question = Question { nonce, until_ms, actor, installation_id, from, github };
        let sealed = sealed(app, QUESTION, &question)?;
        let page = page::question(&seen.shown, &seen.asks(&question.actor), &visit.user, &sealed);
        return Ok(visit::kept(app, page, &Visit { question: Some(sealed), ..visit }));
    }
    // 7. Give it to the actor, with the events, in one batch; reply, and announce the events.
    let claim = Claim {
        id: confirmed.id,
        actor: &actor,
        from: from.as_deref(),
        github: (github.0, github.1.as_deref()),
    };
    let events = transfer(app, ready, &claim, &known.chitty_id, request).await?;
    let seen = self::seen(ready, &confirmed, None).await?;
    Ok(announcing(page::installed(&seen.shown, visit.is_update, &origin), events))
}

/// Whether the user changed the repositories of an installation that existed already.
pub(super) fn is_update(request: &Request<'_>) -> bool {
    request.query("setup_action").as_deref() == Some("update")
}

/// Answers a user who cancelled at GitHub, or whom GitHub could not ask. Nothing has happened, and the state
/// stays valid.
fn without_consent(app: &App, request: &Request<'_>, error: &str) -> Outcome {
    if error == "access_denied" {
        return Ok(page::cancelled(&page::origin(request, &app.config.public_url)));
    }
    log::warn("github_sent_back", &[("error", error.get(..64).unwrap_or("another"))]);
    Err(refused(match error {
        "application_suspended" => {
            "GitHub has suspended this App. Ask the operator of the gateway."
        }
        "redirect_uri_mismatch" => {
            "GitHub knows this App under another callback URL: see docs/github-app.md."
        }
        _ => "GitHub could not ask for your consent. Begin again at /integrations/github/install.",
    }))
}

/// Answers a state that has been used or has expired. The browser that used it sees the outcome again.
async fn used_or_late(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    state: &State,
    is_late: bool,
) -> Outcome {
    if !visit::is_by_browser(request) {
        return Err(refused(BEGIN_AGAIN));
    }
    if let Some(visit) = visit::of(app, request, &state.nonce) {
        return shown_again(app, ready, request, &visit, state.actor.as_deref()).await;
    }
    let origin = page::origin(request, &app.config.public_url);
    match request.query("setup_action").as_deref() {
        Some("request") if !is_late => Ok(page::requested(&origin)),
        _ if is_late => Err(refused(BEGIN_AGAIN)),
        _ => Ok(page::used(&origin)),
    }
}

/// Returns the page of a visit once more: its question while that is open, or else the installation.
pub(super) async fn shown_again(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    visit: &Visit,
    actor: Option<&str>,
) -> Outcome {
    let origin = page::origin(request, &app.config.public_url);
    let Some(seen) = store::seen(ready, visit.installation_id, actor).await? else {
        return Ok(page::used(&origin));
    };
    let asked = visit.question.as_deref().and_then(|text| {
        let question = opened::<Question>(app, QUESTION, text)?;
        (request.now_ms < question.until_ms).then_some((question, text))
    });
    if let Some((question, text)) = asked
        && !is_used(ready, &question.nonce).await?
    {
        let asks = seen.asks(&question.actor);
        return Ok(page::question(&seen.shown, &asks, &visit.user, text));
    }
    Ok(page::installed(&seen.shown, visit.is_update, &origin))
}

/// Fetches the first token of an installation. If that fails, it is fetched when it is needed.
pub(super) async fn fetch_token(app: &App, ready: Ready<'_>, id: i64) {
    if let Err(error) = client::installation_token(app, ready, id).await {
        log::warn("token_not_fetched", &[("error", &error.to_string())]);
    }
}

/// Returns what a page shows of a recorded installation, with the account and the choice of repositories as
/// GitHub has just described them.
pub(super) async fn seen(
    ready: Ready<'_>,
    confirmed: &client::Installation,
    actor: Option<&str>,
) -> Result<ShownInstallation, Problem> {
    let mut seen = store::seen(ready, confirmed.id, actor).await?.ok_or(DbError::Shape)?;
    seen.shown.account.clone_from(&confirmed.account.login);
    seen.shown.repository_selection.clone_from(&confirmed.repository_selection);
    Ok(seen)
}

/// Returns the refusal of an installation that has another owner.
fn owned_by_another() -> Problem {
    Problem::new(
        Code::InstallationOwned,
        "The installation belongs to another actor in ChittyOS, and stays theirs until they release \
         it. You own its account at GitHub: to take it over, begin at \
         /integrations/github/install?claim=true. Both of you are told then.",
    )
}

/// Marks a nonce as used. Returns whether this is its first use.
async fn use_once(ready: Ready<'_>, nonce: &str, until_ms: u64) -> Result<bool, Problem> {
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
async fn is_used(ready: Ready<'_>, nonce: &str) -> Result<bool, DbError> {
    let query = Statement::new("SELECT 1 AS used FROM github_states WHERE nonce = ?1").bind(nonce);
    Ok(!ready.db().rows(query).await?.is_empty())
}

/// Returns the installation that the user comes back from, and the user's account at GitHub. Refuses a user
/// who does not own the installation's account.
async fn confirmed(
    app: &App,
    request: &Request<'_>,
) -> Result<(client::Installation, client::Account), Problem> {
    let (installation, user, ownership) =
        found(app, request).await.map_err(|error| match error {
            NotFound::Refused => refused(
                "GitHub did not accept the code. Begin again at /integrations/github/install.",
            ),
            NotFound::Problem(problem) => problem,
        })?;
    match ownership {
        Ownership::Owned => Ok((installation, user)),
        Ownership::NotOwned | Ownership::Unseen => Err(not_owned()),
        Ownership::Untold => Err(refused(UNTOLD)),
    }
}

/// Returns the refusal of a user who does not own the account.
pub(super) fn not_owned() -> Problem {
    refused(
        "At GitHub you do not own the account of this installation, even if you administer some of \
         its repositories. Ask an owner of the organization.",
    )
}

/// Why the gateway could not find the installation or the user.
pub(super) enum NotFound {
    /// GitHub does not accept the code: it was used, or it is not a code.
    Refused,
    /// Any other reason.
    Problem(Problem),
}

/// Returns the installation that the user comes back from, the user's account at GitHub, and whether the
/// user owns the installation's account.
pub(super) async fn found(
    app: &App,
    request: &Request<'_>,
) -> Result<(client::Installation, client::Account, Ownership), NotFound> {
    let id = request.query("installation_id").and_then(|id| id.parse::<i64>().ok());
    let (Some(id), Some(code)) = (id, request.query("code")) else {
        return Err(NotFound::Problem(refused(
            "GitHub sent no installation or no code. The App must be set to request user \
             authorization during installation: see docs/github-app.md.",
        )));
    };
    let not_found = |error: GithubError| match error.kind {
        ErrorKind::NotFound => {
            NotFound::Problem(refused("GitHub has no such installation of this App."))
        }
        ErrorKind::Refused | ErrorKind::Invalid => NotFound::Refused,
        _ => NotFound::Problem(unavailable(&error)),
    };
    let token = client::exchange_code(app, &code).await.map_err(not_found)?;
    let user = client::user(app, &token).await.map_err(not_found)?;
    let installation = client::installation(app, id).await.map_err(not_found)?;
    let ownership =
        client::ownership(app, &token, &user, &installation).await.map_err(not_found)?;
    Ok((installation, user, ownership))
}

/// Returns the record of an installation. If there is none, mints the installation's identity and records it.
pub(super) async fn on_record(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    confirmed: &client::Installation,
) -> Result<InstallationRecord, Problem> {
    let known = ready.db().batch(vec![store::known(confirmed.id)]).await?;
    if let Some(row) = first_row(known.into_iter().next()) {
        return Ok(store::read_known(row)?);
    }
    let cx: CallContext = request.trace.call(None);
    let intent = MintIntent::new(app, "github_installation", "github:app");
    ready.db().batch(vec![intent.record()]).await?;
    let minted = installations::mint(app, ready, confirmed.id, cx, &intent).await;
    let minted = minted.map_err(|error| {
        Problem::upstream(
            Code::IdentityAuthorityUnavailable,
            "ChittyID did not mint an identity. The App is installed; begin again at \
             /integrations/github/install later to connect it.",
            &error,
        )
    })?;
    let traceparent = Some(request.trace.traceparent.as_str());
    let described = described(confirmed);
    let id = minted.as_str();
    let put =
        installations::put_on_record(app, ready, &described, id, Some(&intent), traceparent).await;
    match put {
        Ok((known, events)) => {
            outbox::announce(app, events).await;
            Ok(known)
        }
        Err(error) => {
            // A batch that was not answered may have been committed: then the id is in use.
            let kept = ready.db().batch(vec![store::known(confirmed.id)]).await;
            match kept.map(|results| first_row(results.into_iter().next()).map(store::read_known)) {
                Ok(Some(Ok(known))) if known.chitty_id == id => Ok(known),
                _ => {
                    intent.orphaned(app, ready, &minted, "storage_unavailable").await;
                    Err(error.into())
                }
            }
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

/// Gives an installation to an actor. Returns the events for the actor and the former owner, and none if the
/// actor owns the installation already.
async fn transfer(
    app: &App,
    ready: Ready<'_>,
    claim: &Claim<'_>,
    chitty_id: &str,
    request: &Request<'_>,
) -> Result<Vec<Event>, Problem> {
    let (now_ms, overdue_ms) = (app.now_ms(), app.config.outbox_overdue_ms);
    let traceparent = Some(request.trace.traceparent.as_str());
    let from = claim.from.filter(|from| *from != claim.actor);
    let mut payload = json!({ "installation_id": claim.id });
    if let (Some(payload), Some(from)) = (payload.as_object_mut(), from) {
        payload.insert("from".to_owned(), from.into());
    }
    let kind = EventKind::AppClaimed;
    // The actor acts through the callback from GitHub, which has no credential.
    let by_callback = |event| Event { via: Some("github:install".to_owned()), ..event };
    let claimed = Event::new(now_ms, kind, chitty_id, claim.actor, payload, traceparent);
    let claimed = by_callback(claimed);
    let lost = from.map(|from| {
        let payload = json!({ "installation_id": claim.id, "chitty_id": chitty_id });
        let kind = EventKind::InstallationLost;
        by_callback(Event::new(now_ms, kind, from, claim.actor, payload, traceparent))
    });
    let mut statements = vec![
        store::claim(claim, &claimed.id, now_ms),
        store::owner(claim.id),
        outbox::insert_if_changed(&claimed, overdue_ms, "installations", "chitty_id"),
    ];
    let table = "installations";
    let beside = |lost| outbox::insert_beside(lost, overdue_ms, &claimed, table, "chitty_id");
    statements.extend(lost.as_ref().map(beside));
    let mut results = ready.db().batch(statements).await?.into_iter();
    let has_changed = results.next().is_some_and(|rows| !rows.is_empty());
    let owner = store::read_owner(results.next().unwrap_or_default())?;
    match owner.as_deref() {
        Some(owner) if owner == claim.actor && has_changed => {
            Ok(std::iter::once(claimed).chain(lost).collect())
        }
        Some(owner) if owner == claim.actor => Ok(Vec::new()),
        owner if owner == claim.from => Err(Problem::new(
            Code::ActorSuspended,
            "The actor who asked for the installation is suspended. Ask an administrator.",
        )),
        // The owner has changed since the claim was made.
        _ => Err(owned_by_another()),
    }
}

/// Returns the page, after which the events are announced.
fn announcing(page: Reply, events: Vec<Event>) -> Reply {
    events.into_iter().fold(page, |page, event| page.then(After::Announce(event)))
}

/// Confirm that the actor who asked for an installation is to own it.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/integrations/github/confirm",
    operation_id = "githubConfirm",
    tag = "github",
    request_body(content = String, content_type = "application/x-www-form-urlencoded",
        description = "The form of the page that the callback showed."),
    responses(
        (status = 200, description = "A page: the actor owns the installation.", content_type = "text/html"),
        (status = 403, description = "`installation_refused`: the question is no longer valid."),
        (status = 409, description = "`installation_owned`: the owner has changed since the question was asked."),
    ),
))]
pub async fn confirm(app: &App, request: &Request<'_>) -> Outcome {
    or_page(app, request, answer(app, request).await)
}

async fn answer(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Open the question; its answer must come in time.
    let form = request.body_bytes(MAX_FORM_BYTES).await?;
    let question = form_urlencoded::parse(&form).find(|(name, _)| name == "question");
    let question = question.and_then(|(_, text)| opened::<Question>(app, QUESTION, &text));
    let question = question.filter(|question| request.now_ms < question.until_ms);
    let question = question.ok_or_else(|| refused(BEGIN_AGAIN))?;
    // 2. Mark the question as answered; to a repeat, show the outcome again.
    let ready = Ready::ensure(app).await?;
    let id = question.installation_id;
    if !use_once(ready, &question.nonce, question.until_ms).await? {
        return answered_before(app, ready, request, &question).await;
    }
    // 3. Give the installation to the actor, with the events, in one batch.
    let known = ready.db().batch(vec![store::known(id)]).await?;
    let known = first_row(known.into_iter().next()).ok_or_else(|| refused(BEGIN_AGAIN))?;
    let known = store::read_known(known)?;
    let (github_id, github_login) = &question.github;
    let claim = Claim {
        id,
        actor: &question.actor,
        from: question.from.as_deref(),
        github: (*github_id, github_login.as_deref()),
    };
    let events = transfer(app, ready, &claim, &known.chitty_id, request).await?;
    // 4. Reply with the page, and announce the events.
    let seen = store::seen(ready, id, None).await?.ok_or(DbError::Shape)?;
    let origin = page::origin(request, &app.config.public_url);
    Ok(announcing(page::claimed(&seen.shown, &origin), events))
}

/// Answers a question that has been answered before: the browser sees the outcome again.
async fn answered_before(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    question: &Question,
) -> Outcome {
    let seen = store::seen(ready, question.installation_id, None).await?;
    let is_theirs = |seen: &ShownInstallation| {
        seen.shown.owner.as_ref().is_some_and(|owner| owner.id == question.actor)
    };
    match seen.filter(is_theirs) {
        Some(seen) if visit::is_by_browser(request) => {
            Ok(page::claimed(&seen.shown, &page::origin(request, &app.config.public_url)))
        }
        _ => Err(refused(BEGIN_AGAIN)),
    }
}

/// The states that have expired.
pub fn prune(now_ms: u64) -> Prune {
    Due::all("github_states", &["nonce"], "expires_at").prune(now_ms, 0, 500)
}
