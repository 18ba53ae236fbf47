//! Background work: nothing that is due waits for what is not, for what fails, or for somebody else's.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use chitty_core::{Clock, TransportError};
use chittyconnect::store::Ready;
use chittyconnect::store::work::{self, Due, Hold, Prune, Queue};
use chittyconnect::tasks;
use futures_util::future::join_all;
use seams::db::Statement;
use serde_json::json;

use crate::world::outside::answer;
use crate::world::{Fault, Isolate, World, run, simulate};

/// Whose cron asks no host but those of connections.
const ALONE: &[(&str, Option<&str>)] = &[("GITHUB_APP_ID", None)];

const START: &str = "2026-01-02T03:04:05.000Z";

/// Puts connections on record by hand: those from `from` to `to`, with `owner` (SQL over `n`), a `status`,
/// and when they are due (SQL over `n`).
fn connections(world: &World, from: u32, to: u32, owner: &str, status: &str, due: &str) {
    world.db.execute(&format!(
        "WITH RECURSIVE numbers (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n < {to}) \
         INSERT INTO connections (connection_id, source_chitty_id, source_type, target_service, \
         target_endpoint, connection_type, status, created_at, updated_at, owner_chitty_id, check_path, \
         check_due_at, credential_type) SELECT 'conn_' || n, {owner}, 'actor', 'partner', \
         'https://h' || n || '.partner.example', 'api', '{status}', '', '', {owner}, '/health', {due}, NULL \
         FROM numbers"
    ));
}

/// The hosts that were asked, in order.
fn hosts(world: &World) -> Vec<String> {
    let host = |url: String| url.split('/').nth(2).unwrap().split('.').next().unwrap().to_owned();
    world.outside.take().into_iter().map(|call| host(call.url)).collect()
}

async fn page(gateway: &Isolate) -> String {
    gateway.get("/metrics", None).await.text
}

fn sample(page: &str, name: &str) -> u64 {
    let line = page.lines().find(|line| line.starts_with(name)).expect(name);
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_is_not_checked_does_not_stop_what_is() {
    let (world, gateway) = World::warm_with(ALONE);
    run(async {
        for (n, status) in ["inactive", "disconnected"].into_iter().enumerate() {
            let from = 1 + 100 * u32::try_from(n).unwrap();
            connections(&world, from, from + 60, "'CHITTY-PEO-b'", status, "'2026-01-01'");
        }
        connections(&world, 999, 999, "'CHITTY-PEO-a'", "active", "'2026-01-02'");
        tasks::scheduled(&gateway.app).await;
        assert_eq!(hosts(&world), ["h999"]);
    });
}

#[test]
fn each_owner_has_a_turn_before_anybody_has_the_second() {
    let (world, gateway) = World::warm_with(ALONE);
    run(async {
        connections(&world, 1, 500, "'CHITTY-PEO-big'", "active", "'2026-01-01'");
        connections(&world, 501, 503, "'CHITTY-PEO-' || n", "active", "'2026-01-02'");
        connections(&world, 504, 505, "'CHITTY-PEO-pair'", "active", "'2026-01-02T01'");
        tasks::scheduled(&gateway.app).await;
        let hosts = hosts(&world);
        assert_eq!(hosts.len(), 505, "capacity grows with what is due");
        for host in ["h501", "h502", "h503", "h504", "h505"] {
            let at = hosts.iter().position(|asked| asked == host).unwrap();
            // All in the first batch, which is begun in any order.
            assert!(at < 60, "{host} came {at}");
        }
    });
}

#[test]
fn a_target_that_stays_away_is_asked_less_often() {
    let (world, gateway) = World::warm_with(ALONE);
    world.outside.set(|_| Err(TransportError::Timeout));
    connections(&world, 1, 1, "'CHITTY-PEO-a'", "active", "'2026-01-01'");
    run(async {
        let mut asked = Vec::new();
        for minute in 0..240u32 {
            tasks::scheduled(&gateway.app).await;
            if !world.outside.take().is_empty() {
                asked.push(minute);
            }
            world.advance_ms(60_000);
        }
        let pauses: Vec<u32> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses[..2].iter().all(|pause| (5..=7).contains(pause)), "{pauses:?}");
        assert!(pauses.last().unwrap() >= &60, "{pauses:?}");
        // An hour and a quarter of it, and the minute until the next run.
        assert!(pauses.iter().all(|pause| *pause <= 76), "never given up: {pauses:?}");
        // It is well again, and asked as often as before.
        world.outside.status(200);
        for _ in 0..130 {
            tasks::scheduled(&gateway.app).await;
            world.advance_ms(60_000);
        }
        assert!(world.outside.take().len() > 3);
        assert_eq!(world.db.cell("SELECT status FROM connections").as_deref(), Some("active"));
    });
}

/// Makes a connection with an OAuth credential from a token endpoint.
async fn oauth(gateway: &Isolate, host: &str, token: &str) -> String {
    let name = token.trim_start_matches("dev-");
    let body = json!({
        "source_chitty_id": format!("CHITTY-PEO-{name}"), "source_type": "actor",
        "target_service": "partner", "target_endpoint": format!("https://{host}.partner.example"),
        "credentials": {
            "type": "oauth", "token_endpoint": format!("https://{host}.partner.example/token"),
            "client_id": "c", "client_secret": "s", "refresh_token": "r0",
        },
    });
    let made = gateway.post("/v1/connections", token, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json["connection"]["connection_id"].as_str().unwrap().to_owned()
}

fn tokens() -> String {
    json!({"access_token": "a1", "refresh_token": "r1", "expires_in": 3600}).to_string()
}

#[test]
fn dead_token_endpoints_stop_neither_others_renewals_nor_the_rest_of_the_cron() {
    let (world, gateway) = World::warm_with(ALONE);
    world.outside.set(|_| Ok(answer(200, &tokens())));
    let good = run(async {
        for n in 0..60 {
            oauth(&gateway, &format!("dead{n}"), "dev-mallory").await;
        }
        world.advance_ms(1000);
        oauth(&gateway, "good", "dev-a").await
    });
    let ends = format!("SELECT expires_at FROM connection_secrets WHERE connection_id = '{good}'");
    let before = world.db.cell(&ends).unwrap();
    world.advance_ms(3_500_000);
    world.outside.take();
    world.outside.take_time(
        &world.clock,
        |request| {
            if request.url.contains("dead") { 60_000 } else { 100 }
        },
    );
    let begun_ms = world.clock_ms();
    run(gateway.create("dev-a", &json!({"name": "n"})));
    let unsealed =
        || world.db.count("audit WHERE seq > (SELECT ifnull(max(seq), 0) FROM audit_seals)");
    assert!(unsealed() > 0);
    let sealed_ms = Cell::new(0);
    simulate(&world, async {
        let look = async {
            let is_open = || unsealed() > 0 || world.db.cell(&ends).unwrap() == before;
            while is_open() && world.clock_ms() < begun_ms + 300_000 {
                world.clock.sleep(1000).await;
            }
            sealed_ms.set(world.clock_ms() - begun_ms);
        };
        futures_util::future::join(tasks::scheduled(&gateway.app), look).await;
    });
    assert!(sealed_ms.get() <= 12_000, "after {} ms", sealed_ms.get());
    // The run ends in its time, and each dead one rests for longer and longer.
    assert!(world.clock_ms() - begun_ms < 300_000, "{}", world.clock_ms() - begun_ms);
    let tries = |hosts: &[String]| hosts.iter().filter(|host| host.starts_with("dead")).count();
    let first = tries(&hosts(&world));
    assert!((40..=60).contains(&first), "{first}");
    let mut later = 0;
    for _ in 0..60 {
        world.advance_ms(60_000);
        simulate(&world, tasks::scheduled(&gateway.app));
        later += tries(&hosts(&world));
    }
    // Without its pause each run would have tried all of them.
    assert!(later < 60 * 9, "{later}");
}

#[test]
fn a_credential_that_was_handed_in_anew_does_not_rest_for_the_one_before() {
    let (world, gateway) = World::warm_with(ALONE);
    world.outside.set(|_| Ok(answer(200, &tokens())));
    run(async {
        let id = oauth(&gateway, "slow", "dev-a").await;
        // As after many attempts in vain.
        world.db.execute(
            "UPDATE connection_secrets SET renew_after = '2026-01-02T12:00:00.000Z', renew_tries = 10",
        );
        let body = json!({"credentials": {
            "type": "oauth", "token_endpoint": "https://slow.partner.example/token",
            "client_id": "c", "client_secret": "s", "refresh_token": "r5",
        }});
        let changed = gateway.patch(&format!("/v1/connections/{id}"), "dev-a", &body).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        let ends = || world.db.cell("SELECT expires_at FROM connection_secrets").unwrap();
        let before = ends();
        world.advance_ms(3_500_000);
        tasks::scheduled(&gateway.app).await;
        assert_ne!(ends(), before, "renewed ahead of its end");
    });
}

#[test]
fn tokens_of_new_identities_are_forgotten_a_month_after_their_end() {
    let (world, gateway) = World::warm_with(ALONE);
    run(async {
        for (token, ended) in [("a", "2025-11-01T00:00:00.000Z"), ("b", "2025-12-20T00:00:00.000Z")]
        {
            world.db.execute(&format!(
                "INSERT INTO made_tokens (token_sha256, chitty_id, scopes, source_actor, \
                 source_scopes, expires_at) VALUES ('{token}', 'x', '[]', 'y', '[]', '{ended}')"
            ));
        }
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.db.cells("SELECT token_sha256 FROM made_tokens"), ["b"]);
    });
}

#[test]
fn a_lease_is_given_back_by_its_holder_only() {
    for status in [400, 503] {
        let (world, gateway) = World::warm_with(ALONE);
        world.outside.set(|_| Ok(answer(200, &tokens())));
        run(async {
            let id = oauth(&gateway, "good", "dev-a").await;
            world.advance_ms(3_590_000);
            // While the call is under way the lease runs out, and another isolate takes it.
            let db = Rc::clone(&world.db);
            world.outside.set(move |request| {
                if request.url.ends_with("/token") {
                    db.execute("UPDATE connection_secrets SET leased_until = '2030-01-01'");
                }
                Ok(answer(status, r#"{"error":"invalid_grant"}"#))
            });
            tasks::scheduled(&gateway.app).await;
            let lease = world.db.cell("SELECT leased_until FROM connection_secrets");
            assert_eq!(lease.as_deref(), Some("2030-01-01"), "{status}");
            let ends = world.db.cell("SELECT expires_at FROM connection_secrets").unwrap();
            assert_ne!(ends, "NULL", "{status}");
            let now = world.db.cell("SELECT status FROM connections").unwrap();
            assert_eq!(now, "active", "{status} {id}");
        });
    }
}

#[test]
fn what_came_of_a_revocation_is_noted_by_its_holder_only() {
    let (world, gateway) = World::warm_with(ALONE);
    world.outside.set(|_| Ok(answer(200, &tokens())));
    run(async {
        let body = json!({
            "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": "partner",
            "target_endpoint": "https://x.partner.example", "credentials": {
                "type": "oauth", "token_endpoint": "https://x.partner.example/token",
                "revocation_endpoint": "https://x.partner.example/revoke", "client_id": "c",
                "client_secret": "s", "refresh_token": "r0",
            },
        });
        let made = gateway.post("/v1/connections", "dev-a", &body).await;
        let db = Rc::clone(&world.db);
        world.outside.set(move |_| {
            db.execute("UPDATE credential_revocations SET due_at = '2030-01-01'");
            Ok(answer(503, "{}"))
        });
        gateway.delete(&made.headers["location"], "dev-a").await;
        let due = world.db.cell("SELECT due_at FROM credential_revocations");
        assert_eq!(due.as_deref(), Some("2030-01-01"));
    });
}

#[test]
fn many_dead_revocation_endpoints_stop_nobody_elses() {
    let (world, gateway) = World::warm_with(ALONE);
    world.outside.set(|_| Ok(answer(200, &tokens())));
    run(async {
        for (token, n) in (0..40).map(|n| ("dev-mallory", n)).chain([("dev-a", 99)]) {
            let host = if n == 99 { "good".to_owned() } else { format!("dead{n}") };
            let id = oauth(&gateway, &host, token).await;
            let owner = token.trim_start_matches("dev-");
            let revoked = format!(
                "UPDATE connections SET status = 'disconnected' WHERE connection_id = '{id}'; \
                 INSERT INTO credential_revocations SELECT '{n:02}', connection_id, sealed, \
                 '2026-01-0{}', 0, NULL, '{START}' FROM connection_secrets WHERE connection_id = '{id}'; \
                 DELETE FROM connection_secrets WHERE connection_id = '{id}'",
                if owner == "a" { 2 } else { 1 }
            );
            world.db.execute(&revoked);
        }
        world.outside.take();
        world.db.reset_calls();
        // Those without a revocation endpoint are done at once; the order is what counts here.
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.db.count("credential_revocations"), 0, "capacity grows with what is due");
    });
}

#[test]
fn runs_that_nobody_can_read_stop_no_other() {
    let (world, gateway) = World::warm_with(ALONE);
    run(async {
        world.services.set("register", crate::world::Behaviour::Unreachable);
        let body = json!({"email": "u@example.org"});
        let begun = gateway.post("/v1/orchestrations/secure-user", "dev-a", &body).await;
        assert_eq!(begun.status, 202);
        world.db.execute(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 40) \
             INSERT INTO orchestrations (id, owner_chitty_id, flow, state, status, fingerprint, version, \
             lease_until, created_at, updated_at) SELECT 'orc_' || n, 'CHITTY-PEO-b', 'x', 'v1.gone.x', \
             'running', '', 1, '2026-01-01', '', '' FROM numbers",
        );
        world.services.set("register", crate::world::Behaviour::Work);
        world.advance_ms(60_000);
        tasks::scheduled(&gateway.app).await;
        let done = "orchestrations WHERE status = 'completed'";
        assert_eq!(world.db.count(done), 1);
        // They rest for longer each time.
        world.advance_ms(8_000);
        let due = "orchestrations WHERE status = 'running' AND lease_until <= ";
        let now = seams::time::iso8601(world.clock_ms());
        assert_eq!(world.db.count(&format!("{due}'{now}'")), 40);
        tasks::scheduled(&gateway.app).await;
        world.advance_ms(8_000);
        let now = seams::time::iso8601(world.clock_ms());
        assert_eq!(world.db.count(&format!("{due}'{now}'")), 0);
    });
}

#[test]
fn one_kind_that_cannot_be_removed_keeps_no_other() {
    let (world, gateway) = World::warm_with(ALONE);
    run(async {
        world.db.execute(
            "CREATE TRIGGER broken BEFORE DELETE ON idempotency_keys \
             BEGIN SELECT RAISE(ABORT, 'broken'); END; \
             INSERT INTO idempotency_keys (actor_id, key, fingerprint, status, body, created_at, \
             expires_at) VALUES ('a', 'k', '', 200, '', '', '2026-01-01'); \
             INSERT INTO key_secrets (secret_sha256, key_id, hint, created_at, valid_until) \
             VALUES ('s', 'k', '', '', '2026-01-01')",
        );
        tasks::scheduled(&gateway.app).await;
        assert_eq!((world.db.count("key_secrets"), world.db.count("idempotency_keys")), (0, 1));
        let page = page(&gateway).await;
        let late = "chittyconnect_work_oldest_seconds{work=\"pruning_idempotency_keys\"}";
        assert!(sample(&page, late) > 86_400, "{page}");
        let due = "chittyconnect_work_due{work=\"pruning_idempotency_keys\"}";
        assert_eq!(sample(&page, due), 1);
    });
}

#[test]
fn removing_ends_with_its_time_and_after_a_bounded_number_of_statements() {
    let (world, gateway) = World::warm_with(ALONE);
    run(async {
        let ready = Ready::ensure(&gateway.app).await.unwrap();
        // There is always one more of it.
        let endless = || Prune {
            what: "endless",
            statement: Statement::new("UPDATE registration_steps SET result = result"),
        };
        let now_ms = gateway.app.now_ms();
        world.db.reset_calls();
        work::prune(&gateway.app, ready, vec![endless(), endless()], now_ms).await;
        assert_eq!(world.db.calls(), 0);
        work::prune(&gateway.app, ready, vec![endless(), endless()], now_ms + 1_000_000).await;
        assert_eq!(world.db.calls(), 400);
    });
}

#[test]
fn what_has_a_dead_letter_is_kept_with_it_and_is_no_backlog() {
    let (world, gateway) = World::warm_with(ALONE);
    run(async {
        let event = |seq: u32, id: &str, at: &str| {
            world.db.execute(&format!(
                "INSERT INTO outbox (seq, event_id, event_type, entity_type, entity_id, actor_id, \
                 created_at, due_at, done_at) VALUES ({seq}, '{id}', 'context.updated', 'context', 'x', \
                 'y', '{at}', '{at}', '{at}')"
            ));
        };
        // Old ones, and ones that are old enough where there are more than two million.
        for (seq, old, id) in
            [(101, true, "a"), (102, true, "b"), (103, false, "c"), (104, false, "d")]
        {
            let at = if old { "2025-12-20T00:00:00.000Z" } else { "2026-01-01T18:00:00.000Z" };
            event(seq, id, at);
        }
        event(3_000_000, "e", &seams::time::iso8601(gateway.app.now_ms()));
        world.db.execute(
            "INSERT INTO dead_letters (id, queue, body, reason, event_id, attempts, created_at) \
             SELECT 'dl_' || event_id, 'CONTEXT_OPS_Q', '', 'r', event_id, 1, created_at FROM outbox \
             WHERE event_id IN ('a', 'c')",
        );
        tasks::scheduled(&gateway.app).await;
        let kept = "SELECT event_id FROM outbox WHERE length(event_id) = 1 ORDER BY seq";
        assert_eq!(world.db.cells(kept), ["a", "c", "e"]);
        let due = "chittyconnect_work_due{work=\"pruning_events\"}";
        assert_eq!(sample(&page(&gateway).await, due), 0);
    });
}

#[test]
fn findings_are_noted_also_where_one_cannot_be() {
    let (world, gateway) = World::warm_with(ALONE);
    run(async {
        connections(&world, 1, 10, "'CHITTY-PEO-a'", "active", "'2026-01-01'");
        world.db.execute(
            "CREATE TRIGGER broken BEFORE UPDATE OF last_health_check ON connections \
             WHEN NEW.connection_id = 'conn_5' BEGIN SELECT RAISE(ABORT, 'broken'); END",
        );
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.db.count("connections WHERE last_health_check IS NOT NULL"), 9);
    });
}

/// Ten thousand connections, one in fifty of them dead, six of ten of one owner; a run of the cron each
/// minute, beside those before that are not done.
#[test]
fn ten_thousand_connections_are_checked_in_time() {
    const MINUTES: u64 = 11;
    let (world, gateway) = World::warm_with(ALONE);
    let owner = "iif(n <= 6000, 'CHITTY-PEO-big', 'CHITTY-PEO-' || (n % 400))";
    let due = format!("strftime('%Y-%m-%dT%H:%M:%fZ', '{START}', '+' || (n % 300) || ' seconds')");
    connections(&world, 1, 10_000, owner, "active", &due);
    let is_dead = |n: u32| n.is_multiple_of(50);
    world.outside.take_time(&world.clock, move |request| {
        let number = request.url.split_once("://h").unwrap().1.split('.').next().unwrap();
        if is_dead(number.parse().unwrap()) { 60_000 } else { 120 }
    });
    let begun_ms = world.clock_ms();
    let late_s = Rc::new(RefCell::new(Vec::new()));
    simulate(&world, async {
        let rounds = (0..MINUTES).map(|minute| {
            let (world, gateway, late_s) = (world.clone(), gateway.clone(), Rc::clone(&late_s));
            async move {
                world.clock.sleep(minute * 60_000).await;
                let page = page(&gateway).await;
                let late = "chittyconnect_work_oldest_seconds{work=\"connection_checks\"}";
                late_s.borrow_mut().push(sample(&page, late));
                tasks::scheduled(&gateway.app).await;
            }
        });
        join_all(rounds).await;
    });
    // Each is due at least every 300 s and a quarter; a cron comes every 60 s.
    let since_ms = begun_ms + (MINUTES - 1) * 60_000 - (375 + 60 + 60) * 1000;
    let since = seams::time::iso8601(since_ms);
    let forgotten = format!(
        "connections WHERE CAST(substr(connection_id, 6) AS INTEGER) % 50 <> 0 \
         AND ifnull(last_health_check, '') < '{since}'"
    );
    assert_eq!(world.db.count(&forgotten), 0);
    // Two hundred targets that fall silent at once delay the others by less than three minutes, once.
    let late_s = late_s.take();
    assert!(late_s.iter().max() <= Some(&180), "late by {late_s:?} s");
    assert!(late_s.iter().skip(7).all(|late_s| *late_s <= 120), "late by {late_s:?} s");
    // Four at once and two for renewals in a run, and at most five runs beside each other.
    assert!(world.outside.most_waiting.get() <= 5 * 6, "{}", world.outside.most_waiting.get());
}

/// Five million events a day: what a minute brings is sealed, archived and forgotten in a minute.
#[test]
fn five_million_events_a_day_are_kept_up_with() {
    const A_MINUTE: u32 = 5_000_000 / 1440 + 1;
    let vars = [("GITHUB_APP_ID", None), ("AUDIT_KEEP_ENTRIES", Some("1000"))];
    let (world, gateway) = World::warm_with(&vars);
    run(async {
        for minute in 0..4u32 {
            let from = minute * A_MINUTE;
            world.db.execute(&format!(
                "WITH RECURSIVE numbers (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers \
                 WHERE n < {from} + {A_MINUTE} - 1) \
                 INSERT INTO outbox (event_id, event_type, entity_type, entity_id, actor_id, created_at, \
                 due_at, done_at) SELECT 'evt_x' || n, 'context.updated', 'context', 'x' || (n % 700), 'y', \
                 '2025-12-20', '2025-12-20', '2025-12-20' FROM numbers; \
                 WITH RECURSIVE numbers (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers \
                 WHERE n < {from} + {A_MINUTE} - 1) \
                 INSERT INTO idempotency_keys (actor_id, key, fingerprint, status, body, created_at, \
                 expires_at) SELECT 'a', n, '', 201, '', '', '2026-01-01' FROM numbers"
            ));
            world.db.reset_calls();
            tasks::scheduled(&gateway.app).await;
            assert!(world.db.calls() < 500, "{} round trips", world.db.calls());
            assert_eq!(world.db.count("outbox WHERE done_at < '2025-12-21'"), 0);
            assert_eq!(world.db.count("idempotency_keys"), 0);
            let page = page(&gateway).await;
            assert_eq!(sample(&page, "chittyconnect_audit_entries{place=\"unsealed\"}"), 0);
            let kept = sample(&page, "chittyconnect_audit_entries{place=\"database\"}");
            assert!(kept < 1000 + 2000, "{kept}");
            world.advance_ms(60_000);
        }
        let found = gateway.get("/v1/audit/verify", Some("dev-root+admin")).await.json;
        assert_eq!((&found["valid"], &found["checked"]), (&json!(true), &json!(10_000)));
    });
}

#[test]
fn a_fault_at_any_call_of_the_cron_is_made_good_by_the_next() {
    for fault in [Fault::Before, Fault::After] {
        for failing in 1..=40 {
            let (world, gateway) = World::warm_with(ALONE);
            run(async {
                connections(&world, 1, 3, "'CHITTY-PEO-a'", "active", "'2026-01-01'");
                world.db.reset_calls();
                world.db.set_fault(move |call| if call == failing { fault } else { Fault::None });
                tasks::scheduled(&gateway.app).await;
                world.db.set_fault(|_| Fault::None);
                world.advance_ms(400_000);
                tasks::scheduled(&gateway.app).await;
                let checked = "connections WHERE last_health_check > '2026-01-02T03:10'";
                assert_eq!(world.db.count(checked), 3, "call {failing} {fault:?}");
            });
        }
    }
}

/// The rows of runs, by their lease.
static RUNS: Queue = Queue {
    due: Due {
        name: "runs",
        from: "orchestrations",
        key: &["id"],
        owner: None,
        at: "lease_until",
        condition: "status = 'running'",
    },
    lease: "lease_until",
    attempts: "attempts",
    set: "attempts = attempts + 1",
};

fn put_run(world: &World) {
    world.db.execute(
        "INSERT INTO orchestrations (id, owner_chitty_id, flow, state, status, fingerprint, version, \
         lease_until, created_at, updated_at) VALUES ('orc_1', '', '', '', 'running', '', 1, '', '', '')",
    );
}

#[test]
fn a_row_is_claimed_again_at_the_end_of_its_lease_and_not_before() {
    let (world, gateway) = World::warm_with(ALONE);
    put_run(&world);
    run(async {
        let ready = Ready::ensure(&gateway.app).await.unwrap();
        let claims = async |statement: Statement| {
            let claimed = RUNS.read(ready.db().rows(statement).await.unwrap()).unwrap();
            claimed.into_iter().map(|(claim, _)| claim.attempts).collect::<Vec<i64>>()
        };
        let lease_ms = 10_000;
        let hold = Hold::Lease(lease_ms);
        let at_ms = 1_800_000_000_000;
        assert_eq!(claims(RUNS.claim(hold, at_ms, 0, 5, "")).await, [1]);
        for (after_ms, attempts) in [(0, None), (9_999, None), (10_000, Some(2)), (19_999, None)] {
            let statement = RUNS.claim(hold, at_ms + after_ms, 0, 5, "");
            assert_eq!(claims(statement).await, Vec::from_iter(attempts), "{after_ms}");
        }
        for (after_ms, attempts) in [(19_999, None), (20_000, Some(3)), (29_999, None)] {
            let statement = RUNS.claim_one("orc_1", lease_ms, at_ms + after_ms, "", "");
            assert_eq!(claims(statement).await, Vec::from_iter(attempts), "{after_ms}");
        }
        for (after_ms, attempts) in [(29_999, None), (30_000, Some(4)), (39_999, None)] {
            let lane = ("owner_chitty_id", "");
            let statement = RUNS.claim_lane(lane, "id", lease_ms, at_ms + after_ms, 5, "");
            assert_eq!(claims(statement).await, Vec::from_iter(attempts), "{after_ms}");
        }
    });
}

#[test]
fn a_lease_that_is_extended_lasts_from_then_on() {
    let (world, gateway) = World::warm_with(ALONE);
    put_run(&world);
    run(async {
        let ready = Ready::ensure(&gateway.app).await.unwrap();
        let at_ms = 1_800_000_000_000;
        let claim = async |at_ms| {
            let statement = RUNS.claim_one("orc_1", 10_000, at_ms, "", "");
            RUNS.read(ready.db().rows(statement).await.unwrap()).unwrap().pop()
        };
        let (first, _) = claim(at_ms).await.unwrap();
        let (extension, second) = first.extend(at_ms + 5_000, 10_000);
        ready.db().batch(vec![extension]).await.unwrap();
        assert!(claim(at_ms + 14_999).await.is_none());
        // Only the claim as it is now holds the row.
        assert!(ready.db().batch(vec![first.assert_held()]).await.is_err());
        ready.db().batch(vec![second.assert_held()]).await.unwrap();
        assert!(claim(at_ms + 15_000).await.is_some());
    });
}
