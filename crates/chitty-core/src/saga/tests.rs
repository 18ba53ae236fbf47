//! Sagas that crash at every point, with services that remember what they did.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::pending;
use serde_json::{Value, json};

use super::*;
use crate::breaker::BreakerConfig;
use crate::{
    CallContext, ChittyCore, Clock, CoreConfig, FLOWS, HttpMethod, HttpRequest, HttpResponse,
    Service, Transport, TransportError,
};

/// What the services hold, and when the caller crashes.
#[derive(Default)]
struct World {
    minted: RefCell<BTreeSet<String>>,
    orphaned: RefCell<BTreeSet<String>>,
    /// The entries of ChittyChronicle, which does not recognise repeats.
    entries: RefCell<Vec<Value>>,
    tokens: RefCell<BTreeSet<String>>,
    records: RefCell<BTreeSet<String>>,
    registered: RefCell<BTreeSet<String>>,
    beacons: Cell<u32>,
    /// The answers by idempotency key: a repeat gets the same answer.
    answers: RefCell<BTreeMap<String, Value>>,
    made: Cell<u32>,
    /// The faults of services.
    faults: RefCell<BTreeMap<Service, Fault>>,
    /// How many points the caller passes before it crashes; `None` for never.
    fuse: Cell<Option<u32>>,
    /// The saga as it was saved.
    saved: RefCell<Option<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Refuses without effect, but not the requests that undo something.
    Refuse,
    /// Answers 500, without effect.
    Fail,
    /// Has the effect, but does not answer.
    Swallow,
    /// Has the effect, but its answer cannot be read.
    Garble,
    /// Answers 404 to everything, without effect, as a proxy in front of the service may.
    Lost,
}

impl World {
    /// A point at which the caller may crash: then this never returns.
    async fn point(&self) {
        match self.fuse.get() {
            Some(0) => pending().await,
            left => self.fuse.set(left.map(|left| left - 1)),
        }
    }

    fn make(&self, what: &RefCell<BTreeSet<String>>, prefix: &str) -> String {
        self.made.set(self.made.get() + 1);
        let id = format!("{prefix}{}", self.made.get());
        what.borrow_mut().insert(id.clone());
        id
    }

    fn effect(&self, request: &HttpRequest) -> (u16, Value) {
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap_or("{}")).unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let path = request.url.split(".chitty.cc").nth(1).unwrap();
        match (request.service, path) {
            // Neither ChittyID nor ChittyChronicle looks at the key.
            (Service::Id, _) => (200, json!({"chittyId": self.make(&self.minted, "CHITTY-PEO-")})),
            (Service::Auth, "/v1/tokens/provision") => {
                let id = self.make(&self.tokens, "tok-");
                (201, json!({"token": format!("secret-{id}"), "tokenId": id}))
            }
            (Service::Auth, "/v1/tokens/validate") => match text("token").strip_prefix("secret-") {
                Some(id) if self.tokens.borrow().contains(id) => {
                    (200, json!({"valid": true, "chittyId": "CHITTY-PEO-1"}))
                }
                _ => (200, json!({"valid": false})),
            },
            (Service::Auth, _) => match self.tokens.borrow_mut().remove(&text("tokenId")) {
                true => (200, json!({"success": true})),
                false => (404, json!({"success": false, "error": "no such token"})),
            },
            (Service::Canon, "/canon/records") => {
                (201, json!({"id": self.make(&self.records, "rec-")}))
            }
            (Service::Canon, path) => {
                let id = path.strip_prefix("/canon/records/").unwrap().replace("%2D", "-");
                match self.records.borrow_mut().remove(&id) {
                    true => (200, json!({"success": true})),
                    false => (404, json!({"error": "gone"})),
                }
            }
            (Service::Register, "/api/v1/register") => {
                self.registered.borrow_mut().insert(text("name"));
                (201, json!({"success": true, "chitty_id": "CHITTY-REG-1"}))
            }
            (Service::Register, path) => {
                let name = path.split('/').nth(3).unwrap().replace("%2D", "-");
                match self.registered.borrow_mut().remove(&name) {
                    true => (200, json!({"success": true})),
                    false => (404, json!({"success": false, "error": "unknown"})),
                }
            }
            (Service::Chronicle, _) if request.method == HttpMethod::Get => {
                (200, json!(*self.entries.borrow()))
            }
            (Service::Chronicle, _) => {
                self.entries.borrow_mut().push(body.clone());
                self.orphaned
                    .borrow_mut()
                    .insert(body["metadata"]["entityId"].as_str().unwrap().to_owned());
                (200, json!({"id": "1"}))
            }
            (Service::Beacon, _) => {
                self.beacons.set(self.beacons.get() + 1);
                (202, json!({"success": true}))
            }
            (other, path) => panic!("{other} {path}"),
        }
    }

    fn answer(&self, request: &HttpRequest) -> (u16, Value) {
        let key = request.headers.iter().find(|(name, _)| *name == "idempotency-key");
        let heeds_keys = !matches!(request.service, Service::Id | Service::Chronicle);
        let Some((_, key)) = key.filter(|_| heeds_keys) else {
            return self.effect(request);
        };
        if let Some(answer) = self.answers.borrow().get(key) {
            return (200, answer.clone());
        }
        let (status, answer) = self.effect(request);
        self.answers.borrow_mut().insert(key.clone(), answer.clone());
        (status, answer)
    }
}

struct Services(Rc<World>);

#[async_trait(?Send)]
impl Transport for Services {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        self.0.point().await;
        let fault = self.0.faults.borrow().get(&request.service).copied();
        let (status, body) = match fault {
            Some(Fault::Refuse) if !undoes(&request) => (400, json!({"error": "no"})),
            Some(Fault::Fail) => (500, json!({"error": "broken"})),
            Some(Fault::Swallow) => {
                self.0.answer(&request);
                return Err(TransportError::Timeout);
            }
            Some(Fault::Garble) => {
                self.0.answer(&request);
                (200, json!("<html>"))
            }
            Some(Fault::Lost) => (404, json!({"error": "Not found"})),
            Some(Fault::Refuse) | None => self.0.answer(&request),
        };
        self.0.point().await;
        let body = match body {
            Value::String(text) => text,
            body => body.to_string(),
        };
        Ok(HttpResponse { status, retry_after: None, body: body.into_bytes() })
    }
}

fn undoes(request: &HttpRequest) -> bool {
    request.method != HttpMethod::Post || request.url.ends_with("/revoke")
}

struct Saved(Rc<World>);

#[async_trait(?Send)]
impl Journal for Saved {
    async fn save(&self, saga: &Saga) -> Result<(), String> {
        self.0.point().await;
        *self.0.saved.borrow_mut() = Some(serde_json::to_string(saga).unwrap());
        self.0.point().await;
        Ok(())
    }
}

struct StandStill;

#[async_trait(?Send)]
impl Clock for StandStill {
    fn now_ms(&self) -> u64 {
        0
    }
    async fn sleep(&self, _: u64) {}
    fn jitter(&self, _: u32) -> u32 {
        0
    }
}

fn saga(flow: &Flow) -> Saga {
    let input = json!({"email": "a@example.org", "role": "user"});
    assert!((flow.check)(&input).is_empty());
    Saga::new(flow, "orc_1".to_owned(), input, "2026-01-01T00:00:00.000Z".to_owned())
}

/// Runs one process, which advances the saga to its end, a halt or the crash (`None`).
fn live(world: &Rc<World>, flow: &Flow, mut saga: Saga) -> Option<(Saga, Result<(), Halt>)> {
    let config = CoreConfig {
        breaker: BreakerConfig { min_calls: 0, ..BreakerConfig::default() },
        ..CoreConfig::new("test")
    };
    let services = Rc::new(Services(Rc::clone(world)));
    let core = ChittyCore::new(config, services, Rc::new(StandStill));
    let session = core.session(CallContext::default());
    let journal = Saved(Rc::clone(world));
    let result = session.advance(flow, &mut saga, &journal).now_or_never()?;
    Some((saga, result))
}

/// Loads the saga as a process finds it that starts after a crash.
fn found(world: &World, flow: &Flow) -> Saga {
    let saved = world.saved.borrow().clone();
    saved.map_or_else(|| saga(flow), |text| serde_json::from_str(&text).unwrap())
}

/// Runs one process after another until the saga's end.
fn to_the_end(world: &Rc<World>, flow: &Flow) -> Saga {
    for _ in 0..50 {
        if let Some((saga, _)) = live(world, flow, found(world, flow))
            && saga.status.is_final()
        {
            return saga;
        }
    }
    panic!("no end: {:?}", world.saved.borrow());
}

/// Checks that everything exists exactly once, or that nothing exists, and that each minted id is used
/// or recorded as orphaned, except those of mints in doubt.
fn assert_all_or_nothing(world: &World, flow: &Flow, saga: &Saga, at: &str) {
    let live = [&world.tokens, &world.records, &world.registered].map(|held| held.borrow().len());
    let steps = |name: &str| usize::from(flow.steps.iter().any(|step| step.name == name));
    let all = [1, steps("canon"), 1];
    let minted = world.minted.borrow().len();
    let in_doubt = saga.steps[0].in_doubt as usize;
    let told = world.entries.borrow().len();
    assert_eq!(told, world.orphaned.borrow().len(), "{at}: told twice");
    match saga.status {
        SagaStatus::Completed => {
            assert_eq!(live, all, "{at}");
            assert!(minted <= 1 + in_doubt && minted >= 1, "{at}: {saga:?}");
            assert!(world.orphaned.borrow().is_empty(), "{at}");
        }
        SagaStatus::Compensated => {
            assert_eq!(live, [0, 0, 0], "{at}: {saga:?}");
            let known = world.orphaned.borrow().len();
            assert!(minted <= known + in_doubt, "{at}: {saga:?}");
        }
        other => panic!("{at}: {other:?} {saga:?}"),
    }
}

/// Returns the number of points of a run without a crash.
fn points(flow: &Flow, faults: &BTreeMap<Service, Fault>) -> u32 {
    const MANY: u32 = 10_000;
    let world = Rc::new(World::default());
    *world.faults.borrow_mut() = faults.clone();
    world.fuse.set(Some(MANY));
    let _ = to_the_end(&world, flow);
    MANY - world.fuse.get().unwrap()
}

#[test]
fn without_trouble_every_step_is_done_once() {
    for flow in FLOWS {
        let world = Rc::new(World::default());
        let (saga, result) = live(&world, flow, saga(flow)).unwrap();
        assert!(result.is_ok());
        assert_eq!(saga.status, SagaStatus::Completed);
        assert!(saga.steps.iter().all(|step| step.state == StepState::Done && step.attempts == 1));
        assert_eq!((world.minted.borrow().len(), world.beacons.get()), (1, 1));
        assert_all_or_nothing(&world, flow, &saga, flow.name);
        assert_eq!(found(&world, flow), saga, "the saga is saved at its end");
    }
}

#[test]
fn crashed_at_any_point_once_or_twice_it_ends_with_all_or_nothing() {
    let refusals = [
        None,
        Some(Service::Id),
        Some(Service::Auth),
        Some(Service::Canon),
        Some(Service::Register),
        Some(Service::Beacon),
    ];
    for flow in FLOWS {
        for refused in refusals {
            let faults: BTreeMap<Service, Fault> =
                refused.into_iter().map(|service| (service, Fault::Refuse)).collect();
            for first in 0..points(flow, &faults) {
                for second in [None, Some(0), Some(1), Some(2), Some(3), Some(5), Some(8)] {
                    let world = Rc::new(World::default());
                    *world.faults.borrow_mut() = faults.clone();
                    world.fuse.set(Some(first));
                    let at = format!("{} {refused:?} {first} {second:?}", flow.name);
                    let crashed = live(&world, flow, found(&world, flow)).is_none();
                    if crashed && let Some(second) = second {
                        world.fuse.set(Some(second));
                        let _ = live(&world, flow, found(&world, flow));
                    }
                    world.fuse.set(None);
                    let saga = to_the_end(&world, flow);
                    let refused = refused.filter(|service| {
                        *service != Service::Beacon
                            && (*service != Service::Canon || flow.steps.len() > 4)
                    });
                    let expected = if refused.is_some() {
                        SagaStatus::Compensated
                    } else {
                        SagaStatus::Completed
                    };
                    assert_eq!(saga.status, expected, "{at}: {saga:?}");
                    assert_all_or_nothing(&world, flow, &saga, &at);
                }
            }
        }
    }
}

#[test]
fn a_saga_waits_for_the_end_of_an_outage_and_turns_back_if_it_lasts() {
    for flow in FLOWS {
        for (service, fault) in [
            (Service::Auth, Fault::Fail),
            (Service::Auth, Fault::Swallow),
            (Service::Register, Fault::Fail),
            (Service::Register, Fault::Swallow),
            (Service::Auth, Fault::Garble),
            (Service::Register, Fault::Garble),
        ] {
            // The outage passes.
            let world = Rc::new(World::default());
            world.faults.borrow_mut().insert(service, fault);
            let (stopped, result) = live(&world, flow, found(&world, flow)).unwrap();
            assert!(matches!(result, Err(Halt::Service(error)) if error.service == service));
            assert_eq!(stopped.status, SagaStatus::Running);
            world.faults.borrow_mut().clear();
            let saga = to_the_end(&world, flow);
            assert_eq!(saga.status, SagaStatus::Completed);
            assert_all_or_nothing(&world, flow, &saga, "an outage that passes");

            // The outage lasts until the saga has turned back, and the undoing waits for its end.
            let world = Rc::new(World::default());
            world.faults.borrow_mut().insert(service, fault);
            let mut lives = 0;
            while found(&world, flow).status == SagaStatus::Running {
                let _ = live(&world, flow, found(&world, flow)).unwrap();
                lives += 1;
            }
            assert_eq!(lives, MAX_ATTEMPTS);
            world.faults.borrow_mut().clear();
            let saga = to_the_end(&world, flow);
            assert_eq!(saga.status, SagaStatus::Compensated);
            assert_all_or_nothing(&world, flow, &saga, "an outage that lasts");
        }
    }
}

#[test]
fn an_outage_does_not_end_a_saga_while_its_token_is_valid() {
    for flow in FLOWS {
        for outage in [Fault::Fail, Fault::Swallow, Fault::Garble, Fault::Lost] {
            // The token exists, the registration is refused, and then ChittyAuth does not revoke the token.
            let world = Rc::new(World::default());
            world.faults.borrow_mut().insert(Service::Register, Fault::Refuse);
            let at_the_revocation = points(flow, &world.faults.borrow());
            for crash in 0..at_the_revocation {
                let world = Rc::new(World::default());
                world.faults.borrow_mut().insert(Service::Register, Fault::Refuse);
                world.fuse.set(Some(crash));
                let _ = live(&world, flow, found(&world, flow));
                world.fuse.set(None);
                world.faults.borrow_mut().insert(Service::Auth, outage);
                for _ in 0..30 {
                    let _ = live(&world, flow, found(&world, flow));
                    let saga = found(&world, flow);
                    let lives = !world.tokens.borrow().is_empty();
                    assert!(!(lives && saga.status.is_final()), "{outage:?} {crash} {saga:?}");
                }
                world.faults.borrow_mut().remove(&Service::Auth);
                let saga = to_the_end(&world, flow);
                assert_all_or_nothing(&world, flow, &saga, "after the outage");
            }
        }
    }
}

#[test]
fn a_token_whose_answer_was_lost_is_found_and_revoked() {
    for flow in FLOWS {
        for fault in [Fault::Swallow, Fault::Garble] {
            let world = Rc::new(World::default());
            world.faults.borrow_mut().insert(Service::Auth, fault);
            for _ in 0..20 {
                let _ = live(&world, flow, found(&world, flow));
            }
            let open = found(&world, flow);
            assert_eq!(world.tokens.borrow().len(), 1, "made once, however often it was asked for");
            assert_eq!(open.status, SagaStatus::Compensating, "{fault:?}: {open:?}");
            world.faults.borrow_mut().clear();
            let saga = to_the_end(&world, flow);
            assert_eq!(saga.status, SagaStatus::Compensated);
            assert_all_or_nothing(&world, flow, &saga, "found out");
        }
        // A token that ChittyAuth refuses at the repeat was never made.
        let world = Rc::new(World::default());
        world.faults.borrow_mut().insert(Service::Auth, Fault::Fail);
        for _ in 0..MAX_ATTEMPTS {
            let _ = live(&world, flow, found(&world, flow));
        }
        world.faults.borrow_mut().insert(Service::Auth, Fault::Refuse);
        assert_eq!(to_the_end(&world, flow).status, SagaStatus::Compensated);
    }
}

#[test]
fn a_sign_of_life_that_fails_stops_nothing() {
    for fault in [Fault::Refuse, Fault::Fail, Fault::Swallow, Fault::Garble, Fault::Lost] {
        let world = Rc::new(World::default());
        world.faults.borrow_mut().insert(Service::Beacon, fault);
        let saga = to_the_end(&world, FLOWS[0]);
        assert_eq!(saga.status, SagaStatus::Completed);
        assert_eq!(saga.steps.last().unwrap().state, StepState::Skipped);
    }
}

#[test]
fn a_refused_compensation_fails_the_saga_but_does_not_stop_the_others() {
    let world = Rc::new(World::default());
    world.faults.borrow_mut().insert(Service::Register, Fault::Refuse);
    world.faults.borrow_mut().insert(Service::Chronicle, Fault::Refuse);
    let saga = to_the_end(&world, FLOWS[1]);
    assert_eq!(saga.status, SagaStatus::Failed);
    assert_eq!(saga.steps[0].state, StepState::Stuck);
    assert_eq!(saga.steps[0].error.as_deref(), Some("chittychronicle: refused"));
    assert!(world.tokens.borrow().is_empty() && world.records.borrow().is_empty());
}

#[test]
fn a_journal_that_fails_stops_the_saga_before_the_step() {
    struct Broken;
    #[async_trait(?Send)]
    impl Journal for Broken {
        async fn save(&self, _: &Saga) -> Result<(), String> {
            Err("full".to_owned())
        }
    }
    let world = Rc::new(World::default());
    let services = Rc::new(Services(Rc::clone(&world)));
    let core = ChittyCore::new(CoreConfig::new("test"), services, Rc::new(StandStill));
    let mut saga = saga(FLOWS[0]);
    let session = core.session(CallContext::default());
    let result = session.advance(FLOWS[0], &mut saga, &Broken).now_or_never().unwrap();
    assert!(matches!(result, Err(Halt::Journal(_))));
    assert!(world.minted.borrow().is_empty());
}

#[test]
fn a_journal_that_another_version_has_written_is_read() {
    let written = include_str!("../../tests/golden/saga-v1.json");
    let saga: Saga = serde_json::from_str(written).unwrap();
    assert_eq!(serde_json::to_string(&saga).unwrap(), written.trim_end());
    let other = r#"{"id":"s","flow":"f","input":{},"started_at":"2026-01-02T03:04:05.678Z",
        "status":"running","steps":[{"name":"mint","state":"pending","later":1}],"later":1}"#;
    let saga: Saga = serde_json::from_str(other).unwrap();
    assert_eq!(saga.steps[0].attempts, 0);
}
