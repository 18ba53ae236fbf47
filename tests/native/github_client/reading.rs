//! Files, pull requests and lists.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chitty_core::TransportError;
use chittyconnect::github::{as_installation, client};
use github_client::ErrorKind;
use serde_json::{Value, json};

use super::{API, Github, header, kind, labels, path, ready, repository, with};
use crate::world::outside::answer;
use crate::world::{World, run};

#[test]
fn a_file_is_read_again_only_when_it_has_changed() {
    let (world, gateway) = World::warm();
    let file = Rc::new(RefCell::new(("\"1\"", "a: 1\n".to_owned())));
    let shared = Rc::clone(&file);
    Github::new(&world, move |request| {
        let (etag, text) = &*shared.borrow();
        if header(request, "if-none-match") == Some(*etag) {
            return Ok(with(304, &[("etag", etag)], &Value::Null));
        }
        let lines: Vec<String> = STANDARD
            .encode(text)
            .as_bytes()
            .chunks(60)
            .map(|c| format!("{}\n", String::from_utf8_lossy(c)))
            .collect();
        let body = json!({"type": "file", "encoding": "base64", "content": lines.concat()});
        Ok(with(200, &[("etag", etag)], &body))
    });
    run(async {
        let repository = repository(&gateway).await;
        let read = || repository.content(".github/chittyconnect.yml");
        assert_eq!(read().await.unwrap().as_deref(), Some("a: 1\n"));
        world.outside.take();
        assert_eq!(read().await.unwrap().as_deref(), Some("a: 1\n"));
        let sent = world.outside.take().remove(0);
        let expected = "/repos/octo-org/hello/contents/.github/chittyconnect.yml";
        assert_eq!((path(&sent), header(&sent, "if-none-match")), (expected, Some("\"1\"")));
        *file.borrow_mut() = ("\"2\"", "ü".repeat(32 << 10));
        assert_eq!(read().await.unwrap().map(|text| text.len()), Some(64 << 10));
        // Neither another installation nor another repository has that ETag.
        world.outside.take();
        let other = as_installation(&gateway.app, ready(&gateway).await, 8);
        let other = other.repository("octo-org/hello");
        other.content(".github/chittyconnect.yml").await.unwrap();
        let sent = world.outside.take();
        assert!(sent.iter().all(|sent| header(sent, "if-none-match").is_none()));
        *file.borrow_mut() = ("\"3\"", "x".repeat((64 << 10) + 1));
        assert_eq!(kind(read().await), ErrorKind::Invalid);
        *file.borrow_mut() = ("\"4\"", String::new());
        assert_eq!(read().await.unwrap().as_deref(), Some(""));
        for bad in ["", "a//b", "../x", "a/./b"] {
            assert_eq!(kind(repository.content(bad).await), ErrorKind::Invalid, "{bad}");
        }
    });
}

#[test]
fn what_is_no_text_file() {
    let (world, gateway) = World::warm();
    let file = |more: Value| {
        let mut body = json!({"type": "file", "encoding": "base64", "content": "YQ=="});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        answer(200, &body.to_string())
    };
    let cases = [
        (answer(404, "{}"), Ok(None)),
        (answer(200, r#"[{"type":"file"}]"#), Ok(None)),
        (file(json!({"type": "submodule"})), Ok(None)),
        (file(json!({"encoding": "none", "content": ""})), Err(ErrorKind::Invalid)),
        (file(json!({"content": "/w=="})), Err(ErrorKind::Invalid)),
        (file(json!({"content": "?"})), Err(ErrorKind::Unreadable)),
        (answer(200, "7"), Err(ErrorKind::Unreadable)),
        (answer(200, "<html>"), Err(ErrorKind::Unreadable)),
        (answer(304, ""), Err(ErrorKind::Unreadable)),
        (answer(403, "{}"), Err(ErrorKind::Refused)),
        (file(json!({})), Ok(Some("a".to_owned()))),
    ];
    run(async {
        for (answered, expected) in cases {
            let shown = String::from_utf8_lossy(&answered.body).into_owned();
            Github::new(&world, move |_| Ok(answered.clone()));
            let got = repository(&gateway).await.content("x").await.map_err(|error| error.kind);
            assert_eq!(got, expected, "{shown}");
        }
        Github::new(&world, |_| Err(TransportError::TooLarge(1)));
        assert_eq!(kind(repository(&gateway).await.content("y").await), ErrorKind::Invalid);
    });
}

/// Answers with so many pages of so many items.
fn pages(world: &World, last: u32, item: impl Fn(u32) -> Value + 'static) {
    Github::new(world, move |request| {
        let (_, query) = request.url.split_once('?').unwrap();
        let number = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).unwrap().1.parse::<u32>().unwrap()
        };
        let (page, size) = (number("page"), number("per_page"));
        let items: Vec<Value> = (0..size).map(|n| item((page - 1) * size + n)).collect();
        let link = format!("<{API}/x?page={}>; rel=\"next\"", page + 1);
        let link: &[(&str, &str)] = if page < last { &[("link", &link)] } else { &[] };
        Ok(with(200, link, &Value::Array(items)))
    });
}

#[test]
fn lists_are_read_page_by_page_and_within_bounds() {
    let (world, gateway) = World::warm();
    let file = |n: u32| json!({"filename": n.to_string(), "status": "added", "patch": "+"});
    run(async {
        let repository = repository(&gateway).await;
        pages(&world, 3, file);
        let files = repository.pull_files(5).await.unwrap();
        assert_eq!((files.files.len(), files.is_truncated), (300, false));
        assert_eq!(files.files[299].filename, "299");
        assert_eq!(files.files[0].previous_filename, None);

        pages(&world, 99, file);
        world.outside.take();
        let files = repository.pull_files(5).await.unwrap();
        assert_eq!((files.files.len(), files.is_truncated), (1000, true));
        assert_eq!(world.outside.take().len(), 10);

        let patch = "+".repeat(30_000);
        pages(&world, 99, move |_| json!({"filename": "a", "status": "added", "patch": patch}));
        let files = repository.pull_files(5).await.unwrap();
        assert_eq!((files.files.len(), files.is_truncated), (300, true), "large patches");

        let page = Cell::new(0);
        Github::new(&world, move |_| {
            page.set(page.get() + 1);
            let next = [("link", "<x>; rel=\"next\"")];
            match page.get() {
                1 => Ok(with(200, &next, &json!([{"filename": "a", "status": "added"}]))),
                _ => Err(TransportError::TooLarge(1)),
            }
        });
        let files = repository.pull_files(5).await.unwrap();
        assert_eq!((files.files.len(), files.is_truncated), (1, true), "too large a page");

        // A comment that is not there is looked for on a bounded number of pages.
        pages(&world, 10_000, |n| json!({"id": n + 1, "user": null, "body": "hello"}));
        world.outside.take();
        assert_eq!(repository.find_comment(5, "<!-- m -->").await.unwrap(), None);
        assert_eq!(world.outside.take().len(), 34);
    });
}

#[test]
fn a_pull_request_and_the_repositories() {
    let (world, gateway) = World::warm();
    Github::new(&world, |request| {
        Ok(if path(request).starts_with("/installation/repositories") {
            let item = json!({
                "id": 1, "full_name": "a/b", "private": true, "default_branch": "main",
                "html_url": "https://x", "owner": {},
            });
            with(
                200,
                &[("link", "<x>; rel=\"prev\", <y>; rel=\"next\"")],
                &json!({"total_count": 9, "repositories": [item]}),
            )
        } else {
            answer(200, &json!({
                "number": 5, "title": "t", "body": null, "state": "open", "head": {"sha": "abc"},
                "base": {"ref": "main"}, "user": null, "additions": 7, "extra": {},
            }).to_string())
        })
    });
    run(async {
        let pull = repository(&gateway).await.pull(5).await.unwrap();
        assert_eq!((pull.number, pull.author.as_str(), pull.additions), (5, "ghost", 7));
        assert_eq!((pull.head_sha.as_str(), pull.base_ref.as_str()), ("abc", "main"));
        let ready = ready(&gateway).await;
        let page = as_installation(&gateway.app, ready, 7).repositories(2, 900).await.unwrap();
        assert_eq!((page.total_count, page.items.len(), page.has_more), (9, 1, true));
        assert!(page.items[0].private && !page.items[0].archived);
        let sent = world.outside.take().pop().unwrap();
        assert_eq!(path(&sent), "/installation/repositories?per_page=100&page=2");
    });
}

#[test]
fn names_that_are_none_are_not_asked_for() {
    let (world, gateway) = World::warm();
    run(async {
        let ready = ready(&gateway).await;
        for name in ["", "a", "a/", "/b", "a/..", "../b"] {
            let repository = as_installation(&gateway.app, ready, 7).repository(name);
            assert_eq!(kind(repository.pull(1).await), ErrorKind::Invalid, "{name}");
            assert_eq!(kind(repository.pull_files(1).await), ErrorKind::Invalid, "{name}");
        }
        assert!(world.outside.take().is_empty());
        Github::new(&world, |_| Ok(labels()));
        let repository = as_installation(&gateway.app, ready, 7).repository("a/b/../c?d#e");
        repository.issue_labels(1).await.unwrap();
        let sent = world.outside.take().pop().unwrap();
        assert!(path(&sent).starts_with("/repos/a/b%2F..%2Fc%3Fd%23e/issues/1/"));
    });
}

#[test]
fn deliveries_come_in_pages_by_cursor() {
    let (world, gateway) = World::warm();
    let next = format!("<{API}/app/hook/deliveries?per_page=100&cursor=v1_%26>; rel=\"next\"");
    Github::new(&world, move |request| {
        let item = json!({
            "id": 9_007_199_254_740_993u64, "guid": "g", "delivered_at": "2026-01-01T00:00:00Z",
            "redelivery": false, "status_code": 502, "event": "push", "action": null, "duration": null,
        });
        Ok(match request.method.as_str() {
            "POST" => answer(202, "{}"),
            _ => with(200, &[("link", &next)], &json!([item])),
        })
    });
    run(async {
        let client = client(&gateway.app);
        let page = client.deliveries(None).await.unwrap();
        let item = &page.items[0];
        assert_eq!((item.id, item.status_code, &item.action), (9_007_199_254_740_993, 502, &None));
        assert_eq!(page.next_cursor.as_deref(), Some("v1_&"));
        client.deliveries(page.next_cursor.as_deref()).await.unwrap();
        client.redeliver(item.id).await.unwrap();
        let sent = world.outside.take();
        let paths: Vec<&str> = sent.iter().map(path).collect();
        assert_eq!(
            paths,
            [
                "/app/hook/deliveries?per_page=100",
                "/app/hook/deliveries?per_page=100&cursor=v1_%26",
                "/app/hook/deliveries/9007199254740993/attempts",
            ]
        );
    });
}
