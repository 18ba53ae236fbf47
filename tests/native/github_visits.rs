//! What a person sees who comes back from GitHub, however it was begun and however often they load the page.

use serde_json::json;

use crate::github_ownership::{Github, owner};
use crate::world::{Answer, Isolate, TestRequest, World, run};

const ADMIN: &str = "dev-root+admin";
const BACK: &str = "/integrations/github/callback";

/// A browser that comes back, with what it was told to keep.
async fn browse(gateway: &Isolate, path: &str, cookie: Option<&str>) -> Answer {
    let request = TestRequest::new("GET", path)
        .header("accept", "text/html,*/*;q=0.8")
        .header("sec-fetch-mode", "navigate")
        .header("host", "connect.example.org");
    let request = match cookie {
        Some(cookie) => request.header("cookie", &format!("other=1; {cookie}")),
        None => request,
    };
    let answer = gateway.send(request).await;
    assert!(answer.text.starts_with("<!doctype html>"), "{}", answer.text);
    answer
}

/// What a browser keeps of an answer.
fn kept(answer: &Answer) -> String {
    let cookie = &answer.headers["set-cookie"];
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/integrations/github", "Max-Age=86400"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

/// The way back of somebody who begins here, as a path without a code.
async fn begun(gateway: &Isolate, token: Option<&str>) -> String {
    let begun = gateway.get("/integrations/github/install", token).await;
    let state = begun.headers["location"].split_once("state=").unwrap().1.to_owned();
    format!("{BACK}?state={state}&installation_id=3")
}

fn title(page: &Answer) -> (u16, String) {
    let (_, rest) = page.text.split_once("<h1>").unwrap();
    (page.status, rest.split_once("</h1>").unwrap().0.to_owned())
}

fn is(page: &Answer, status: u16, expected: &str) {
    assert_eq!(title(page), (status, expected.to_owned()), "{}", page.text);
}

#[test]
fn what_githubs_own_button_has_begun_ends_well() {
    let (world, gateway) = World::warm();
    let github = Github::of(&world, "Organization");
    github.once.set(true);
    run(async {
        let install = format!("{BACK}?code=owner-1&installation_id=3&setup_action=install");
        let page = browse(&gateway, &install, None).await;
        is(&page, 200, "Installed");
        let id = world.db.cell("SELECT chitty_id FROM installations").unwrap();
        for part in ["octo", &id, "all its repositories", "nobody yet"] {
            assert!(page.text.contains(part), "{part} {}", page.text);
        }
        // What to do next is a command that leads here.
        assert!(page.text.contains("http://connect.example.org/integrations/github/install"));
        assert_eq!(owner(&world), "NULL");
        let cookie = kept(&page);
        // The code is spent: to load the page again shows it again.
        is(&browse(&gateway, &install, Some(&cookie)).await, 200, "Installed");
        assert_eq!(github.redeemed.borrow().len(), 1);
        // Somebody else with that address is told nothing of it.
        let other = browse(&gateway, &install, None).await;
        is(&other, 200, "Used already");
        assert!(!other.text.contains("octo") && !other.text.contains(&id));
        let program = gateway.get(&install, None).await;
        assert_eq!((program.status, program.code()), (403, "installation_refused"));
        // "Configure", when it has an owner.
        world.db.execute("UPDATE installations SET owner_chitty_id = 'CHITTY-PEO-a'");
        let update = format!("{BACK}?code=owner-2&installation_id=3&setup_action=update");
        let page = browse(&gateway, &update, None).await;
        is(&page, 200, "Saved");
        assert!(page.text.contains("CHITTY-PEO-a"), "{}", page.text);
        assert_eq!(world.db.count("installations"), 1);
    });
}

#[test]
fn who_does_not_own_the_account_is_told_who_may_have_it() {
    let (world, gateway) = World::warm();
    let github = Github::of(&world, "Organization");
    run(async {
        let way = |code: &str| format!("{BACK}?code={code}&installation_id=3&setup_action=install");
        let page = browse(&gateway, &way("member"), None).await;
        is(&page, 200, "Installed");
        assert!(page.text.contains("an owner of the organization"), "{}", page.text);
        *github.memberships.borrow_mut() = Some(403);
        is(&browse(&gateway, &way("owner-1"), None).await, 200, "Installed");
        *github.memberships.borrow_mut() = Some(502);
        let down = browse(&gateway, &way("owner-1"), None).await;
        is(&down, 503, "GitHub did not answer");
        assert!(down.text.contains("Begin again in a minute"), "{}", down.text);
        // Whom GitHub does not show it is told nothing.
        let stranger = browse(&gateway, &way("stranger"), None).await;
        is(&stranger, 403, "The installation is not accepted");
        assert!(!stranger.text.contains("octo"), "{}", stranger.text);
        assert_eq!(world.db.count("installations"), 0);
    });
}

#[test]
fn without_a_code_nothing_is_believed_and_nothing_frightens() {
    let (world, gateway) = World::warm();
    Github::of(&world, "Organization");
    run(async {
        for (query, expected) in [
            ("installation_id=3&setup_action=update", "Saved"),
            ("installation_id=3&setup_action=install", "Installed"),
            ("setup_action=request", "Requested"),
            ("error=access_denied&error_description=x", "Cancelled"),
        ] {
            let page = browse(&gateway, &format!("{BACK}?{query}"), None).await;
            is(&page, 200, expected);
            assert!(page.text.contains("<h2>Next</h2>"), "{}", page.text);
        }
        for query in ["", "installation_id=", "error=application_suspended", "error=%3Cscript%3E"] {
            let page = browse(&gateway, &format!("{BACK}?{query}"), None).await;
            is(&page, 403, "The installation is not accepted");
        }
        assert_eq!(world.db.count("installations"), 0);
        // Who has said no may think again: the way back is still good.
        let back = begun(&gateway, None).await;
        is(&browse(&gateway, &format!("{back}&error=access_denied"), None).await, 200, "Cancelled");
        is(&browse(&gateway, &format!("{back}&code=owner-1"), None).await, 200, "Installed");
    });
}

#[test]
fn a_page_that_is_loaded_again_is_there_again_for_the_browser_that_came_back() {
    let (world, gateway) = World::warm();
    Github::of(&world, "Organization");
    run(async {
        let me = json!({"actor_type": "human", "display_name": "Alice <A>"});
        assert_eq!(gateway.post("/v1/actors/register", "dev-a", &me).await.status, 201);
        let back = format!("{}&code=owner-1", begun(&gateway, Some("dev-a")).await);
        let page = browse(&gateway, &back, None).await;
        is(&page, 200, "Is this you?");
        assert!(
            page.text.contains("<strong>Alice &lt;A&gt;</strong> <small class=\"id\">"),
            "{}",
            page.text
        );
        assert!(page.text.contains("At GitHub you are <strong>owner-1</strong>"));
        let cookie = kept(&page);
        let question = |page: &Answer| {
            let (_, rest) = page.text.split_once("name=\"question\" value=\"").unwrap();
            rest.split_once('"').unwrap().0.to_owned()
        };
        // Who has begun it knows the address, and does not get to see the question.
        let begged = browse(&gateway, &back, None).await;
        is(&begged, 200, "Used already");
        for part in ["<form", "octo", "Alice"] {
            assert!(!begged.text.contains(part), "{}", begged.text);
        }
        let foreign =
            browse(&gateway, &format!("{BACK}?code=owner-2&installation_id=3"), None).await;
        let foreign = browse(&gateway, &back, Some(&kept(&foreign))).await;
        is(&foreign, 200, "Used already");
        // The browser that came back does.
        let again = browse(&gateway, &back, Some(&cookie)).await;
        is(&again, 200, "Is this you?");
        assert_eq!(question(&again), question(&page));
        let confirm = || {
            let form = form_urlencoded::Serializer::new(String::new())
                .append_pair("question", &question(&page))
                .finish();
            let request = TestRequest::new("POST", "/integrations/github/confirm").body(form);
            gateway.send(request.header("accept", "text/html"))
        };
        for _ in 0..2 {
            let done = confirm().await;
            is(&done, 200, "Connected");
            assert!(done.text.contains("<strong>Alice"), "{}", done.text);
        }
        assert_eq!(owner(&world), "CHITTY-PEO-a");
        let claims = "SELECT count(*) FROM outbox WHERE event_type = 'github.app.claimed'";
        assert_eq!(world.db.cell(claims).unwrap(), "1");
        // From then on the first page is what is so, also when it is too late for anything else.
        for _ in 0..2 {
            let done = browse(&gateway, &back, Some(&cookie)).await;
            is(&done, 200, "Installed");
            assert!(done.text.contains("<strong>Alice"), "{}", done.text);
            world.advance_ms(20 * 60_000);
        }
        is(&browse(&gateway, &back, None).await, 403, "The installation is not accepted");
        // Whose it is by now is said, and an old answer is not taken for theirs.
        world.db.execute("UPDATE installations SET owner_chitty_id = 'CHITTY-PEO-b', owner_github_login = 'bob-at-github'");
        let done = browse(&gateway, &back, Some(&cookie)).await;
        assert!(done.text.contains("<strong>bob-at-github</strong>"), "{}", done.text);
        assert_eq!(confirm().await.status, 403);
        assert_eq!(gateway.get("/v1/github/installations/3", Some(ADMIN)).await.status, 200);
    });
}

#[test]
fn a_browser_that_cannot_be_sent_to_github_is_shown_why() {
    let (world, gateway) = World::warm();
    run(async {
        let claim = "/integrations/github/install?claim=true";
        let page = browse(&gateway, claim, None).await;
        assert_eq!(
            (page.status, page.headers["www-authenticate"].as_str()),
            (401, "Bearer realm=\"chittyconnect\"")
        );
        // How it is done is a command with the whole address.
        let address = format!("http://connect.example.org{claim}");
        assert!(
            page.text.contains("To take it over") && page.text.contains(&address),
            "{}",
            page.text
        );
        let program = gateway.get(claim, None).await;
        assert_eq!((program.status, program.code()), (401, "authentication_required"));
        let none = world.isolate_with(&[("GITHUB_CLIENT_ID", None)]);
        let page = browse(&none, "/integrations/github/install", None).await;
        assert_eq!(page.status, 503);
        assert!(page.text.contains("has no GitHub App"), "{}", page.text);
        assert!(!page.text.contains("in a minute"), "nothing will be there then");
    });
}
