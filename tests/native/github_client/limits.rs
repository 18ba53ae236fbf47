//! What is asked again, and what is not: limits, failures, redirections.

use std::cell::Cell;
use std::rc::Rc;

use chitty_core::TransportError;
use chittyconnect::github::{as_installation, client, tokens};
use github_client::ErrorKind;
use serde_json::json;

use super::{Github, TransportResult, kind, labels, path, ready, repository, token, with};
use crate::world::outside::answer;
use crate::world::{START_MS, World, run};

#[test]
fn who_is_limited_asks_nobody_until_the_limit_ends() {
    let (world, gateway) = World::warm();
    let reset = (START_MS / 1000 + 600).to_string();
    let primary = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset.as_str())];
    let limits = [
        (with(403, &primary, &json!({"message": "API rate limit exceeded."})), 601),
        (with(429, &[("retry-after", "30")], &json!({})), 30),
        (with(403, &[], &json!({"message": "You have exceeded a secondary rate limit."})), 60),
    ];
    run(async {
        for (limit, wait_s) in limits {
            let is_limited = Rc::new(Cell::new(true));
            let flag = Rc::clone(&is_limited);
            Github::new(&world, move |_| Ok(if flag.get() { limit.clone() } else { labels() }));
            let repository = repository(&gateway).await;
            let error = repository.issue_labels(1).await.unwrap_err();
            assert_eq!((error.kind, error.retry_after_s), (ErrorKind::RateLimited, Some(wait_s)));
            assert!(error.is_transient());
            is_limited.set(false);
            world.outside.take();
            world.advance_ms(u64::from(wait_s) * 1000 - 500);
            let error = repository.create_comment(1, "x").await.unwrap_err();
            assert_eq!((error.kind, error.retry_after_s), (ErrorKind::RateLimited, Some(1)));
            assert!(world.outside.take().is_empty());
            // Another installation has a limit of its own.
            let other = as_installation(&gateway.app, ready(&gateway).await, 8).repository("a/b");
            assert_eq!(other.issue_labels(1).await.unwrap(), ["bug"]);
            world.advance_ms(500);
            assert_eq!(repository.issue_labels(1).await.unwrap(), ["bug"]);
        }
    });
}

#[test]
fn the_app_is_limited_apart_from_its_installations() {
    let (world, gateway) = World::warm();
    Github::new(&world, |request| {
        Ok(match path(request) {
            "/app/installations/7" => with(429, &[("retry-after", "30")], &json!({})),
            _ => labels(),
        })
    });
    run(async {
        token(&gateway).await.unwrap();
        let found = client(&gateway.app).installation(7).await;
        assert_eq!(kind(found), ErrorKind::RateLimited);
        assert_eq!(kind(client(&gateway.app).deliveries(None).await), ErrorKind::RateLimited);
        repository(&gateway).await.issue_labels(1).await.unwrap();
        // What has no token yet cannot get one.
        let other = tokens::installation_token(&gateway.app, ready(&gateway).await, 8).await;
        assert_eq!(kind(other), ErrorKind::RateLimited);
        assert_eq!(world.outside.take().len(), 3);
    });
}

#[test]
fn reads_are_repeated_once_and_changes_never() {
    let (world, gateway) = World::warm();
    let broken = || Err(TransportError::Unreachable("reset".to_owned()));
    run(async {
        Github::new(&world, |_| Ok(labels()));
        token(&gateway).await.unwrap();
        let repository = repository(&gateway).await;
        let failures: [(TransportResult, ErrorKind, usize); 5] = [
            (broken(), ErrorKind::Unreachable, 2),
            (Ok(answer(502, "<html>")), ErrorKind::Unavailable, 2),
            (Ok(with(503, &[("retry-after", "9")], &json!({}))), ErrorKind::Unavailable, 1),
            (Err(TransportError::Timeout), ErrorKind::Unreachable, 1),
            (Ok(answer(422, "{}")), ErrorKind::Invalid, 1),
        ];
        for (failure, expected, asked) in failures {
            let again = failure.clone();
            Github::new(&world, move |_| again.clone());
            world.outside.take();
            assert_eq!(kind(repository.issue_labels(1).await), expected);
            assert_eq!(world.outside.take().len(), asked, "{failure:?}");
            assert_eq!(kind(repository.create_comment(1, "x").await), expected);
            assert_eq!(world.outside.take().len(), 1, "{failure:?}");
            // Well again after the first.
            let mut first = Some(failure);
            Github::new(&world, move |_| first.take().unwrap_or_else(|| Ok(labels())));
            let got = repository.issue_labels(1).await;
            assert_eq!(got.is_ok(), asked == 2);
        }
        Github::new(&world, |_| Ok(with(503, &[("retry-after", "9")], &json!({}))));
        assert_eq!(repository.issue_labels(1).await.unwrap_err().retry_after_s, Some(9));
    });
}

#[test]
fn a_redirection_is_followed_once_and_only_within_the_api() {
    let (world, gateway) = World::warm();
    run(async {
        for status in [301, 302, 307, 308] {
            Github::new(&world, move |request| {
                Ok(match path(request).starts_with("/repositories/1/") {
                    true => labels(),
                    false => with(
                        status,
                        &[("location", "http://github/api/repositories/1/labels")],
                        &json!({}),
                    ),
                })
            });
            let repository = repository(&gateway).await;
            assert_eq!(repository.issue_labels(1).await.unwrap(), ["bug"]);
            world.outside.take();
            assert_eq!(kind(repository.add_labels(1, &[]).await), ErrorKind::Unreadable);
            assert_eq!(world.outside.take().len(), 1, "a change");
        }
        for elsewhere in [
            "http://elsewhere/api/repositories/1",
            "http://github.evil/api/repositories/1",
            "http://github/apifake/repositories/1",
            "http://github/api@elsewhere/x",
            "http://github/api",
            "http://github/api/../web/x",
            "http://github/api/%2E%2e/web/x",
            "http://github/api/.%2e/web/x",
            "http://github/api/\\..\\x",
            "/api/repositories/1",
            "//elsewhere/x",
            "",
        ] {
            Github::new(&world, move |_| Ok(with(301, &[("location", elsewhere)], &json!({}))));
            let repository = repository(&gateway).await;
            world.outside.take();
            let error = repository.issue_labels(1).await.unwrap_err();
            assert_eq!((error.kind, error.status), (ErrorKind::Unreadable, Some(301)));
            assert_eq!(world.outside.take().len(), 1, "{elsewhere}");
        }
        Github::new(&world, |_| {
            Ok(with(301, &[("location", "http://github/api/again")], &json!({})))
        });
        let repository = repository(&gateway).await;
        assert_eq!(kind(repository.issue_labels(1).await), ErrorKind::Unreadable);
        assert_eq!(world.outside.take().len(), 2, "in a circle");
        // One without a place to go.
        Github::new(&world, |_| Ok(answer(304, "")));
        assert_eq!(kind(repository.issue_labels(1).await), ErrorKind::Unreadable);
    });
}
