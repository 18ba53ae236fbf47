//! Whose an installation is: who may have it, who keeps it, and how it changes hands.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use seams::outside::{OutsideRequest, OutsideResponse};
use serde_json::{Value, json};

use crate::world::outside::answer;
use crate::world::{Answer, Isolate, TestRequest, World, run};

const ADMIN: &str = "dev-root+admin";
const INSTALL: &str = "/integrations/github/install";
const CONFIRM: &str = "/integrations/github/confirm";
const SHOW: &str = "/v1/github/installations/3";
const OWNER: &str = "/v1/github/installations/3/owner";
const REPOSITORIES: &str = "/v1/github/installations/3/repositories";

/// GitHub, as far as a browser and the owner of an installation get to see it. The code is the name of
/// who is signed in: `owner…` owns the organization, `holder` is the account of the user's own, all
/// others are members who administer a repository.
pub(crate) struct Github {
    /// On whose account the installation is.
    kind: &'static str,
    /// What GitHub says of memberships, where it says nothing of the kind.
    pub(crate) memberships: RefCell<Option<u16>>,
    /// Which codes were redeemed, each good for once where that matters.
    pub(crate) redeemed: RefCell<Vec<String>>,
    /// Whether a code is good for once.
    pub(crate) once: Cell<bool>,
}

impl Github {
    pub(crate) fn of(world: &World, kind: &'static str) -> Rc<Self> {
        let github = Rc::new(Github {
            kind,
            memberships: RefCell::default(),
            redeemed: RefCell::default(),
            once: Cell::new(false),
        });
        let shared = Rc::clone(&github);
        world.outside.set(move |request| Ok(shared.answer(request)));
        github
    }

    fn answer(&self, request: &OutsideRequest) -> OutsideResponse {
        if request.url.ends_with("/login/oauth/access_token") {
            let form = request.body.clone().unwrap();
            let code = form_urlencoded::parse(&form).find(|(name, _)| name == "code").unwrap().1;
            let was_used = self.redeemed.borrow().iter().any(|used| *used == code);
            if was_used && self.once.get() {
                return answer(200, &json!({"error": "bad_verification_code"}).to_string());
            }
            self.redeemed.borrow_mut().push(code.to_string());
            return answer(200, &json!({"access_token": format!("ghu_{code}")}).to_string());
        }
        let header = |(name, value): &(String, String)| {
            (name == "authorization").then(|| value.trim_start_matches("Bearer ").to_owned())
        };
        let token = request.headers.iter().find_map(header).unwrap_or_default();
        let user = token.trim_start_matches("ghu_").to_owned();
        let path = request.url.strip_prefix("http://github/api").unwrap();
        let path = path.split('?').next().unwrap();
        if let Some(login) = path.strip_prefix("/orgs/octo/memberships/") {
            return self.membership(login);
        }
        let repositories = json!([{
            "id": 7, "full_name": "octo/hello", "private": true, "archived": false,
            "default_branch": "main", "html_url": "http://github/octo/hello",
            "permissions": {"admin": true},
        }]);
        let body = match path {
            "/user" => json!({"id": number_of(&user), "login": user, "type": "User"}),
            "/app/installations/3" => self.installation(),
            "/app/installations/3/access_tokens" => {
                json!({"token": "ghs_1", "expires_at": "2026-01-02T04:04:05Z"})
            }
            "/user/installations" if user == "stranger" => {
                json!({"total_count": 0, "installations": []})
            }
            "/user/installations" => json!({"total_count": 1, "installations": [{"id": 3}]}),
            "/user/memberships/orgs/octo" => return self.membership(&user),
            "/user/installations/3/repositories" | "/installation/repositories" => {
                json!({"total_count": 1, "repositories": repositories})
            }
            other => panic!("{other}"),
        };
        answer(if path.ends_with("access_tokens") { 201 } else { 200 }, &body.to_string())
    }

    fn membership(&self, login: &str) -> OutsideResponse {
        if let Some(status) = *self.memberships.borrow() {
            return answer(status, "{}");
        }
        let role = if login.starts_with("owner") { "admin" } else { "member" };
        let user = json!({"id": number_of(login), "login": login});
        answer(200, &json!({"state": "active", "role": role, "user": user}).to_string())
    }

    fn installation(&self) -> Value {
        let account = match self.kind {
            "User" => json!({"id": number_of("holder"), "login": "holder", "type": "User"}),
            kind => json!({"id": 8, "login": "octo", "type": kind}),
        };
        json!({
            "id": 3, "account": account, "repository_selection": "all", "permissions": {},
            "events": [], "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        })
    }
}

fn number_of(login: &str) -> u32 {
    login.bytes().map(u32::from).sum()
}

/// Goes to GitHub with a token, and comes back as somebody who is signed in there.
async fn visit(gateway: &Isolate, begin: &str, token: Option<&str>, user: &str) -> Answer {
    come_back(gateway, begin, token, user, false).await
}

async fn come_back(
    gateway: &Isolate,
    begin: &str,
    token: Option<&str>,
    user: &str,
    is_browser: bool,
) -> Answer {
    let begun = gateway.get(begin, token).await;
    assert_eq!(begun.status, 302, "{begun:?}");
    let state = begun.headers["location"].split_once("state=").unwrap().1.to_owned();
    let path = format!("/integrations/github/callback?state={state}&code={user}&installation_id=3");
    let request = TestRequest::new("GET", &path);
    gateway
        .send(match is_browser {
            true => request.header("sec-fetch-mode", "navigate"),
            false => request,
        })
        .await
}

pub(crate) fn owner(world: &World) -> String {
    world.db.cell("SELECT owner_chitty_id FROM installations").unwrap()
}

/// The types of events that somebody sees of an entity.
async fn timeline(gateway: &Isolate, token: &str, entity: &str) -> Vec<String> {
    let shown = gateway.get(&format!("/v1/events?entity={entity}"), Some(token)).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let events = shown.json["events"].as_array().unwrap().clone();
    events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_has_an_owner_is_kept_when_another_owner_of_the_organization_comes_by() {
    let (world, gateway) = World::warm();
    Github::of(&world, "Organization");
    run(async {
        assert_eq!(visit(&gateway, INSTALL, Some("dev-a"), "owner-1").await.status, 200);
        assert_eq!(owner(&world), "CHITTY-PEO-a");
        let other = visit(&gateway, INSTALL, Some("dev-b"), "owner-2").await;
        assert_eq!((other.status, other.code()), (409, "installation_owned"), "{other:?}");
        let browser = come_back(&gateway, INSTALL, Some("dev-b"), "owner-2", true).await;
        assert_eq!(browser.status, 409);
        assert!(!browser.text.contains("<form"), "{browser:?}");
        let anonymous = visit(&gateway, INSTALL, None, "owner-2").await;
        assert_eq!(anonymous.status, 200);
        assert!(!anonymous.text.contains("belongs to nobody"), "{anonymous:?}");
        assert_eq!(owner(&world), "CHITTY-PEO-a");
        assert_eq!(gateway.get(SHOW, Some("dev-b")).await.status, 404);
        // Who has it may come by as often as they like.
        assert_eq!(visit(&gateway, INSTALL, Some("dev-a"), "owner-1").await.status, 200);
        let claims = "SELECT count(*) FROM outbox WHERE event_type = 'github.app.claimed'";
        assert_eq!(world.db.cell(claims).unwrap(), "1");
    });
}

#[test]
fn who_administers_a_repository_does_not_administer_the_installation() {
    let (world, gateway) = World::warm();
    let github = Github::of(&world, "Organization");
    run(async {
        for begin in [INSTALL.to_owned(), format!("{INSTALL}?claim=true")] {
            let member = visit(&gateway, &begin, Some("dev-m"), "member").await;
            assert_eq!((member.status, member.code()), (403, "installation_refused"));
        }
        assert_eq!(world.db.count("installations"), 0);
        // Nor somebody of whom GitHub does not say what they are: and it is said why.
        *github.memberships.borrow_mut() = Some(403);
        let untold = visit(&gateway, INSTALL, Some("dev-m"), "owner-1").await;
        assert_eq!((untold.status, untold.code()), (403, "installation_refused"));
        assert!(untold.json["detail"].as_str().unwrap().contains("Members"), "{untold:?}");
        *github.memberships.borrow_mut() = Some(404);
        assert_eq!(visit(&gateway, INSTALL, Some("dev-m"), "owner-1").await.status, 403);
        *github.memberships.borrow_mut() = Some(502);
        assert_eq!(visit(&gateway, INSTALL, Some("dev-m"), "owner-1").await.status, 503);
    });
}

#[test]
fn an_owner_of_the_organization_claims_it_and_both_are_told() {
    let (world, gateway) = World::warm();
    Github::of(&world, "Organization");
    run(async {
        let claim = format!("{INSTALL}?claim=true");
        visit(&gateway, INSTALL, Some("dev-a"), "owner-1").await;
        let claimed = visit(&gateway, &claim, Some("dev-b"), "owner-2").await;
        assert_eq!(claimed.status, 200, "{claimed:?}");
        assert_eq!(owner(&world), "CHITTY-PEO-b");
        let shown = gateway.get(SHOW, Some("dev-b")).await;
        let id = shown.json["chitty_id"].as_str().unwrap().to_owned();
        let told = timeline(&gateway, "dev-b", &id).await;
        // Not what happened while it was somebody else's.
        assert_eq!(told, ["github.app.claimed", "github.app.installed"]);
        let told = timeline(&gateway, "dev-a", "CHITTY-PEO-a").await;
        assert_eq!(told[0], "actor.installation_lost");
        let audit = gateway.get("/v1/audit?action=actor.installation_lost", Some("dev-a")).await;
        assert_eq!(audit.json["entries"][0]["detail"]["chitty_id"], id.as_str(), "{audit:?}");
        assert_eq!(audit.json["entries"][0]["actor_id"], "CHITTY-PEO-b");
        assert_eq!(gateway.get(SHOW, Some("dev-a")).await.status, 404);
        // It is asked for with a credential, and in words that are understood.
        assert_eq!(gateway.get(&claim, None).await.code(), "authentication_required");
        let odd = gateway.get(&format!("{INSTALL}?claim=maybe"), Some("dev-b")).await;
        assert_eq!(odd.code(), "validation_failed");
    });
}

#[test]
fn a_browser_is_asked_before_it_claims_and_only_for_what_it_was_told() {
    let (world, gateway) = World::warm();
    Github::of(&world, "Organization");
    run(async {
        let claim = format!("{INSTALL}?claim=true");
        visit(&gateway, INSTALL, Some("dev-a"), "owner-1").await;
        let question = |page: &Answer| {
            let (_, rest) = page.text.split_once("name=\"question\" value=\"").unwrap();
            rest.split_once('"').unwrap().0.to_owned()
        };
        let page = come_back(&gateway, &claim, Some("dev-b"), "owner-2", true).await;
        assert!(page.text.contains("CHITTY-PEO-a") && page.text.contains("CHITTY-PEO-b"));
        assert_eq!(owner(&world), "CHITTY-PEO-a");
        // In the meantime somebody else has claimed it: that is not what was asked.
        visit(&gateway, &claim, Some("dev-c"), "owner-3").await;
        let confirm = |question: String| {
            let form = form_urlencoded::Serializer::new(String::new())
                .append_pair("question", &question)
                .finish();
            gateway.send(TestRequest::new("POST", CONFIRM).body(form))
        };
        let late = confirm(question(&page)).await;
        assert_eq!((late.status, late.code()), (409, "installation_owned"), "{late:?}");
        assert_eq!(owner(&world), "CHITTY-PEO-c");
        let page = come_back(&gateway, &claim, Some("dev-b"), "owner-2", true).await;
        assert_eq!(confirm(question(&page)).await.status, 200);
        assert_eq!(owner(&world), "CHITTY-PEO-b");
        // Whoever was suspended in the meantime gets nothing.
        let page = come_back(&gateway, &claim, Some("dev-a"), "owner-1", true).await;
        gateway.patch("/v1/actors/CHITTY-PEO-a", ADMIN, &json!({"status": "suspended"})).await;
        assert_eq!(confirm(question(&page)).await.status, 403);
        assert_eq!(owner(&world), "CHITTY-PEO-b");
    });
}

#[test]
fn of_two_who_come_for_it_at_once_one_has_it() {
    let (world, gateway) = World::warm();
    Github::of(&world, "Organization");
    let other = world.isolate();
    run(async {
        visit(&gateway, INSTALL, None, "owner-1").await;
        let both = futures_util::future::join(
            visit(&gateway, INSTALL, Some("dev-a"), "owner-1"),
            visit(&other, INSTALL, Some("dev-b"), "owner-2"),
        );
        let (one, two) = both.await;
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        let winner = if one.status == 200 { "CHITTY-PEO-a" } else { "CHITTY-PEO-b" };
        assert_eq!(owner(&world), winner);
        // Nobody who claims it loses it untold.
        let claim = format!("{INSTALL}?claim=true");
        let all = ["c", "d", "e", "f"].map(|name| (world.isolate(), format!("dev-{name}")));
        let claims =
            all.iter().map(|(isolate, token)| visit(isolate, &claim, Some(token), "owner-3"));
        let claims = futures_util::future::join_all(claims).await;
        let had = claims.iter().filter(|answer| answer.status == 200).count();
        assert!(had >= 1, "{claims:?}");
        let count = |kind: &str| {
            let sql = format!("SELECT count(*) FROM outbox WHERE event_type = '{kind}'");
            world.db.cell(&sql).unwrap().parse::<usize>().unwrap()
        };
        assert_eq!(count("github.app.claimed"), 1 + had);
        assert_eq!(count("actor.installation_lost"), had);
        let lost = "SELECT count(DISTINCT entity_id) FROM outbox \
             WHERE event_type = 'actor.installation_lost'";
        assert_eq!(world.db.cell(lost).unwrap(), had.to_string());
    });
}

#[test]
fn an_owner_lets_go_and_then_another_may_have_it() {
    let (world, gateway) = World::warm();
    Github::of(&world, "Organization");
    run(async {
        visit(&gateway, INSTALL, Some("dev-a"), "owner-1").await;
        let shown = gateway.get(SHOW, Some("dev-a")).await;
        let id = shown.json["chitty_id"].as_str().unwrap().to_owned();
        assert_eq!(gateway.delete(OWNER, "dev-b").await.status, 404);
        assert_eq!(gateway.delete(OWNER, "dev-a+read").await.code(), "insufficient_scope");
        let make = json!({"target_service": "connect", "scopes": ["read", "write"]});
        let delegated = gateway.post("/v1/delegate", "dev-a", &make).await;
        let token = delegated.json["delegation"]["token"].as_str().unwrap();
        assert_eq!(gateway.delete(OWNER, token).await.status, 403);
        assert_eq!(owner(&world), "CHITTY-PEO-a");
        let gone = gateway.delete(OWNER, "dev-a").await;
        assert_eq!((gone.status, &gone.json["chitty_id"]), (200, &json!(id)), "{gone:?}");
        assert_eq!(owner(&world), "NULL");
        let audit = gateway.get("/v1/audit?action=github.app.released", Some("dev-a")).await;
        assert_eq!(audit.json["entries"][0]["entity_id"], id.as_str());
        assert_eq!(gateway.delete(OWNER, "dev-a").await.status, 404);
        let nobodys = gateway.delete(OWNER, ADMIN).await;
        assert_eq!(nobodys.status, 200, "an administrator finds nothing to do: {nobodys:?}");
        assert_eq!(visit(&gateway, INSTALL, Some("dev-b"), "owner-2").await.status, 200);
        assert_eq!(owner(&world), "CHITTY-PEO-b");
        // An administrator may take it from somebody, who is told.
        assert_eq!(gateway.delete(OWNER, ADMIN).await.status, 200);
        assert_eq!(owner(&world), "NULL");
        let told = timeline(&gateway, "dev-b", "CHITTY-PEO-b").await;
        assert_eq!(told[0], "actor.installation_lost");
    });
}

#[test]
fn an_account_of_a_users_own_is_that_users() {
    let (world, gateway) = World::warm();
    Github::of(&world, "User");
    run(async {
        let stranger = visit(&gateway, INSTALL, Some("dev-b"), "owner-1").await;
        assert_eq!((stranger.status, stranger.code()), (403, "installation_refused"));
        assert_eq!(visit(&gateway, INSTALL, Some("dev-a"), "holder").await.status, 200);
        assert_eq!(gateway.get(REPOSITORIES, Some("dev-a")).await.status, 200);
        assert_eq!(visit(&gateway, INSTALL, Some("dev-b"), "holder").await.status, 409);
        let claim = format!("{INSTALL}?claim=true");
        assert_eq!(visit(&gateway, &claim, Some("dev-b"), "holder").await.status, 200);
        assert_eq!(owner(&world), "CHITTY-PEO-b");
    });
}

#[test]
fn repositories_of_an_organization_are_shown_to_who_owns_it_at_github_now() {
    let (world, gateway) = World::warm();
    let github = Github::of(&world, "Organization");
    run(async {
        visit(&gateway, INSTALL, Some("dev-a"), "owner-1").await;
        let shown = gateway.get(REPOSITORIES, Some("dev-a")).await;
        assert_eq!((shown.status, &shown.json["count"]), (200, &json!(1)), "{shown:?}");
        for (status, expected) in [(404, 403), (403, 403), (502, 503)] {
            *github.memberships.borrow_mut() = Some(status);
            let refused = gateway.get(REPOSITORIES, Some("dev-a")).await;
            assert_eq!(refused.status, expected, "{refused:?}");
            assert!(!refused.text.contains("octo/hello"));
            assert_eq!(gateway.get(REPOSITORIES, Some(ADMIN)).await.status, 200);
        }
        *github.memberships.borrow_mut() = None;
        // Another has the name by now, or is a member only.
        for change in ["owner_github_id = 1", "owner_github_login = 'member'"] {
            world.db.execute(&format!("UPDATE installations SET {change}"));
            let refused = gateway.get(REPOSITORIES, Some("dev-a")).await;
            assert_eq!(refused.code(), "installation_refused", "{change}");
        }
        // Of whom it was never noted shows it anew, and keeps what they have.
        world
            .db
            .execute("UPDATE installations SET owner_github_id = NULL, owner_github_login = NULL");
        assert_eq!(gateway.get(REPOSITORIES, Some("dev-a")).await.status, 403);
        visit(&gateway, INSTALL, Some("dev-a"), "owner-1").await;
        assert_eq!(gateway.get(REPOSITORIES, Some("dev-a")).await.status, 200);
        assert_eq!(owner(&world), "CHITTY-PEO-a");
    });
}
