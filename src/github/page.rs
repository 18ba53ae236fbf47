//! The few pages that a person sees after coming back from GitHub: the state of the installation, and what to
//! do next. Plain HTML without scripts; every value is escaped.

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;

use crate::access::reply::{Body, Reply};

/// The page loads and runs nothing, cannot be framed, and submits its one form to this gateway only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = "body{font:16px/1.55 system-ui,sans-serif;max-width:40rem;margin:12vh auto;\
     padding:0 1.5rem;color:#1f2328;background:#fff}h1{font-size:1.6rem;margin:0 0 1rem}\
     h2{font-size:1rem;margin:2rem 0 .5rem}.brand{color:#59636e;font-size:.9rem;margin:0 0 .5rem}\
     code{background:#eef1f4;padding:0 .35em;border-radius:4px;overflow-wrap:anywhere;\
     font-size:.9em;-webkit-box-decoration-break:clone;box-decoration-break:clone}.id{white-space:nowrap}pre{background:#eef1f4;padding:.8rem 1rem;border-radius:6px;\
     overflow-x:auto}pre code{padding:0;overflow-wrap:normal}small{color:#59636e}\
     button{font:inherit;font-weight:600;padding:.5rem 1.2rem;border:0;border-radius:6px;\
     background:#1a7f37;color:#fff;cursor:pointer}li{margin:.4rem 0}\
     @media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}\
     code,pre{background:#21262d}small,.brand{color:#9198a1}}";

/// Whether the caller accepts HTML pages.
pub fn is_wanted(request: &Request<'_>) -> bool {
    request.header("accept").is_some_and(|accept| accept.contains("text/html"))
}

/// Returns the origin under which the caller reaches this gateway.
pub fn origin(request: &Request<'_>, public_url: &str) -> String {
    let scheme = if public_url.starts_with("http:") { "http" } else { "https" };
    let host = request.header("host").filter(|host| !host.is_empty());
    host.map_or_else(|| public_url.to_owned(), |host| format!("{scheme}://{host}"))
}

/// The path at which installing the App begins, and the query for taking an installation over.
const BEGIN: &str = "/integrations/github/install";
const CLAIM: &str = "?claim=true";

/// An actor of ChittyOS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their ChittyID.
    pub id: String,
    /// Their name, here or at GitHub.
    pub name: Option<String>,
}

impl Person {
    /// Returns the name, with the ChittyID in small print beside it, because anybody may choose any name.
    fn html(&self) -> String {
        let id = escaped(&self.id);
        match &self.name {
            Some(name) => {
                format!(
                    "<strong>{}</strong> <small class=\"id\">(<code>{id}</code>)</small>",
                    escaped(name)
                )
            }
            None => format!("the identity <code class=\"id\">{id}</code>"),
        }
    }
}

/// The facts of an installation that pages show.
#[derive(Debug, Clone)]
pub struct InstallationFacts {
    /// The name of the GitHub account that it is installed on.
    pub account: String,
    /// Its ChittyID.
    pub chitty_id: String,
    /// `all` or `selected`.
    pub repository_selection: String,
    /// Its owner in ChittyOS.
    pub owner: Option<Person>,
}

impl InstallationFacts {
    fn html(&self) -> String {
        let (account, id) = (escaped(&self.account), escaped(&self.chitty_id));
        let repositories = match self.repository_selection.as_str() {
            "all" => "all its repositories",
            _ => "the repositories that were selected",
        };
        format!(
            "<p>The App is installed on <strong>{account}</strong> and gets events of {repositories}. The \
             ChittyID of the installation is <code class=\"id\">{id}</code>.</p>"
        )
    }

    /// Returns the next step for its owner.
    fn next(&self, origin: &str) -> String {
        format!(
            "<h2>Next</h2><p>See what happens there, with your ChittyOS token:</p>\
             <pre><code>curl -s '{}/v1/events?entity={}' \\\n  \
             -H \"Authorization: Bearer $TOKEN\"</code></pre>\
             <p>You can close this page.</p>",
            escaped(origin),
            escaped(&self.chitty_id)
        )
    }
}

/// Escapes a text for an HTML element or a quoted attribute.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

fn page(status: u16, title: &str, body: &str) -> Reply {
    let title = escaped(title);
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} · ChittyConnect</title>\
         <style>{STYLE}</style></head><body><p class=\"brand\">ChittyConnect at GitHub</p>\
         <h1>{title}</h1>{body}</body></html>"
    );
    Reply::new(status, Body::Text { content_type: "text/html; charset=utf-8", text })
        .header("content-security-policy", POLICY)
        // The address of the page holds a code.
        .header("referrer-policy", "no-referrer")
}

/// Returns the steps by which somebody becomes the owner of an installation in ChittyOS.
fn how_to_have(origin: &str) -> String {
    format!("<h2>Next</h2>{}", way(origin, ""))
}

/// Returns the steps of installing the App, with `query` added to the address.
fn way(origin: &str, query: &str) -> String {
    format!(
        "<ol><li>Ask for the address at GitHub, with your ChittyOS token:\
         <pre><code>curl -s -o /dev/null -w '%{{redirect_url}}\\n' \\\n  \
         '{}{BEGIN}{query}' \\\n  -H \"Authorization: Bearer $TOKEN\"</code></pre></li>\
         <li>Open the address that it prints in this browser, and confirm that it is you.</li></ol>",
        escaped(origin)
    )
}

/// The page after the App was installed, or after the choice of its repositories was changed.
pub fn installed(shown: &InstallationFacts, is_update: bool, origin: &str) -> Reply {
    let (whose, next) = match &shown.owner {
        Some(owner) => (owner.html(), shown.next(origin)),
        None => (
            "nobody yet, so only administrators see what happens there".to_owned(),
            how_to_have(origin),
        ),
    };
    let body = format!("{}<p>In ChittyOS it belongs to {whose}.</p>{next}", shown.html());
    page(200, if is_update { "Saved" } else { "Installed" }, &body)
}

/// The page for somebody who has installed the App but may not own the installation.
pub fn installed_for_owner(is_update: bool, origin: &str) -> Reply {
    let body = format!(
        "<p>The App is installed at GitHub. In ChittyOS an installation belongs to somebody who owns its \
         account at GitHub: the user, or an owner of the organization. Pass this on to them.</p>{}",
        how_to_have(origin)
    );
    page(200, if is_update { "Saved" } else { "Installed" }, &body)
}

/// The page if GitHub does not say who has come back.
pub fn saved(is_update: bool, origin: &str) -> Reply {
    let said = if is_update { "your change is saved" } else { "the App is installed" };
    let body = format!(
        "<p>GitHub says that {said}. Events of the repositories arrive here by themselves. The owner \
         of the installation in ChittyOS has not changed; a new installation has none.</p>{}",
        how_to_have(origin)
    );
    page(200, if is_update { "Saved" } else { "Installed" }, &body)
}

/// The page that asks whether the browser's user is the actor who asked for the installation.
pub fn question(shown: &InstallationFacts, asks: &Person, user: &str, question: &str) -> Reply {
    let from = shown
        .owner
        .as_ref()
        .filter(|owner| owner.id != asks.id)
        .map(|owner| format!(" It belongs to {} now, who loses it and is told.", owner.html()));
    let from = from.unwrap_or_default();
    let body = format!(
        "{}<p>In ChittyOS {} asks to own it, and so to see its repositories and its events.{from}</p>\
         <p>At GitHub you are <strong>{}</strong>. If you did not ask for this, close this page, and nothing \
         changes.</p>\
         <form method=\"post\" action=\"/integrations/github/confirm\">\
         <input type=\"hidden\" name=\"question\" value=\"{}\">\
         <button>Yes, that is me</button></form>",
        shown.html(),
        asks.html(),
        escaped(user),
        escaped(question)
    );
    page(200, "Is this you?", &body)
}

/// The page after the actor who asked for the installation has become its owner.
pub fn claimed(shown: &InstallationFacts, origin: &str) -> Reply {
    let whose = shown.owner.as_ref().map(Person::html).unwrap_or_default();
    let body =
        format!("{}<p>In ChittyOS it belongs to {whose}.</p>{}", shown.html(), shown.next(origin));
    page(200, "Connected", &body)
}

/// The page after GitHub has asked an owner of the account to install the App.
pub fn requested(origin: &str) -> Reply {
    let body = format!(
        "<p>GitHub has asked an owner of the account to install the App. Nothing is installed until they \
         agree.</p><p>When they have agreed, an owner of the account can own the installation in \
         ChittyOS too. Pass this on to them.</p>{}",
        how_to_have(origin)
    );
    page(200, "Requested", &body)
}

/// The page after the user cancelled at GitHub.
pub fn cancelled(origin: &str) -> Reply {
    let body = format!(
        "<p>You cancelled at GitHub, so nothing was changed here. If the App is installed there, its owner \
         in ChittyOS stays the same. You can remove it at GitHub under Settings → Applications.</p>\
         <h2>Next</h2><p>If you change your mind, begin again:</p>{}",
        way(origin, "")
    );
    page(200, "Cancelled", &body)
}

/// The page for a link back from GitHub that another browser has used.
pub fn used(origin: &str) -> Reply {
    let body = format!(
        "<p>This link back from GitHub has been used, and each works once. If a page said that the App is \
         installed or connected, it is, and nothing is left to do.</p>\
         <h2>To see what you have</h2><pre><code>curl -s '{}/v1/github/installations' \\\n  \
         -H \"Authorization: Bearer $TOKEN\"</code></pre><h2>To begin again</h2>{}",
        escaped(origin),
        way(origin, "")
    );
    page(200, "Used already", &body)
}

/// The page of an error.
pub fn of_problem(problem: &Problem, origin: &str) -> Reply {
    let detail = match problem.code {
        // The problem's own detail speaks of requests and their headers.
        Code::StorageUnavailable => "The gateway's own storage did not answer.",
        _ => &problem.detail,
    };
    // A detail that says to begin again gets the steps.
    let begin = match (detail.contains(BEGIN), detail.contains(CLAIM)) {
        (true, true) => format!("<h2>To take it over</h2>{}", way(origin, CLAIM)),
        (true, false) => format!("<h2>To begin again</h2>{}", way(origin, "")),
        (false, _) => String::new(),
    };
    let next = match (problem.code, problem.code.status()) {
        // Trying again is in vain until somebody has configured the App.
        (Code::NotReady, _) => String::new(),
        (_, 503) if begin.is_empty() => {
            format!("<h2>Next</h2><p>Begin again in a minute.</p>{}", way(origin, ""))
        }
        // The gateway may have changed something before it failed.
        (_, 500..) => String::new(),
        _ => "<p>Nothing was changed in ChittyOS.</p>".to_owned(),
    };
    let detail = match problem.errors() {
        [] => format!("<p>{}</p>", with_addresses(&escaped(detail), origin)),
        errors => errors
            .iter()
            .map(|error| {
                let (pointer, detail) = (escaped(&error.pointer), escaped(&error.detail));
                format!("<p><code>{pointer}</code> {}</p>", with_addresses(&detail, origin))
            })
            .collect(),
    };
    let body = format!("{detail}{next}{begin}");
    let page = page(problem.code.status(), problem.code.title(), &body);
    let page = match problem.seconds_to_wait() {
        Some(seconds) => page.header("retry-after", seconds.to_string()),
        None => page,
    };
    match problem.code.status() {
        // A 401 must have a challenge (RFC 9110 §15.5.2).
        401 => page.header("www-authenticate", "Bearer realm=\"chittyconnect\""),
        _ => page,
    }
}

/// Replaces the paths of this gateway in an error's text by full addresses that can be copied.
fn with_addresses(text: &str, origin: &str) -> String {
    let mut html = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let query = after.strip_prefix(CLAIM).map_or("", |_| CLAIM);
        html.push_str(&format!("{before}<code>{}{BEGIN}{query}</code>", escaped(origin)));
        rest = after.strip_prefix(query).unwrap_or(after);
    }
    html + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_an_error_has_full_addresses_and_claims_nothing_false() {
        let page = |code, detail: &'static str| {
            let reply = of_problem(&Problem::new(code, detail), "http://host");
            reply.body.text().unwrap().to_owned()
        };
        let owned = page(
            Code::InstallationOwned,
            "Take it over at /integrations/github/install?claim=true. Or at /integrations/github/install.",
        );
        assert!(
            owned.contains("at <code>http://host/integrations/github/install?claim=true</code>.")
        );
        assert!(
            owned.contains("at <code>http://host/integrations/github/install</code>."),
            "{owned}"
        );
        assert!(
            owned.contains("Nothing was changed in ChittyOS.") && owned.contains("To take it over")
        );
        let down = page(Code::GithubUnavailable, "GitHub did not answer.");
        assert!(down.contains("Begin again in a minute") && !down.contains("Nothing was changed"));
        let storage =
            page(Code::StorageUnavailable, "With an Idempotency-Key it is safe to repeat.");
        assert!(storage.contains("in a minute") && !storage.contains("Idempotency"), "{storage}");
        let invalid = of_problem(&Problem::invalid("?claim", "must be `true`"), "http://host");
        assert!(invalid.body.text().unwrap().contains("<code>?claim</code> must be `true`"));
        for code in [Code::NotReady, Code::Internal] {
            let text = page(code, "d");
            assert!(!text.contains("in a minute") && !text.contains("Nothing was"), "{text}");
        }
    }

    #[test]
    fn no_value_becomes_part_of_the_page() {
        let evil = "<script>alert('1')</script>\"&";
        let person =
            |name: Option<&str>| Person { id: evil.to_owned(), name: name.map(str::to_owned) };
        let shown = |owner| InstallationFacts {
            account: evil.to_owned(),
            chitty_id: evil.to_owned(),
            repository_selection: evil.to_owned(),
            owner,
        };
        for reply in [
            installed(&shown(Some(person(Some(evil)))), false, evil),
            installed(&shown(None), true, evil),
            installed_for_owner(false, evil),
            saved(true, evil),
            question(&shown(None), &person(None), evil, evil),
            question(&shown(Some(person(Some("me")))), &person(Some(evil)), evil, evil),
            claimed(&shown(Some(person(None))), evil),
            cancelled(evil),
            requested(evil),
            used(evil),
            of_problem(
                &Problem::new(
                    Code::InstallationOwned,
                    format!("{evil} /integrations/github/install"),
                ),
                evil,
            ),
        ] {
            let text = reply.body.text().unwrap();
            assert!(!text.contains("<script") && !text.contains("'1'"), "{text}");
            assert!(text.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;"));
            assert!(reply.header_value("content-security-policy").is_some());
        }
    }

    #[test]
    fn a_person_is_shown_by_name_or_else_by_chitty_id() {
        let person = Person { id: "03-1".to_owned(), name: Some("Alice".to_owned()) };
        assert!(person.html().starts_with("<strong>Alice</strong> <small"), "{}", person.html());
        assert_eq!(
            Person { name: None, ..person }.html(),
            "the identity <code class=\"id\">03-1</code>"
        );
    }
}
