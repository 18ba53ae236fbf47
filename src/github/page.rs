//! The few pages that a person sees on the way back from GitHub. Plain HTML without scripts; every value
//! is escaped.

use std::fmt::Write;

use crate::http::problem::Problem;
use crate::http::reply::{Body, Reply};
use crate::http::request::Request;

/// Nothing is loaded or run, nobody frames it, and its one form comes back here.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:38rem;margin:12vh auto;\
     padding:0 1.5rem;color:#1f2328;background:#fff}h1{font-size:1.6rem;margin-bottom:.5rem}\
     code{background:#eef1f4;padding:.1em .35em;border-radius:4px;overflow-wrap:anywhere}\
     button{font:inherit;padding:.5rem 1.2rem;border:0;border-radius:6px;background:#1a7f37;\
     color:#fff;cursor:pointer}@media(prefers-color-scheme:dark){body{background:#0d1117;\
     color:#e6edf3}code{background:#21262d}}";

/// Whether the caller is somebody who reads pages.
pub fn is_wanted(request: &Request<'_>) -> bool {
    request.header("accept").is_some_and(|accept| accept.contains("text/html"))
}

/// A text as HTML, in an element or in a quoted attribute.
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
         <style>{STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>"
    );
    Reply::new(status, Body::Text { content_type: "text/html; charset=utf-8", text })
        .header("content-security-policy", POLICY)
        // The address holds a code.
        .header("referrer-policy", "no-referrer")
}

fn about(login: &str, chitty_id: &str) -> String {
    let (login, id) = (escaped(login), escaped(chitty_id));
    format!(
        "<p>The App is installed on <strong>{login}</strong>. Its ChittyID is <code>{id}</code>.</p>"
    )
}

/// The App is installed.
pub fn installed(login: &str, chitty_id: &str, actor: Option<&str>) -> Reply {
    let mut body = about(login, chitty_id);
    match actor {
        // Writing to a text does not fail.
        Some(actor) => drop(write!(body, "<p>It belongs to <code>{}</code>.</p>", escaped(actor))),
        None => body.push_str(
            "<p>It belongs to nobody in ChittyOS yet. Begin with your token at \
             <code>/integrations/github/install</code> to have it.</p>",
        ),
    }
    body.push_str("<p>You can close this page.</p>");
    page(200, "Installed", &body)
}

/// The App is installed; is it for who asked for it?
pub fn question(
    login: &str,
    chitty_id: &str,
    actor: &str,
    from: Option<&str>,
    question: &str,
) -> Reply {
    let from = from.filter(|from| *from != actor).map(|from| {
        let from = escaped(from);
        format!(" It belongs to <code>{from}</code> now, who loses it and is told.")
    });
    let (actor, question) = (escaped(actor), escaped(question));
    let from = from.unwrap_or_default();
    let body = format!(
        "{}<p>The ChittyOS actor <code>{actor}</code> asks to have it: to see its repositories and \
         what happens to it.{from} If that is not you, close this page.</p>\
         <form method=\"post\" action=\"/integrations/github/confirm\">\
         <input type=\"hidden\" name=\"question\" value=\"{question}\">\
         <button>Yes, that is me</button></form>",
        about(login, chitty_id)
    );
    page(200, "Is this you?", &body)
}

/// The installation belongs to an actor.
pub fn claimed(chitty_id: &str, actor: &str) -> Reply {
    let (id, actor) = (escaped(chitty_id), escaped(actor));
    let body = format!(
        "<p>The installation <code>{id}</code> belongs to <code>{actor}</code>.</p>\
         <p>You can close this page.</p>"
    );
    page(200, "Connected", &body)
}

/// An owner of the account has been asked to install the App.
pub fn requested() -> Reply {
    page(
        200,
        "Requested",
        "<p>GitHub has asked an owner of the account to install the App. Come back to \
         <code>/integrations/github/install</code> when they have.</p>",
    )
}

/// What went wrong, for somebody who reads pages.
pub fn of_problem(problem: &Problem) -> Reply {
    let body = format!("<p>{}</p>", escaped(&problem.detail));
    page(problem.code.status(), problem.code.title(), &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_becomes_part_of_the_page() {
        let evil = "<script>alert('1')</script>\"&";
        for reply in [
            installed(evil, evil, Some(evil)),
            installed(evil, evil, None),
            question(evil, evil, evil, None, evil),
            question(evil, evil, "me", Some(evil), evil),
            claimed(evil, evil),
        ] {
            let text = reply.body.text().unwrap();
            assert!(!text.contains("<script") && !text.contains("'1'"), "{text}");
            assert!(text.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;"));
            assert!(reply.header_value("content-security-policy").is_some());
        }
    }
}
