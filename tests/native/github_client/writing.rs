//! Comments and check runs.

use github_client::{Annotation, CheckRun, ErrorKind};
use serde_json::{Value, json};

use super::{Github, header, kind, path, repository};
use crate::world::outside::answer;
use crate::world::{World, run};

#[test]
fn only_a_comment_of_ours_is_ours() {
    let (world, gateway) = World::warm();
    let comment = |id: u64, login: &str, kind: &str, body: &str| json!({"id": id, "user": {"login": login, "type": kind}, "body": body});
    let comments = json!([
        comment(1, "mallory", "User", "<!-- m --> x"),
        comment(2, "chittyconnect-test", "User", "<!-- m --> x"),
        comment(3, "other[bot]", "Bot", "<!-- m --> x"),
        comment(4, "chittyconnect-test[bot]", "Bot", "> <!-- m --> x"),
        comment(5, "chittyconnect-test[bot]", "Bot", "<!-- m --> x"),
        comment(6, "chittyconnect-test[bot]", "Bot", "<!-- m --> x"),
    ]);
    Github::new(&world, move |request| {
        Ok(match request.method.as_str() {
            "GET" => answer(200, &comments.to_string()),
            "POST" => answer(201, r#"{"id": 9007199254740993}"#),
            _ => answer(404, "{}"),
        })
    });
    run(async {
        let repository = repository(&gateway).await;
        assert_eq!(repository.find_comment(1, "<!-- m -->").await.unwrap(), Some(5));
        assert_eq!(repository.find_comment(1, "<!-- n -->").await.unwrap(), None);
        let made = repository.create_comment(1, "text").await.unwrap();
        assert_eq!(made, 9_007_199_254_740_993);
        assert_eq!(kind(repository.update_comment(5, "text").await), ErrorKind::NotFound);
        let sent = world.outside.take().pop().unwrap();
        assert_eq!(sent.method, "PATCH");
        assert_eq!(path(&sent), "/repos/octo-org/hello/issues/comments/5");
        assert_eq!(sent.body.as_deref(), Some(br#"{"body":"text"}"#.as_slice()));
        assert_eq!(header(&sent, "content-type"), Some("application/json"));
    });
}

#[test]
fn a_check_run_is_found_made_and_changed() {
    let (world, gateway) = World::warm();
    Github::new(&world, |request| {
        Ok(match request.method.as_str() {
            "GET" => answer(
                200,
                &json!({"check_runs": [
                    {"id": 1, "name": "ChittyConnect", "app": {"id": 1}},
                    {"id": 2, "name": "Other", "app": {"id": 4242}},
                    {"id": 3, "name": "ChittyConnect", "app": {"id": 4242}},
                ]})
                .to_string(),
            ),
            _ => answer(201, r#"{"id": 3}"#),
        })
    });
    run(async {
        let repository = repository(&gateway).await;
        let found = repository.find_check_run("abc", "ChittyConnect").await.unwrap();
        assert_eq!(found, Some(3));
        let sent = world.outside.take().pop().unwrap();
        let expected = "/repos/octo-org/hello/commits/abc/check-runs\
                        ?check_name=ChittyConnect&app_id=4242&filter=latest&per_page=10";
        assert_eq!(path(&sent), expected);
        let annotation = Annotation {
            path: "a.rs".to_owned(),
            start_line: 1,
            end_line: 2,
            level: "warning",
            message: "m".to_owned(),
            title: "t".to_owned(),
        };
        let run = CheckRun {
            name: "ChittyConnect",
            head_sha: "abc",
            conclusion: "neutral",
            title: "t",
            summary: "s",
            annotations: vec![annotation; 60],
        };
        assert_eq!(repository.create_check_run(&run).await.unwrap(), 3);
        repository.update_check_run(3, &run).await.unwrap();
        let sent = world.outside.take();
        let body =
            |n: usize| -> Value { serde_json::from_slice(sent[n].body.as_ref().unwrap()).unwrap() };
        assert_eq!(
            (&body(0)["head_sha"], &body(0)["status"]),
            (&json!("abc"), &json!("completed"))
        );
        assert_eq!(body(0)["output"]["annotations"].as_array().unwrap().len(), 50);
        assert_eq!(body(0)["output"]["annotations"][0]["annotation_level"], "warning");
        assert_eq!(
            (path(&sent[1]), sent[1].method.as_str()),
            ("/repos/octo-org/hello/check-runs/3", "PATCH")
        );
        assert!(body(1).get("head_sha").is_none());
    });
}
