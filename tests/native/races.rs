//! Two requests at once: they interleave at every call at a seam.

use futures_util::future::{join, join_all};
use serde_json::json;

use crate::world::{TestRequest, World, run};

#[test]
fn of_two_creations_of_one_name_one_wins_and_no_id_is_forgotten() {
    let (world, a) = World::warm();
    let b = world.isolate();
    run(async {
        a.get("/v1/contexts", Some("dev-a")).await;
        b.get("/v1/contexts", Some("dev-a")).await;
        world.services.reset_calls();
        let body = json!({"name": "n"});
        let (x, y) =
            join(a.post("/v1/contexts", "dev-a", &body), b.post("/v1/contexts", "dev-a", &body))
                .await;
        let mut statuses = [x.status, y.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
        let (won, lost) = if x.status == 201 { (x, y) } else { (y, x) };
        assert_eq!(lost.json["existing_chitty_id"], won.json["context"]["chitty_id"]);
        assert_eq!(world.db.count("contexts WHERE name = 'n'"), 1);
        assert_eq!(world.services.calls("id").len(), 2, "both had passed the check");
        let orphan = "outbox WHERE event_type = 'identity.orphaned' \
                      AND json_extract(payload, '$.reason') = 'name_taken'";
        assert_eq!(world.db.count(orphan), 1);
    });
}

#[test]
fn of_many_requests_with_one_key_all_get_the_one_reply() {
    let (world, a) = World::warm();
    let isolates = [a, world.isolate(), world.isolate()];
    run(async {
        let create = TestRequest::new("POST", "/v1/contexts").token("dev-a");
        let create = create.json(&json!({"name": "n"})).header("idempotency-key", "k");
        let requests = (0..12).map(|n| isolates[n % 3].send(create.clone()));
        let answers = join_all(requests).await;
        for answer in &answers {
            assert_eq!((answer.status, &answer.text), (201, &answers[0].text), "{answer:?}");
            assert_eq!(answer.headers["etag"], answers[0].headers["etag"]);
        }
        let fresh = |a: &&crate::world::Answer| !a.headers.contains_key("idempotency-replayed");
        assert_eq!(answers.iter().filter(fresh).count(), 1);
        assert_eq!(world.db.count("contexts WHERE name = 'n'"), 1);
        let orphans = world.db.count("outbox WHERE event_type = 'identity.orphaned'");
        let minted = world.services.calls("id").len();
        assert_eq!(minted, 1 + orphans, "each minted id is in use or reported");
    });
}

#[test]
fn of_two_changes_to_one_version_one_wins() {
    let (world, a) = World::warm();
    let b = world.isolate();
    run(async {
        let made = a.post("/v1/contexts", "dev-a", &json!({"name": "n"})).await;
        let patch = |name: &str| {
            TestRequest::new("PATCH", &made.headers["location"])
                .token("dev-a")
                .json(&json!({"name": name}))
                .header("if-match", &made.headers["etag"])
        };
        let (x, y) = join(a.send(patch("x")), b.send(patch("y"))).await;
        let mut statuses = [x.status, y.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412]);
        assert_eq!(world.db.count("outbox WHERE event_type = 'context.updated'"), 1);
    });
}

#[test]
fn a_change_and_a_deletion_at_once_leave_no_words_behind() {
    let (world, a) = World::warm();
    let b = world.isolate();
    run(async {
        for n in 0..5 {
            let id = a.create("dev-a", &json!({"name": format!("n{n}")})).await;
            let path = format!("/v1/contexts/{id}");
            let body = json!({"name": format!("m{n}")});
            let (changed, deleted) =
                join(a.patch(&path, "dev-a", &body), b.delete(&path, "dev-a")).await;
            assert_eq!(deleted.status, 200);
            assert!(matches!(changed.status, 200 | 404));
        }
        let live = world.db.count("contexts WHERE deleted_at IS NULL");
        assert_eq!(world.db.count("contexts_fts"), live);
    });
}
