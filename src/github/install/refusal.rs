//! The refusals of a user who installs the App: each says what is wrong, and where to begin again.

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;

use crate::access::reply::Outcome;
use crate::app::App;
use crate::github::page;

/// Turns an error into a page for a caller that accepts HTML.
pub(super) fn or_page(app: &App, request: &Request<'_>, outcome: Outcome) -> Outcome {
    match outcome {
        Err(problem) if page::is_wanted(request) => {
            Ok(page::of_problem(&problem, &page::origin(request, &app.config.public_url)))
        }
        outcome => outcome,
    }
}

pub(super) fn unconfigured() -> Problem {
    Problem::new(
        Code::NotReady,
        "This gateway has no GitHub App; GET /health lists what is missing, and \
         docs/github-app.md says how to make one.",
    )
}

pub(crate) fn refused(detail: &'static str) -> Problem {
    Problem::new(Code::InstallationRefused, detail)
}

pub(crate) const BEGIN_AGAIN: &str = "This link back from GitHub is no longer valid: it works once, within 15 \
     minutes. Begin again at /integrations/github/install.";

/// Returns the refusal of a user who does not own the account.
pub(crate) fn not_owned() -> Problem {
    refused(
        "At GitHub you do not own the account of this installation, even if you administer some of \
         its repositories. Ask an owner of the organization.",
    )
}

/// Returns the refusal of an installation that has another owner.
pub(super) fn owned_by_another() -> Problem {
    Problem::new(
        Code::InstallationOwned,
        "The installation belongs to another actor in ChittyOS, and stays theirs until they release \
         it. You own its account at GitHub: to take it over, begin at \
         /integrations/github/install?claim=true. Both of you are told then.",
    )
}
