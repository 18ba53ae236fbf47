//! Who works on deliveries and jobs of GitHub: one at a time, whoever is late changes nothing, and
//! nothing holds up what has nothing to do with it.

use std::rc::Rc;

use chittyconnect::github::jobs;
use chittyconnect::store::Ready;
use chittyconnect::tasks;
use seams::time;
use serde_json::{Value, json};

use crate::world::outside::answer;
use crate::world::{Behaviour, Isolate, TestDelivery, Verdict, World, run};

const ADMIN: &str = "dev-root+admin";
const FAR: &str = "2099-01-01T00:00:00.000Z";

fn push(repository: i64) -> Value {
    json!({
        "ref": "refs/heads/main", "installation": {"id": 3},
        "repository": {"id": repository, "full_name": format!("octo/r{repository}")},
    })
}

fn pull(number: u32) -> Value {
    json!({
        "action": "opened", "installation": {"id": 3},
        "pull_request": {"number": number, "state": "open", "head": {"sha": "c"}},
        "repository": {"id": 7, "full_name": "octo/hello"},
    })
}

fn installation(action: &str) -> Value {
    json!({
        "action": action,
        "installation": {
            "id": 3, "account": {"id": 8, "login": "octo", "type": "Organization"},
            "repository_selection": "selected", "permissions": {"checks": "write"},
            "events": ["push"], "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        },
        "repositories": [{"id": 7, "full_name": "octo/hello", "private": true}],
    })
}

fn repositories(name: &str) -> Value {
    json!({
        "action": name, "installation": installation("x")["installation"],
        format!("repositories_{name}"): [{"id": 9, "full_name": "octo/secret", "private": true}],
    })
}

/// Has a webhook delivered and dealt with.
async fn deal(gateway: &Isolate, id: &str, event: &str, payload: &Value) -> Vec<Verdict> {
    gateway.webhook(id, event, payload).await;
    gateway.deliver_webhooks().await
}

/// Runs SQL when ChittyID is asked: what another isolate does in the meantime.
fn meanwhile(world: &World, behaviour: Behaviour, sql: &'static str) {
    let db = Rc::clone(&world.db);
    world.services.script("id", move || {
        db.execute(sql);
        behaviour.clone()
    });
}

fn selected(world: &World) -> String {
    world.db.cell("SELECT selected_repositories FROM installations").unwrap()
}

#[test]
fn who_has_lost_the_lease_on_a_delivery_neither_finishes_it_nor_gives_it_back() {
    const TAKEN: &str = "UPDATE github_deliveries SET leased_until = '2099-01-01T00:00:00.000Z'";
    for behaviour in
        [Behaviour::Work, Behaviour::Unreachable, Behaviour::Answer(422, "{}".to_owned())]
    {
        let (world, gateway) = World::warm();
        run(async {
            meanwhile(&world, behaviour.clone(), TAKEN);
            assert_eq!(deal(&gateway, "d-1", "push", &push(7)).await, [Verdict::Ack]);
            let state = "SELECT leased_until || (done_at IS NULL) || (dead_at IS NULL) || \
                 (chitty_id IS NULL) FROM github_deliveries";
            assert_eq!(world.db.cell(state).unwrap(), format!("{FAR}111"), "{behaviour:?}");
            assert_eq!(world.db.count("dead_letters"), 0, "{behaviour:?}");
            let told = world.db.cells("SELECT event_type FROM outbox WHERE done_at IS NULL");
            // What was minted for nothing is said so.
            let orphans = usize::from(matches!(behaviour, Behaviour::Work));
            assert_eq!(told, vec!["identity.orphaned"; orphans], "{behaviour:?}");
        });
    }
}

#[test]
fn a_late_batch_does_not_bring_back_a_repository_that_was_removed() {
    let (world, gateway) = World::warm();
    run(async {
        deal(&gateway, "d-1", "installation", &installation("created")).await;
        let before = selected(&world);
        // Somebody else has dealt with it since, and with its removal too.
        meanwhile(
            &world,
            Behaviour::Work,
            "UPDATE github_deliveries SET done_at = '2026-01-02T00:00:00.000Z', leased_until = '' \
             WHERE delivery_id = 'd-2'",
        );
        deal(&gateway, "d-2", "installation_repositories", &repositories("added")).await;
        assert_eq!(selected(&world), before);
        world.services.set("id", Behaviour::Work);
        deal(&gateway, "d-3", "installation_repositories", &repositories("added")).await;
        assert!(selected(&world).contains("octo/secret"));
        deal(&gateway, "d-4", "installation_repositories", &repositories("removed")).await;
        assert_eq!(selected(&world), before);
    });
}

#[test]
fn a_row_that_cannot_be_read_holds_up_no_other() {
    let (world, gateway) = World::warm();
    run(async {
        world.services.set("id", Behaviour::Unreachable);
        deal(&gateway, "d-1", "push", &push(7)).await;
        world.advance_ms(1);
        deal(&gateway, "d-2", "push", &push(7)).await;
        world.db.execute(
            "UPDATE github_deliveries SET facts = '{\"action\":\"a\",\"action\":\"b\"}' \
             WHERE delivery_id = 'd-1'",
        );
        world.services.set("id", Behaviour::Work);
        world.advance_ms(700_000);
        tasks::scheduled(&gateway.app).await;
        let state = "SELECT group_concat(delivery_id || (done_at IS NULL) || (dead_at IS NULL)) \
             FROM github_deliveries";
        assert_eq!(world.db.cell(state).unwrap(), "d-110,d-201");
        let letters = gateway.get("/v1/events/dead-letters", Some(ADMIN)).await;
        assert_eq!(letters.json["dead_letters"][0]["event_id"], "d-1", "{letters:?}");
        // A job likewise.
        world.outside.status(404);
        deal(&gateway, "d-3", "installation", &installation("created")).await;
        deal(&gateway, "d-4", "pull_request", &pull(1)).await;
        world.db.execute(
            "INSERT INTO github_jobs (kind, repository_id, number, installation_id, repository, \
             due_at, updated_at) VALUES ('review', 7, 99999999999, 3, 'octo/hello', '', '')",
        );
        let ready = Ready::ensure(&gateway.app).await.unwrap();
        jobs::run_due(&gateway.app, ready, 3000).await;
        // It stays for a version that can read it, and waits.
        let open = "SELECT number || (leased_until = '') || (due_at > '2026-01-02T03') \
             FROM github_jobs WHERE done_version < version";
        assert_eq!(world.db.cells(open), ["9999999999911"]);
    });
}

#[test]
fn a_lane_that_waits_holds_up_no_other() {
    let (world, gateway) = World::warm();
    run(async {
        let now = time::iso8601(world.clock_ms());
        let open = |lane: i64, count: usize, leased: &str, due: &str| {
            world.db.execute(&format!(
                "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count}) \
                 INSERT INTO github_deliveries (delivery_id, event, repository_id, lane, received_at, \
                 facts, due_at, leased_until) SELECT 'd-{lane}-' || i, 'push', {lane}, \
                 'github:repository:{lane}', '{now}', \
                 '{{\"repository\":{{\"id\":{lane},\"full_name\":\"o/r\"}}}}', '{due}', '{leased}' FROM n"
            ));
        };
        // In the hands of others, and long overdue.
        for lane in 1..=3 {
            open(lane, 300, FAR, "2026-01-01T00:00:00.000Z");
        }
        open(4, 1, "", "2026-01-01T12:00:00.000Z");
        open(5, 2, "", "2026-01-01T12:00:00.000Z");
        tasks::scheduled(&gateway.app).await;
        let done =
            "SELECT group_concat(delivery_id) FROM github_deliveries WHERE done_at IS NOT NULL";
        assert_eq!(world.db.cell(done).unwrap(), "d-4-0,d-5-0,d-5-1");
    });
}

#[test]
fn old_dead_rows_do_not_keep_others_from_being_pruned() {
    let (world, gateway) = World::warm();
    run(async {
        let rows = |name: &str, column: &str, at: &str, count: usize| {
            world.db.execute(&format!(
                "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count}) \
                 INSERT INTO github_deliveries (delivery_id, event, lane, received_at, facts, due_at, \
                 {column}) SELECT '{name}-' || i, 'push', 'l', '{at}', '{{}}', '{FAR}', '{at}' FROM n"
            ));
        };
        rows("dead", "dead_at", "2025-01-01T00:00:00.000Z", 600);
        rows("done", "done_at", "2025-02-01T00:00:00.000Z", 4000);
        rows("young", "done_at", &time::iso8601(world.clock_ms()), 5);
        tasks::scheduled(&gateway.app).await;
        let left = "SELECT count(*) || ' ' || sum(dead_at IS NOT NULL) FROM github_deliveries";
        assert_eq!(world.db.cell(left).unwrap(), "605 600");
    });
}

/// What has been asked of GitHub, without tokens.
fn paths(world: &World) -> Vec<String> {
    let path = |url: &str| url.strip_prefix("http://github/api").unwrap().to_owned();
    world.outside.take().iter().map(|sent| path(&sent.url)).collect()
}

#[test]
fn a_pull_request_that_was_opened_before_its_installation_is_recorded_is_reviewed_then() {
    let (world, gateway) = World::warm();
    run(async {
        world.outside.set(|request| {
            Ok(match request.url.ends_with("/access_tokens") {
                true => answer(201, r#"{"token":"ghs_1","expires_at":"2026-01-02T04:04:00Z"}"#),
                false => answer(404, "{}"),
            })
        });
        deal(&gateway, "d-1", "pull_request", &pull(1)).await;
        let ready = Ready::ensure(&gateway.app).await.unwrap();
        jobs::run_due(&gateway.app, ready, 3000).await;
        assert_eq!(paths(&world), Vec::<String>::new(), "nobody knows the installation");
        deal(&gateway, "d-2", "installation", &installation("created")).await;
        tasks::after_batch(Rc::clone(&gateway.app)).await;
        let settings = "/repos/octo/hello/contents/.github/chittyconnect.yml";
        let asked = paths(&world);
        assert!(asked.iter().any(|path| path.starts_with(settings)), "{asked:?}");
        // One whose installation is never recorded is not kept for ever.
        let stranger = json!({
            "action": "opened", "installation": {"id": 77},
            "pull_request": {"number": 5, "state": "open", "head": {"sha": "c"}},
            "repository": {"id": 70, "full_name": "octo/other"},
        });
        deal(&gateway, "d-3", "pull_request", &stranger).await;
        world.advance_ms(4 * 24 * 3_600_000);
        tasks::scheduled(&gateway.app).await;
        let open = "SELECT count(*) FROM github_jobs WHERE done_version < version";
        assert_eq!(world.db.cell(open).unwrap(), "0");
        // Nor is anything done for one that is suspended.
        world.outside.take();
        deal(&gateway, "d-4", "installation", &suspended()).await;
        deal(&gateway, "d-5", "pull_request", &pull(2)).await;
        assert_eq!(world.db.cell("SELECT count(*) FROM github_jobs").unwrap(), "2");
    });
}

fn suspended() -> Value {
    let mut payload = installation("suspend");
    payload["installation"]["suspended_at"] = json!("2026-01-01T00:00:00Z");
    payload
}

#[test]
fn who_has_lost_a_job_does_not_note_it_and_what_is_asked_anew_is_due_at_once() {
    let (world, gateway) = World::warm();
    run(async {
        deal(&gateway, "d-1", "installation", &installation("created")).await;
        let ready = Ready::ensure(&gateway.app).await.unwrap();
        let again = |status: u16, sql: &'static str| {
            let (db, mut sql) = (Rc::clone(&world.db), Some(sql));
            world.outside.set(move |request| {
                if request.url.ends_with("/access_tokens") {
                    return Ok(answer(
                        201,
                        r#"{"token":"ghs_1","expires_at":"2026-01-02T04:04:00Z"}"#,
                    ));
                }
                // Once: the second time it is put off.
                sql.take().into_iter().for_each(|sql| db.execute(sql));
                Ok(answer(status, "{}"))
            });
        };
        // The lease has ended, and another has it.
        for status in [404, 502] {
            again(status, "UPDATE github_jobs SET leased_until = '2099-01-01T00:00:00.000Z'");
            world.db.execute("UPDATE github_jobs SET leased_until = ''");
            deal(&gateway, &format!("d-{status}"), "pull_request", &pull(1)).await;
            jobs::run_due(&gateway.app, ready, 3000).await;
            let state = "SELECT leased_until || ' ' || (done_version < version) FROM github_jobs";
            assert_eq!(world.db.cell(state).unwrap(), format!("{FAR} 1"), "{status}");
        }
        // It is asked for anew while it fails.
        again(
            502,
            "UPDATE github_jobs SET version = version + 1, tries = 0, due_at = '2026-01-02T03:04:05.000Z'",
        );
        world.db.execute("UPDATE github_jobs SET leased_until = '', due_at = ''");
        world.outside.take();
        jobs::run_due(&gateway.app, ready, 3000).await;
        assert_eq!(
            paths(&world).len(),
            4,
            "it is looked at again at once: each read is tried twice"
        );
        let state = "SELECT (due_at > '2026-01-02T03:04:05.000Z') || leased_until || tries FROM github_jobs";
        assert_eq!(world.db.cell(state).unwrap(), "11");
    });
}

#[test]
fn a_stored_payload_is_waited_for_for_minutes_without_holding_the_batch() {
    let (world, gateway) = World::warm();
    run(async {
        let repository = json!({"id": 7, "full_name": "octo/hello"});
        let long = json!({"repository": repository, "ref": "x".repeat(200_000)});
        assert_eq!(gateway.webhook("d-1", "push", &long).await.status, 202);
        let stored = std::mem::take(&mut *world.cache.values.borrow_mut());
        let message = world.github_events.messages.borrow_mut().pop().unwrap();
        let began_ms = world.clock_ms();
        let deliver = |attempts| {
            let delivery = TestDelivery { attempts, ..TestDelivery::new(message.clone()) };
            let gateway = gateway.clone();
            async move {
                let before_ms = gateway.app.now_ms();
                tasks::consume(&gateway.app, "test-github-events", &[&delivery]).await;
                assert!(gateway.app.now_ms() - before_ms < 1000, "the batch is held");
                delivery.verdict()
            }
        };
        let (mut attempts, mut waited_ms) = (1, 0);
        while let Verdict::Retry(delay_s) = deliver(attempts).await {
            assert!((1..=300).contains(&delay_s), "{delay_s}");
            world.advance_ms(u64::from(delay_s) * 1000);
            waited_ms = world.clock_ms() - began_ms;
            attempts += 1;
            assert!(attempts <= 11, "the queue delivers no message more often");
        }
        assert!((300_000..1_800_000).contains(&waited_ms), "{waited_ms}");
        let letters = gateway.get("/v1/events/dead-letters", Some(ADMIN)).await;
        assert_eq!(letters.json["dead_letters"][0]["event_id"], "d-1");
        // It is seen at last, and the letter replayed: even that may be early.
        let id = letters.json["dead_letters"][0]["id"].as_str().unwrap();
        let path = format!("/v1/events/dead-letters/{id}/replay");
        assert_eq!(gateway.post(&path, ADMIN, &json!(null)).await.status, 200);
        assert!(matches!(gateway.deliver_webhooks().await[0], Verdict::Retry(_)));
        *world.cache.values.borrow_mut() = stored;
        assert_eq!(deliver(2).await, Verdict::Ack);
        let done = "SELECT count(*) FROM github_deliveries WHERE done_at IS NOT NULL";
        assert_eq!(world.db.cell(done).unwrap(), "1");
    });
}

#[test]
fn an_installation_with_many_jobs_lets_others_have_their_turn() {
    let (world, gateway) = World::warm();
    run(async {
        for id in [1, 2, 3] {
            let mut created = installation("created");
            created["installation"]["id"] = json!(id);
            deal(&gateway, &format!("d-{id}"), "installation", &created).await;
        }
        let job = |installation: i64, number: i64, due: &str| {
            world.db.execute(&format!(
                "INSERT INTO github_jobs (kind, repository_id, number, installation_id, repository, \
                 due_at, updated_at) VALUES ('triage', {installation}, {number}, {installation}, \
                 'o/r', '2026-01-01T00:00:{due}Z', '')"
            ));
        };
        for number in 0..50 {
            job(1, number, "00.000");
        }
        for installation in [2, 3] {
            job(installation, 1, "59.000");
        }
        // GitHub takes longer than there is time, so one batch of three is begun.
        let clock = std::rc::Rc::clone(&world.clock);
        world.outside.set(move |_| {
            clock.advance_ms(1000);
            Ok(answer(404, "{}"))
        });
        let ready = Ready::ensure(&gateway.app).await.unwrap();
        jobs::run_due(&gateway.app, ready, 500).await;
        let done = "SELECT installation_id || ' ' || count(*) FROM github_jobs \
             WHERE done_version = version OR tries > 0 GROUP BY installation_id ORDER BY 1";
        assert_eq!(world.db.cells(done), ["1 1", "2 1", "3 1"]);
    });
}

#[test]
fn how_much_is_open_is_seen_in_the_metrics() {
    let (world, gateway) = World::warm();
    let began_ms = world.clock_ms();
    run(async {
        world.services.set("id", Behaviour::Unreachable);
        deal(&gateway, "d-1", "push", &push(7)).await;
        deal(&gateway, "d-2", "push", &push(8)).await;
        deal(&gateway, "d-3", "pull_request", &pull(1)).await;
        world.db.execute(
            "INSERT INTO github_jobs (kind, repository_id, number, installation_id, repository, \
             due_at, updated_at) VALUES ('review', 7, 1, 3, 'octo/hello', '2026-01-02T03:04:05.000Z', '')",
        );
        // What ChittyID did not answer was asked again, which took a while.
        let waited_ms = world.clock_ms() - began_ms;
        world.advance_ms(90_000 - waited_ms);
        let page = world.isolate().get("/metrics", None).await.text;
        for line in [
            "chittyconnect_github_deliveries_open 3",
            "chittyconnect_github_deliveries_oldest_seconds 90",
            "chittyconnect_github_jobs_open 1",
            "chittyconnect_github_jobs_overdue_seconds 90",
            "chittyconnect_github_deliveries_missing 0",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
        }
    });
}

#[test]
fn the_token_of_an_installation_ends_in_the_transaction_that_ends_it() {
    for payload in [suspended(), {
        let mut gone = installation("deleted");
        gone["installation"]["account"] = Value::Null;
        gone
    }] {
        let (world, gateway) = World::warm();
        run(async {
            deal(&gateway, "d-1", "installation", &installation("created")).await;
            world.db.execute("INSERT INTO github_tokens (installation_id, sealed) VALUES (3, 's')");
            // Nothing after the batch itself succeeds.
            let db = Rc::clone(&world.db);
            let ended = "SELECT count(*) FROM installations \
                 WHERE suspended_at IS NOT NULL OR uninstalled_at IS NOT NULL";
            world.db.set_fault(move |_| match db.cell(ended).as_deref() {
                Some("1") => crate::world::Fault::Before,
                _ => crate::world::Fault::None,
            });
            deal(&gateway, "d-2", "installation", &payload).await;
            world.db.set_fault(|_| crate::world::Fault::None);
            assert_eq!(world.db.cell(ended).unwrap(), "1");
            assert_eq!(world.db.count("github_tokens"), 0, "{payload}");
        });
    }
}
