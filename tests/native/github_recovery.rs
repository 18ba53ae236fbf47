//! Deliveries that never arrived: each is found on GitHub's list, and asked for again by itself.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use chittyconnect::github;
use chittyconnect::store::Ready;
use seams::outside::{OutsideRequest, OutsideResponse};
use seams::time;
use serde_json::{Value, json};

use crate::world::outside::answer;
use crate::world::{Isolate, Verdict, World, run};

const ADMIN: &str = "dev-root+admin";
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const LIST: &str = "/app/hook/deliveries";

/// An attempt at a delivery, as GitHub lists it.
struct Attempt {
    id: u64,
    guid: String,
    at: String,
    status: u16,
}

/// GitHub's list of deliveries, the oldest first, and what it says to those who ask for one again.
#[derive(Default)]
struct Hook {
    attempts: RefCell<Vec<Attempt>>,
    /// The status by guid where it is not 202.
    refuses: RefCell<BTreeMap<String, u16>>,
    /// Which were asked for again, in order.
    asked: RefCell<Vec<String>>,
    pages: Cell<u32>,
    /// The longest cursor that is still good; a cursor from before is refused.
    forgets_cursors: Cell<bool>,
}

impl Hook {
    fn of(world: &World) -> Rc<Self> {
        let hook = Rc::<Hook>::default();
        let (shared, clock) = (Rc::clone(&hook), world.clone());
        world.outside.set(move |request| Ok(shared.answer(request, clock.clock_ms())));
        hook
    }

    fn add(&self, guid: &str, at_ms: u64) {
        self.add_refused(guid, at_ms, 502);
    }

    /// One that was answered with this status.
    fn add_refused(&self, guid: &str, at_ms: u64, status: u16) {
        let mut attempts = self.attempts.borrow_mut();
        let id = 7_000_000_000 + attempts.len() as u64;
        attempts.push(Attempt { id, guid: guid.to_owned(), at: time::iso8601(at_ms), status });
    }

    fn asked(&self, guid: &str) -> usize {
        self.asked.borrow().iter().filter(|asked| *asked == guid).count()
    }

    fn answer(&self, request: &OutsideRequest, now_ms: u64) -> OutsideResponse {
        let path = request.url.strip_prefix("http://github/api").unwrap();
        if let Some(id) = path.strip_suffix("/attempts") {
            let id: u64 = id.rsplit('/').next().unwrap().parse().unwrap();
            return self.again(id, now_ms);
        }
        let (path, query) = path.split_once('?').unwrap();
        assert_eq!(path, LIST);
        self.pages.set(self.pages.get() + 1);
        let cursor = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "cursor");
        if cursor.is_some() && self.forgets_cursors.take() {
            return answer(422, "{}");
        }
        let attempts = self.attempts.borrow();
        let end = match &cursor {
            Some((_, at)) => at.strip_prefix("v1_").unwrap().parse::<usize>().unwrap(),
            None => attempts.len(),
        };
        let begin = end.saturating_sub(100);
        let shown = attempts[begin..end].iter().rev().map(|attempt| {
            json!({
                "id": attempt.id, "guid": attempt.guid, "delivered_at": attempt.at,
                "redelivery": false, "status_code": attempt.status, "event": "push", "action": null,
            })
        });
        let mut page = answer(200, &Value::Array(shown.collect()).to_string());
        if begin > 0 {
            let link =
                format!("<http://github/api{LIST}?per_page=100&cursor=v1_{begin}>; rel=\"next\"");
            page.headers.push(("link".to_owned(), link));
        }
        page
    }

    /// Takes it on, and delivers in vain.
    fn again(&self, id: u64, now_ms: u64) -> OutsideResponse {
        let found =
            self.attempts.borrow().iter().find(|one| one.id == id).map(|one| one.guid.clone());
        let Some(guid) = found else { return answer(404, "{}") };
        self.asked.borrow_mut().push(guid.clone());
        if let Some(status) = self.refuses.borrow().get(&guid) {
            return answer(*status, "{}");
        }
        self.add(&guid, now_ms);
        answer(202, "{}")
    }
}

/// A minute passes, and the cron makes its round of what is GitHub's.
async fn rounds(world: &World, gateway: &Isolate, count: usize) {
    slow_rounds(world, gateway, count, 1).await;
}

/// So many minutes pass before each round.
async fn slow_rounds(world: &World, gateway: &Isolate, count: usize, minutes: u64) {
    let ready = Ready::ensure(&gateway.app).await.unwrap();
    for _ in 0..count {
        world.advance_ms(minutes * MINUTE_MS);
        github::cron(&gateway.app, ready).await;
    }
}

/// Puts deliveries on record, as if they had arrived.
fn record(world: &World, prefix: &str, count: usize) {
    world.db.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count}) \
         INSERT INTO github_deliveries (delivery_id, event, lane, received_at, facts, due_at, done_at) \
         SELECT '{prefix}' || i, 'push', 'l', '{0}', '{{}}', '{0}', '{0}' FROM n",
        time::iso8601(world.clock_ms())
    ));
}

#[test]
fn each_that_is_missing_is_asked_for_by_itself() {
    for status in [404, 422, 403, 500] {
        let (world, gateway) = World::warm();
        let hook = Hook::of(&world);
        let now_ms = world.clock_ms();
        for (age, guid) in [(5, "d-1"), (4, "d-2"), (3, "d-3")] {
            hook.add(guid, now_ms - age * HOUR_MS);
        }
        // The oldest, which goes first.
        hook.refuses.borrow_mut().insert("d-1".to_owned(), status);
        run(async {
            rounds(&world, &gateway, 1).await;
            assert_eq!(*hook.asked.borrow(), ["d-1", "d-2", "d-3"], "{status}");
            // It is not given up for that, and the others are asked for again after a pause.
            rounds(&world, &gateway, 20).await;
            for guid in ["d-1", "d-2", "d-3"] {
                let asked = hook.asked(guid);
                assert!((2..=6).contains(&asked), "{status} {guid} {asked}");
            }
            hook.refuses.borrow_mut().clear();
            hook.asked.borrow_mut().clear();
            rounds(&world, &gateway, 61).await;
            assert!(hook.asked("d-1") >= 1, "{status}");
        });
    }
}

#[test]
fn each_is_asked_for_once_a_round_whatever_the_pause() {
    let (world, gateway) = World::warm_with(&[("GITHUB_RECOVERY_SECONDS", Some("0"))]);
    let hook = Hook::of(&world);
    for n in 0..25 {
        hook.add(&format!("d-{n}"), world.clock_ms() - HOUR_MS);
    }
    run(async {
        for round in 1..=3 {
            rounds(&world, &gateway, 1).await;
            for n in 0..25 {
                assert_eq!(hook.asked(&format!("d-{n}")), round, "d-{n}");
            }
        }
    });
}

#[test]
fn when_github_itself_is_down_nothing_is_hammered_and_nothing_is_lost() {
    let (world, gateway) = World::warm();
    let hook = Hook::of(&world);
    for n in 0..50 {
        let guid = format!("d-{n}");
        hook.add(&guid, world.clock_ms() - HOUR_MS);
        hook.refuses.borrow_mut().insert(guid, 503);
    }
    run(async {
        rounds(&world, &gateway, 1).await;
        let asked = hook.asked.borrow().len();
        assert!((1..=10).contains(&asked), "{asked}");
        hook.refuses.borrow_mut().clear();
        rounds(&world, &gateway, 70).await;
        for n in 0..50 {
            assert!(hook.asked(&format!("d-{n}")) >= 1, "{n}");
        }
    });
}

#[test]
fn a_list_of_any_length_is_looked_through_in_bounded_steps() {
    let (world, gateway) = World::warm();
    let hook = Hook::of(&world);
    let now_ms = world.clock_ms();
    hook.add("old", now_ms - 48 * HOUR_MS);
    for n in 0..13_000 {
        hook.add(&format!("seen-{n}"), now_ms - 24 * HOUR_MS + n);
        if n == 7_000 {
            hook.add("middle", now_ms - 24 * HOUR_MS + n);
        }
    }
    record(&world, "seen-", 13_000);
    run(async {
        let mut most = 0;
        for round in 0..12 {
            hook.pages.set(0);
            // What GitHub makes meanwhile does not move the cursor.
            hook.add(&format!("new-{round}"), world.clock_ms());
            rounds(&world, &gateway, 1).await;
            most = most.max(hook.pages.get());
            hook.forgets_cursors.set(round == 0);
        }
        assert!(most <= 60, "{most} pages in one round");
        for guid in ["old", "middle", "new-0"] {
            assert!(hook.asked(guid) >= 1, "{guid}");
        }
        assert_eq!(hook.asked("seen-6999"), 0);
        // The list is not read as a whole again.
        hook.pages.set(0);
        rounds(&world, &gateway, 4).await;
        assert!(hook.pages.get() <= 4, "{}", hook.pages.get());
    });
}

#[test]
fn it_is_asked_for_as_long_as_github_repeats_it_and_then_that_is_told() {
    let (world, gateway) = World::warm();
    let hook = Hook::of(&world);
    hook.add("never", world.clock_ms() - 10 * MINUTE_MS);
    run(async {
        // Nothing arrives for two and a half days.
        for _ in 0..60 {
            hook.asked.borrow_mut().clear();
            slow_rounds(&world, &gateway, 6, 10).await;
            let asked = hook.asked("never");
            assert!((1..=8).contains(&asked), "once an hour at least: {asked}");
        }
        let letters = gateway.get("/v1/events/dead-letters", Some(ADMIN)).await;
        assert_eq!(letters.json["count"], 0, "{letters:?}");
        assert!(metric(&world, "chittyconnect_github_deliveries_missing").await == 1);
        slow_rounds(&world, &gateway, 13 * 6, 10).await;
        let letters = gateway.get("/v1/events/dead-letters", Some(ADMIN)).await;
        let letter = &letters.json["dead_letters"][0];
        assert_eq!((&letters.json["count"], &letter["event_id"]), (&json!(1), &json!("never")));
        assert_eq!(letter["event_type"], "push");
        assert!(metric(&world, "chittyconnect_github_deliveries_missing").await == 0);
        hook.asked.borrow_mut().clear();
        rounds(&world, &gateway, 70).await;
        assert_eq!(hook.asked("never"), 0);
        // Whoever replays it has it asked for once more; it arrives this time.
        let id = letter["id"].as_str().unwrap();
        let path = format!("/v1/events/dead-letters/{id}/replay");
        assert_eq!(gateway.post(&path, ADMIN, &json!(null)).await.status, 200);
        assert_eq!(gateway.deliver_webhooks().await, [Verdict::Ack]);
        rounds(&world, &gateway, 2).await;
        assert_eq!(hook.asked("never"), 1);
        let payload = json!({"repository": {"id": 7, "full_name": "o/r"}});
        gateway.webhook("never", "push", &payload).await;
        gateway.deliver_webhooks().await;
        rounds(&world, &gateway, 70).await;
        assert_eq!(hook.asked("never"), 1);
        assert_eq!(world.db.count("github_missing"), 0);
    });
}

/// A gauge on the page of metrics.
async fn metric(world: &World, name: &str) -> i64 {
    let page = world.isolate().get("/metrics", None).await;
    let line = page.text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_arrives_is_not_asked_for_any_more() {
    let (world, gateway) = World::warm();
    let hook = Hook::of(&world);
    hook.add("d-1", world.clock_ms() - HOUR_MS);
    hook.add("young", world.clock_ms() + MINUTE_MS);
    run(async {
        rounds(&world, &gateway, 1).await;
        assert_eq!(*hook.asked.borrow(), ["d-1"], "what is young may be on its way");
        record(&world, "d-", 2);
        record(&world, "young", 1);
        world.db.execute(
            "UPDATE github_deliveries SET delivery_id = 'young' WHERE delivery_id = 'young0'",
        );
        rounds(&world, &gateway, 90).await;
        assert_eq!(hook.asked.borrow().len(), 1);
    });
}

/// Whoever has lost the turn to another changes nothing of what the other does.
#[test]
fn a_round_that_has_lost_its_lease_notes_nothing() {
    let (world, gateway) = World::warm();
    let hook = Hook::of(&world);
    hook.add("d-1", world.clock_ms() - HOUR_MS);
    run(async {
        rounds(&world, &gateway, 1).await;
        let before = world.db.cell("SELECT complete_until FROM github_recovery").unwrap();
        let (other, inner) = (world.clone(), Rc::clone(&hook));
        world.outside.set(move |request| {
            other
                .db
                .execute("UPDATE github_recovery SET leased_until = '2099-01-01T00:00:00.000Z'");
            Ok(inner.answer(request, other.clock_ms()))
        });
        hook.add("d-2", world.clock_ms() - HOUR_MS);
        rounds(&world, &gateway, 3).await;
        let now = world.db.cell("SELECT complete_until || leased_until FROM github_recovery");
        assert_eq!(now.unwrap(), format!("{before}2099-01-01T00:00:00.000Z"));
    });
}

/// Every call to the database fails once, without and with its effect: what is missing is asked for in
/// the end.
#[test]
fn a_database_fault_at_any_call_only_puts_it_off() {
    use crate::world::Fault;
    for fault in [Fault::Before, Fault::After] {
        for at in 1..=30 {
            let (world, gateway) = World::warm();
            let hook = Hook::of(&world);
            for n in 0..110 {
                hook.add(&format!("d-{n}"), world.clock_ms() - HOUR_MS);
            }
            run(async {
                world.db.reset_calls();
                world.db.set_fault(move |call| if call == at { fault } else { Fault::None });
                rounds(&world, &gateway, 1).await;
                world.db.set_fault(|_| Fault::None);
                slow_rounds(&world, &gateway, 4, 4).await;
                for n in 0..110 {
                    let asked = hook.asked(&format!("d-{n}"));
                    assert!((1..=6).contains(&asked), "{fault:?} at {at}: d-{n} {asked}");
                }
            });
        }
    }
}

/// What the gateway has refused for what it is comes to the same however often it comes.
#[test]
fn what_was_refused_is_not_asked_for_any_more() {
    for status in [400, 413, 415, 422] {
        let (world, gateway) = World::warm();
        let hook = Hook::of(&world);
        let now_ms = world.clock_ms();
        hook.add_refused("never", now_ms - 2 * HOUR_MS, status);
        hook.add("later", now_ms - 2 * HOUR_MS);
        // What somebody can mend here is still asked for.
        hook.add_refused("secret", now_ms - 2 * HOUR_MS, 401);
        run(async {
            rounds(&world, &gateway, 1).await;
            assert_eq!(*hook.asked.borrow(), ["later", "secret"], "{status}");
            // The outage is over, and it is refused for what it is.
            hook.add_refused("later", world.clock_ms(), status);
            slow_rounds(&world, &gateway, 20, 10).await;
            assert_eq!(hook.asked("never"), 0, "{status}");
            assert!(hook.asked("later") <= 2, "{status} {}", hook.asked("later"));
            assert!(hook.asked("secret") >= 3, "{status}");
            let open = "SELECT group_concat(delivery_id) FROM github_missing";
            assert_eq!(world.db.cell(open).unwrap(), "secret");
            slow_rounds(&world, &gateway, 80, 60).await;
            let letters = gateway.get("/v1/events/dead-letters", Some(ADMIN)).await;
            let letters = letters.json["dead_letters"].as_array().unwrap();
            let ids: Vec<&Value> = letters.iter().map(|letter| &letter["event_id"]).collect();
            assert_eq!(ids, [&json!("secret")], "{status}");
        });
    }
}
