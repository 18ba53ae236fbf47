//! Users who come back from GitHub.

use chittyconnect::github::client;
use github_client::{Account, ErrorKind, Installation, Ownership};
use seams::outside::OutsideResponse;
use serde_json::{Value, json};

use super::{header, installation_body, path, with};
use crate::world::outside::answer;
use crate::world::{World, run};

#[test]
fn a_code_becomes_a_token_or_a_refusal() {
    let (world, gateway) = World::warm();
    run(async {
        world.outside.set(|request| {
            Ok(match request.url.as_str() {
                "http://github/web/login/oauth/access_token" => {
                    answer(200, r#"{"access_token":"ghu_secret","token_type":"bearer","scope":""}"#)
                }
                _ => {
                    answer(200, r#"{"id":5,"login":"ada","type":"User","avatar_url":"https://a"}"#)
                }
            })
        });
        let token = client(&gateway.app).exchange_code("c&d").await.unwrap();
        assert_eq!(format!("{token:?}"), "UserToken");
        let user = client(&gateway.app).user(&token).await.unwrap();
        assert_eq!((user.id, user.login.as_str()), (5, "ada"));
        let sent = world.outside.take();
        let form = String::from_utf8(sent[0].body.clone().unwrap()).unwrap();
        assert_eq!(form, "client_id=Iv1.test&client_secret=client-secret&code=c%26d");
        assert_eq!(header(&sent[0], "accept"), Some("application/json"));
        assert_eq!(header(&sent[0], "authorization"), None);
        assert_eq!(header(&sent[1], "authorization"), Some("Bearer ghu_secret"));
        for (answered, expected) in [
            (answer(200, r#"{"error":"bad_verification_code"}"#), ErrorKind::Refused),
            (answer(200, r#"{"error":"incorrect_client_credentials"}"#), ErrorKind::Refused),
            (answer(200, r#"{"error":"x","access_token":"ghu_x"}"#), ErrorKind::Refused),
            (answer(200, "{}"), ErrorKind::Unreadable),
            (answer(200, r#"{"access_token":"a\nb"}"#), ErrorKind::Unreadable),
            (answer(200, "access_token=ghu_x"), ErrorKind::Unreadable),
            (answer(404, "{}"), ErrorKind::NotFound),
            (answer(503, ""), ErrorKind::Unavailable),
        ] {
            world.outside.set(move |_| Ok(answered.clone()));
            let error = client(&gateway.app).exchange_code("c").await.unwrap_err();
            assert_eq!(error.kind, expected);
            assert!(!format!("{error:?} {error}").contains("ghu_"));
            assert_eq!(world.outside.take().len(), 1, "a code is good for once");
        }
    });
}

/// What GitHub says of a user.
#[derive(Clone)]
struct UserAnswers {
    sees: Value,
    membership: OutsideResponse,
}

#[test]
fn whose_an_installation_is() {
    let (world, gateway) = World::warm();
    let account = |id: i64, kind: &str| Account {
        id,
        login: "octo-org".to_owned(),
        kind: kind.to_owned(),
        avatar_url: None,
    };
    let member =
        |state: &str, role: &str| answer(200, &json!({"state": state, "role": role}).to_string());
    let says = |membership| UserAnswers { sees: json!([{"id": 6}, {"id": 7}]), membership };
    let limited = || with(403, &[("retry-after", "5")], &json!({}));
    let own = says(answer(500, ""));
    let hidden = UserAnswers { sees: json!([{"id": 6}]), ..own.clone() };
    let cases = [
        (5, "User", own.clone(), Ok(Ownership::Owned)),
        (5, "User", hidden.clone(), Ok(Ownership::Unseen)),
        (77, "User", own, Ok(Ownership::NotOwned)),
        (77, "Organization", hidden, Ok(Ownership::Unseen)),
        (77, "Organization", says(member("active", "admin")), Ok(Ownership::Owned)),
        (77, "Organization", says(member("pending", "admin")), Ok(Ownership::NotOwned)),
        (77, "Organization", says(member("active", "member")), Ok(Ownership::NotOwned)),
        (77, "Organization", says(answer(403, "{}")), Ok(Ownership::Untold)),
        (77, "Organization", says(answer(404, "{}")), Ok(Ownership::NotOwned)),
        (77, "Organization", says(answer(200, "[]")), Err(ErrorKind::Unreadable)),
        (77, "Organization", says(limited()), Err(ErrorKind::RateLimited)),
        (77, "Organization", says(answer(502, "")), Err(ErrorKind::Unavailable)),
        (77, "Organization", says(answer(401, "{}")), Err(ErrorKind::Refused)),
    ];
    run(async {
        world.outside.set(|_| Ok(answer(200, r#"{"access_token":"ghu_1"}"#)));
        let token = client(&gateway.app).exchange_code("c").await.unwrap();
        for (id, kind, says, expected) in cases {
            let shared = says.clone();
            world.outside.set(move |request| {
                Ok(match path(request).split('?').next().unwrap() {
                    "/user/installations" => {
                        answer(200, &json!({"installations": shared.sees}).to_string())
                    }
                    "/user/memberships/orgs/octo-org" => shared.membership.clone(),
                    other => panic!("{other}"),
                })
            });
            let body = installation_body(7, id, kind);
            let installation: Installation = serde_json::from_value(body).unwrap();
            let user = account(5, "User");
            let said = client(&gateway.app).ownership(&token, &user, &installation).await;
            assert_eq!(said.map_err(|error| error.kind), expected, "{kind} {id}");
        }
        // Pages are looked through within a bound.
        let next = [("link", "<x>; rel=\"next\"")];
        world.outside.take();
        world.outside.set(move |_| Ok(with(200, &next, &json!({"installations": [{"id": 1}]}))));
        let body = installation_body(7, 5, "User");
        let installation: Installation = serde_json::from_value(body).unwrap();
        let user = account(5, "User");
        let said = client(&gateway.app).ownership(&token, &user, &installation).await;
        assert_eq!(said, Ok(Ownership::Unseen));
        assert_eq!(world.outside.take().len(), 10);
    });
}
