//! `/v1/github/installations`: where the App is installed.

use github_client::{ErrorKind, GithubError, Ownership};
use http_kit::paging::{self, Cursor};
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::log;
use serde_json::json;

use crate::access::caller::Scope;
use crate::access::listing::PageRequest;
use crate::access::reply::{After, Outcome, Reply};
use crate::app::App;
use crate::github::as_installation;
use crate::github::installations::store;
use crate::store::event::{Event, EventKind};
use crate::store::{Ready, outbox};

#[cfg(not(target_family = "wasm"))]
use crate::github::views::{
    InstallationListView, InstallationReleaseView, InstallationView, RepositoryListView,
};

/// List your installations of the GitHub App, newest first, including uninstalled ones.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/github/installations",
    operation_id = "githubInstallationsList",
    tag = "github",
    params(
        ("owner" = Option<String>, Query, description = "`all` lists the installations of every owner, and those without an owner. Administrators only."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = InstallationListView, headers(("Link" = String))),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn list(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let asked = PageRequest::of(request)?;
    let page = match request.query("owner").as_deref() {
        None => store::list(ready, &scope, false, asked).await?,
        Some("all") => store::list(ready, &scope.demanding_admin(), true, asked).await?,
        Some(_) => return Err(Problem::invalid("?owner", "must be `all`, or left out")),
    };
    Ok(page.reply(request, "installations", &[]))
}

/// Read an installation, by its number or its ChittyID.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/github/installations/{id}",
    operation_id = "githubInstallationsShow",
    tag = "github",
    params(("id" = String, Path, description = "GitHub's number of the installation, or its ChittyID.")),
    responses(
        (status = 200, description = "The installation.", body = InstallationView),
        (status = 404, description = "You have no such installation."),
    ),
))]
pub async fn show(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let found = store::get(ready, &scope, &request.id).await?;
    found.map(|found| Reply::json(found.document)).ok_or_else(|| Problem::not_found("installation"))
}

/// List the repositories of an installation, as GitHub has them now.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/github/installations/{id}/repositories",
    operation_id = "githubInstallationsRepositories",
    tag = "github",
    params(
        ("id" = String, Path, description = "GitHub's number of the installation, or its ChittyID."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = RepositoryListView, headers(("Link" = String))),
        (status = 403, description = "`installation_refused`: you do not own the organization at GitHub, or the gateway cannot find out whether you do."),
        (status = 404, description = "You have no such installation."),
        (status = 409, description = "`installation_inactive`: the installation is suspended or uninstalled."),
        (status = 503, description = "`github_unavailable`: GitHub did not answer."),
    ),
))]
pub async fn repositories(
    app: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Outcome {
    // 1. Read which page to list.
    let limit = paging::limit(request, paging::MAX_LIMIT)?;
    let page = page(request)?;
    // 2. Find the installation, and refuse one that is suspended or uninstalled.
    let found = store::get(ready, &scope, &request.id).await?;
    let found = found.ok_or_else(|| Problem::not_found("installation"))?;
    if !found.is_live {
        return Err(inactive());
    }
    // 3. List its repositories at GitHub, and check that the owner still owns the organization there.
    let per_page = u32::try_from(limit).unwrap_or(100);
    let listed = as_installation(app, ready, found.id).repositories(page, per_page).await;
    let listed = listed.map_err(|error| unavailable(&error))?;
    if !found.by_admin {
        still_owned(app, ready, &found).await?;
    }
    // 4. Reply, with the cursor of the next page.
    let next = listed.has_more.then(|| Cursor([(page + 1).to_string()]).encode(request));
    let text = json!({
        "repositories": listed.items,
        "count": listed.items.len(),
        "total_count": listed.total_count,
        "next_cursor": next,
    });
    let reply = Reply::json(text.to_string());
    Ok(match next {
        Some(cursor) => reply.header("link", paging::next_link(request, &cursor)),
        None => reply,
    })
}

/// Checks that the owner of an installation still owns its organization at GitHub, and so may see all of its
/// repositories. An installation on the owner's own account needs no check.
async fn still_owned(
    app: &App,
    ready: Ready<'_>,
    found: &store::InstallationRow,
) -> Result<(), Problem> {
    let Some(organization) = &found.organization else { return Ok(()) };
    let refused = |detail: &'static str| Err(Problem::new(Code::InstallationRefused, detail));
    let (id, login) = match &found.github {
        Some((id, Some(login))) => (id, login),
        // No login is noted of an owner whose own account it is.
        Some((_, None)) => return Ok(()),
        None => {
            return refused(
                "Your account at GitHub was not noted when you claimed this installation. Begin again \
                 at /integrations/github/install; the installation stays yours.",
            );
        }
    };
    let user = (*id, login.as_str());
    let installation = as_installation(app, ready, found.id);
    let ownership = installation.organization_ownership(organization, user).await;
    match ownership.map_err(|error| unavailable(&error))? {
        Ownership::Owned => Ok(()),
        Ownership::NotOwned | Ownership::Unseen => refused(
            "At GitHub you do not own this organization. If your name there has changed, begin again \
             at /integrations/github/install.",
        ),
        Ownership::Untold => refused(UNTOLD),
    }
}

/// The error detail if GitHub does not say who owns an organization.
pub const UNTOLD: &str = "GitHub does not say who owns this organization: the App needs its permission \
     `Members: read`. Accept the App's new permissions in the settings of the organization, then try again.";

/// Release an installation: it has no owner then, and an owner of its account at GitHub may claim it.
///
/// Administrators may release it for its owner, who is told.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    delete,
    path = "/v1/github/installations/{id}/owner",
    operation_id = "githubInstallationsRelease",
    tag = "github",
    params(("id" = String, Path, description = "GitHub's number of the installation, or its ChittyID.")),
    responses(
        (status = 200, description = "The installation has no owner; it may have had none before.", body = InstallationReleaseView),
        (status = 404, description = "You have no such installation."),
    ),
))]
pub async fn release(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Find the installation, which a delegated token cannot release.
    scope.not_delegated(ready).await?;
    let found = store::get(ready, &scope, &request.id).await?;
    let found = found.ok_or_else(|| Problem::not_found("installation"))?;
    let text = json!({
        "success": true, "message": "The installation has no owner", "installation_id": found.id,
        "chitty_id": found.chitty_id,
    });
    let reply = Reply::json(text.to_string());
    // 2. Reply at once if it has no owner.
    let Some(owner) = &found.owner else {
        scope.check(ready).await?;
        return Ok(reply);
    };
    // 3. Release it in one batch with its event and, for an owner who is not the caller, another.
    let (now_ms, overdue_ms) = (app.now_ms(), app.config.outbox_overdue_ms);
    let payload = json!({ "installation_id": found.id, "from": owner });
    let kind = EventKind::AppReleased;
    let event = Event::caused(request, &scope, kind, &found.chitty_id, payload, now_ms);
    let mut statements = vec![
        store::release(found.id, owner, event.id.as_str(), now_ms),
        outbox::insert_if_changed(&event, overdue_ms, "installations", "chitty_id"),
    ];
    let is_own = owner == scope.actor();
    let mut events = vec![event];
    if !is_own && let Some(first) = events.first() {
        let payload = json!({ "installation_id": found.id, "chitty_id": found.chitty_id });
        let kind = EventKind::InstallationLost;
        let lost = Event::caused(request, &scope, kind, owner, payload, now_ms);
        statements.push(outbox::insert_beside(
            &lost,
            overdue_ms,
            first,
            "installations",
            "chitty_id",
        ));
        events.push(lost);
    }
    let scope = if is_own { scope } else { scope.demanding_admin() };
    let released = scope.write(ready, statements).await?.into_iter().next();
    if released.is_none_or(|rows| rows.is_empty()) {
        // Another actor has claimed it in the meantime.
        return Err(Problem::not_found("installation"));
    }
    // 4. Reply, and announce the events.
    Ok(events.into_iter().fold(reply, |reply, event| reply.then(After::Announce(event))))
}

/// Reads the number of the page from the cursor. GitHub counts pages from 1.
fn page(request: &Request<'_>) -> Result<u32, Problem> {
    let Some(Cursor([page])) = Cursor::of(request)? else { return Ok(1) };
    page.parse().ok().filter(|page| *page > 0).ok_or_else(paging::invalid_cursor)
}

fn inactive() -> Problem {
    Problem::new(
        Code::InstallationInactive,
        "The installation is suspended or uninstalled. Install the App again, or unsuspend it \
         on its settings page at GitHub.",
    )
}

/// Returns the problem for a call to GitHub that failed.
pub fn unavailable(error: &GithubError) -> Problem {
    log::warn("github_failed", &[("error", &error.to_string())]);
    if error.kind == ErrorKind::NotConfigured {
        return Problem::new(
            Code::NotReady,
            "This gateway has no GitHub App; GET /health lists what is missing.",
        );
    }
    // GitHub no longer has the installation; its webhook will report that soon.
    if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Refused) {
        return inactive();
    }
    let problem = Problem::new(
        Code::GithubUnavailable,
        "GitHub did not answer, or its answer was not usable. Repeat the request later.",
    );
    match error.retry_after_s {
        Some(seconds) => problem.retry_after(seconds.clamp(1, 3600)),
        None => problem,
    }
}
