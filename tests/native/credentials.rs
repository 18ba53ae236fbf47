//! Credentials that may live with nobody: made, renewed or revoked while answers are lost, cannot be
//! read, writes fail, and processes end between a call and its commit.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

use chitty_core::TransportError;
use chittyconnect::app::Slot;
use chittyconnect::connections::unwritten_renewals::UnwrittenRenewals;
use chittyconnect::tasks;
use futures_util::future::join;
use seams::time;
use serde_json::{Value, json};

use crate::world::outside::answer;
use crate::world::{Answer, Behaviour, Fault, Isolate, TestRequest, World, killed_after, run};

const WITHOUT_GITHUB: &[(&str, Option<&str>)] = &[("GITHUB_APP_ID", None)];

fn body(more: &Value) -> Value {
    let mut body = json!({
        "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": "partner",
        "target_endpoint": "https://api.partner.example/v1",
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn provisioned() -> Value {
    body(&json!({
        "target_service": "cases", "target_endpoint": null,
        "credentials": {"type": "provisioned"},
    }))
}

fn creation() -> TestRequest {
    TestRequest::new("POST", "/v1/connections").token("dev-a").json(&provisioned())
}

/// A gateway beside which ChittyAuth has made no key but the gateway's own.
fn begun() -> (World, Isolate, usize) {
    let (world, gateway) = World::warm_with(WITHOUT_GITHUB);
    // Whose token it is is known from now on, so that later only keys are asked for.
    run(gateway.get("/v1/connections", Some("dev-a")));
    let own = world.services.live().len();
    (world, gateway, own)
}

/// The cron, again and again over some time, in an isolate that knows nothing.
async fn cron(world: &World, rounds: usize, pause_ms: u64) {
    let isolate = world.isolate_with(WITHOUT_GITHUB);
    for _ in 0..rounds {
        world.advance_ms(pause_ms);
        tasks::scheduled(&isolate.app).await;
    }
}

async fn through(gateway: &Isolate, id: &str) -> Answer {
    gateway.get(&format!("/v1/connections/{id}/proxy/x"), Some("dev-a")).await
}

/// Every key that lives is a connection's, and every connection's key lives.
async fn assert_no_key_is_nobodys(world: &World, own: usize, at: &str) {
    let live = world.services.live().len() - own;
    assert_eq!(live, world.db.count("connection_secrets"), "{at}");
    assert_eq!(live, world.db.count("connections"), "{at}");
    assert_eq!(world.db.count("credential_revocations"), 0, "{at}");
    if let Some(id) = world.db.cell("SELECT connection_id FROM connections") {
        world.outside.take();
        assert_eq!(through(&world.isolate(), &id).await.status, 200, "{at}");
        let sent = world.outside.take().pop().unwrap();
        let shown = sent.headers.iter().find(|(name, _)| name == "authorization").unwrap();
        let number = shown.1.rsplit('_').next().unwrap();
        assert!(world.services.live().contains(&format!("key_{number}")), "{at}: {shown:?}");
    }
}

#[test]
fn a_process_that_ends_anywhere_in_a_creation_leaves_no_key() {
    let mut orphans = 0;
    for turns in 0.. {
        let (world, gateway, own) = begun();
        let ended = run(killed_after(turns, gateway.send(creation())));
        let left = world.services.live().len() - own;
        orphans += left - world.db.count("connection_secrets");
        run(async {
            cron(&world, 5, 60_000).await;
            assert_no_key_is_nobodys(&world, own, &format!("after {turns} turns")).await;
        });
        if ended.is_some_and(|answer| answer.status == 201) {
            assert_eq!(world.db.count("connections"), 1);
            break;
        }
    }
    assert!(orphans > 2, "it was killed between the key and its connection: {orphans}");
}

#[test]
fn whatever_comes_of_asking_for_a_key_none_is_left_behind() {
    for behaviour in [
        Behaviour::Lost,
        Behaviour::Garbled,
        Behaviour::Hang,
        Behaviour::Unreachable,
        Behaviour::Answer(200, "{}".to_owned()),
        Behaviour::Answer(302, String::new()),
        Behaviour::Answer(404, "{}".to_owned()),
        Behaviour::Answer(500, "{}".to_owned()),
        Behaviour::Busy(503, 60),
    ] {
        let (world, gateway, own) = begun();
        let at = format!("{behaviour:?}");
        run(async {
            world.services.at("/keys/provision", behaviour);
            let refused = gateway.send(creation()).await;
            assert_eq!(refused.code(), "credential_unavailable", "{at}");
            cron(&world, 20, 60_000).await;
            let may_live = world.services.live().len() > own;
            let open = world.db.count("credential_revocations");
            assert!(!may_live || open == 1, "{at}: what may be there is on record");
            world.services.at("/keys/provision", Behaviour::Work);
            cron(&world, 5, 3_600_000).await;
            assert_no_key_is_nobodys(&world, own, &at).await;
        });
    }
}

#[test]
fn what_chittyauth_has_refused_it_has_not_made() {
    let (world, gateway, own) = begun();
    run(async {
        world.services.at("/v1/keys/provision", Behaviour::Answer(422, "{}".to_owned()));
        assert_eq!(gateway.send(creation()).await.code(), "credential_unavailable");
        assert_eq!(world.db.count("credential_revocations"), 0, "nothing to be found out");
        // One that was not heard of and is refused when it is asked about was not made.
        world.services.at("/v1/keys/provision", Behaviour::Hang);
        gateway.send(creation()).await;
        assert_eq!(world.db.count("credential_revocations"), 1);
        world.services.at("/v1/keys/provision", Behaviour::Answer(400, "{}".to_owned()));
        cron(&world, 1, 60_000).await;
        assert_no_key_is_nobodys(&world, own, "refused").await;
    });
}

#[test]
fn a_revocation_is_repeated_until_it_is_confirmed() {
    for behaviour in [
        Behaviour::Garbled,
        Behaviour::Hang,
        Behaviour::Unreachable,
        Behaviour::Answer(200, "{\"success\":false}".to_owned()),
        Behaviour::Answer(400, "{}".to_owned()),
        Behaviour::Answer(401, "{}".to_owned()),
        Behaviour::Answer(403, "{}".to_owned()),
        Behaviour::Answer(404, "{}".to_owned()),
        Behaviour::Answer(405, "{}".to_owned()),
        Behaviour::Answer(500, "{}".to_owned()),
        Behaviour::Busy(429, 1),
    ] {
        let (world, gateway, own) = begun();
        let at = format!("{behaviour:?}");
        let has_effect = matches!(behaviour, Behaviour::Garbled);
        run(async {
            let made = gateway.send(creation()).await;
            world.services.at("/v1/api-keys/revoke", behaviour);
            let path = made.headers["location"].clone();
            assert_eq!(gateway.delete(&path, "dev-a").await.status, 200);
            // Two weeks.
            cron(&world, 28, 12 * 3_600_000).await;
            assert_eq!(world.db.count("credential_revocations"), 1, "{at}");
            let tries: u32 = world
                .db
                .cell("SELECT attempts FROM credential_revocations")
                .unwrap()
                .parse()
                .unwrap();
            assert!((15..60).contains(&tries), "{at}: {tries} attempts in two weeks");
            let metrics = world.isolate_with(WITHOUT_GITHUB).get("/metrics", None).await.text;
            assert!(metrics.contains("\nchittyconnect_unconfirmed_revocations 1\n"), "{at}");
            let age = "\nchittyconnect_unconfirmed_revocation_oldest_seconds 1209";
            assert!(metrics.contains(age), "{metrics}");
            assert_eq!(world.services.live().len() == own, has_effect, "{at}");
            world.services.at("/v1/api-keys/revoke", Behaviour::Work);
            cron(&world, 3, 25 * 3_600_000).await;
            assert_eq!(world.services.live().len(), own, "{at}");
            assert_eq!(world.db.count("credential_revocations"), 0, "{at}");
        });
    }
}

#[test]
fn a_key_that_was_found_is_not_asked_for_again() {
    let (world, gateway, own) = begun();
    run(async {
        world.services.at("/keys/provision", Behaviour::Lost);
        assert_eq!(gateway.send(creation()).await.code(), "credential_unavailable");
        world.services.at("/keys/provision", Behaviour::Work);
        world.services.at("/v1/api-keys/revoke", Behaviour::Answer(500, "{}".to_owned()));
        let questions = || {
            let calls = world.services.calls("auth");
            calls.iter().filter(|call| call.url.contains("/keys/provision")).count()
        };
        let before = questions();
        cron(&world, 6, 12 * 3_600_000).await;
        assert_eq!(questions() - before, 1, "its first revocation asks which key it is");
        world.services.at("/v1/api-keys/revoke", Behaviour::Work);
        cron(&world, 3, 25 * 3_600_000).await;
        assert_eq!(questions() - before, 1);
        assert_eq!(world.services.live().len(), own);
        assert_eq!(world.db.count("credential_revocations"), 0);
    });
}

#[test]
fn a_commit_whose_answer_is_lost_keeps_its_key() {
    for key in [None, Some("k")] {
        for (fault, stored) in [(Fault::After, 1), (Fault::Before, 0)] {
            let (world, gateway, own) = begun();
            run(async {
                world.db.set_fault_at("INSERT INTO connections ", fault, 1);
                let mut request = creation();
                if let Some(key) = key {
                    request = request.header("idempotency-key", key);
                }
                gateway.send(request).await;
                cron(&world, 5, 60_000).await;
                let at = format!("{key:?} {fault:?}");
                assert_eq!(world.db.count("connections"), stored, "{at}");
                assert_no_key_is_nobodys(&world, own, &at).await;
            });
        }
    }
}

#[test]
fn a_database_fault_at_any_call_of_a_creation_leaves_no_key() {
    let mut made = 0;
    for failing in 1..=12 {
        for fault in [Fault::Before, Fault::After] {
            let (world, gateway, own) = begun();
            run(async {
                world.db.reset_calls();
                world.db.set_fault(move |call| if call == failing { fault } else { Fault::None });
                let answer = gateway.send(creation()).await;
                world.db.set_fault(|_| Fault::None);
                made += usize::from(answer.status == 201);
                cron(&world, 5, 60_000).await;
                let at = format!("call {failing} {fault:?}: {}", answer.status);
                assert_no_key_is_nobodys(&world, own, &at).await;
            });
        }
    }
    assert!(made < 24 && made > 0, "{made}");
}

#[test]
fn a_creation_has_minutes_before_it_is_taken_for_dead() {
    let (world, gateway, _) = begun();
    let due_at = Rc::new(RefCell::new(None));
    // While the target is asked, the key is there and the connection is not.
    let (db, found) = (Rc::clone(&world.db), Rc::clone(&due_at));
    world.outside.set(move |_| {
        *found.borrow_mut() = db.cell("SELECT due_at FROM credential_revocations");
        Ok(answer(200, "{}"))
    });
    run(async {
        let now_ms = gateway.app.now_ms();
        assert_eq!(gateway.send(creation()).await.status, 201);
        let due_ms = time::parse(due_at.borrow().as_deref().unwrap()).unwrap();
        assert!((60_000..600_000).contains(&(due_ms - now_ms)), "{}", due_ms - now_ms);
        assert_eq!(world.db.count("credential_revocations"), 0);
    });
}

#[test]
fn a_creation_that_was_taken_for_dead_makes_no_connection_with_a_revoked_key() {
    let mut late = 0;
    for turns in 0.. {
        let (world, gateway, own) = begun();
        let over = run(async {
            let mut creation = pin!(gateway.send(creation()));
            if killed_after(turns, creation.as_mut()).await.is_some() {
                return true;
            }
            // It is asleep for longer than a creation may take.
            cron(&world, 1, 130_000).await;
            let answer = creation.await;
            late += usize::from(answer.status != 201);
            cron(&world, 5, 60_000).await;
            assert_no_key_is_nobodys(&world, own, &format!("{turns}: {answer:?}")).await;
            false
        });
        if over {
            break;
        }
    }
    assert!(late > 0, "some were too late");
}

/// A token endpoint where every refresh token is good once; it counts what it has issued.
fn rotating(world: &World) -> Rc<Cell<u32>> {
    let issued = Rc::new(Cell::new(0));
    let next = Rc::clone(&issued);
    world.outside.set(move |request| {
        let body = String::from_utf8(request.body.clone().unwrap_or_default()).unwrap();
        if !request.url.ends_with("/token") {
            return Ok(answer(200, "{}"));
        }
        let n = next.get();
        if !body.split('&').any(|pair| pair == format!("refresh_token=r{n}")) {
            return Ok(answer(400, r#"{"error":"invalid_grant"}"#));
        }
        next.set(n + 1);
        let (access, refresh) = (format!("a{}", n + 1), format!("r{}", n + 1));
        let made = json!({"access_token": access, "refresh_token": refresh, "expires_in": 3600});
        Ok(answer(200, &made.to_string()))
    });
    issued
}

fn oauth() -> Value {
    body(&json!({"credentials": {
        "type": "oauth", "token_endpoint": "https://login.partner.example/token",
        "revocation_endpoint": "https://login.partner.example/revoke",
        "client_id": "c", "client_secret": "s", "refresh_token": "r0",
    }}))
}

async fn connected(gateway: &Isolate) -> String {
    let made = gateway.post("/v1/connections", "dev-a", &oauth()).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json["connection"]["connection_id"].as_str().unwrap().to_owned()
}

fn revoked(world: &World) -> Vec<String> {
    let calls = world.outside.take().into_iter().filter(|call| call.url.ends_with("/revoke"));
    let text = |body: Option<Vec<u8>>| String::from_utf8(body.unwrap()).unwrap();
    calls.map(|call| text(call.body).split('&').next().unwrap().to_owned()).collect()
}

#[test]
fn what_a_connection_uses_is_not_revoked() {
    for credential in [provisioned(), oauth()] {
        let (world, gateway, _) = begun();
        rotating(&world);
        run(async {
            let made = gateway.post("/v1/connections", "dev-a", &credential).await;
            assert_eq!(made.status, 201, "{made:?}");
            let live = world.services.live();
            // As after a batch of which nobody knew that it took place.
            world.db.execute(
                "INSERT INTO credential_revocations (id, connection_id, sealed, due_at, created_at) \
                 SELECT 'evt_1', connection_id, sealed, '2026-01-01', '2026-01-01' \
                 FROM connection_secrets",
            );
            world.outside.take();
            cron(&world, 1, 1000).await;
            assert_eq!(world.db.count("credential_revocations"), 0, "{credential}");
            assert_eq!(world.services.live(), live);
            assert_eq!(revoked(&world), Vec::<String>::new());
        });
    }
}

const WRITE_OF_A_RENEWAL: &str = "UPDATE connection_secrets SET sealed";

#[test]
fn a_renewed_pair_is_written_again_by_whoever_holds_it() {
    for fault in [Fault::Before, Fault::After] {
        for times in [1, 3, 1000] {
            let (world, gateway) = World::warm_with(WITHOUT_GITHUB);
            let issued = rotating(&world);
            let at = format!("{fault:?} {times}");
            run(async {
                let id = connected(&gateway).await;
                world.advance_ms(3_700_000);
                world.db.set_fault_at(WRITE_OF_A_RENEWAL, fault, times);
                for _ in 0..3 {
                    assert_eq!(through(&gateway, &id).await.status, 200, "{at}");
                }
                assert_eq!(issued.get(), 2, "{at}: renewed once");
                assert_eq!(UnwrittenRenewals::of(&gateway.app).is_empty(), times < 1000, "{at}");
                world.db.set_fault_at(WRITE_OF_A_RENEWAL, fault, 0);
                // The isolate that holds it is the one that the cron finds.
                tasks::scheduled(&gateway.app).await;
                assert!(UnwrittenRenewals::of(&gateway.app).is_empty(), "{at}");
                let other = world.isolate();
                assert_eq!(through(&other, &id).await.status, 200, "{at}");
                assert_eq!(issued.get(), 2, "{at}: it is there for others");
                world.outside.take();
                cron(&world, 3, 60_000).await;
                assert_eq!(revoked(&world), [""; 0], "{at}: and in use");
                world.advance_ms(3_700_000);
                assert_eq!(through(&other, &id).await.status, 200, "{at}: and can be renewed");
            });
        }
    }
}

#[test]
fn a_renewed_pair_that_is_lost_with_its_process_is_said_to_be() {
    let (mut lost, mut over) = (0, false);
    for turns in 0.. {
        let (world, gateway) = World::warm_with(WITHOUT_GITHUB);
        let issued = rotating(&world);
        run(async {
            let id = connected(&gateway).await;
            world.advance_ms(3_700_000);
            over = killed_after(turns, through(&gateway, &id)).await.is_some();
            let stored = world.db.cell("SELECT version FROM connection_secrets").unwrap() == "2";
            let is_lost = issued.get() == 2 && !stored;
            world.advance_ms(120_000);
            let other = world.isolate();
            let answer = through(&other, &id).await;
            let path = format!("/v1/connections/{id}/status");
            let status = other.get(&path, Some("dev-a")).await.json;
            if is_lost {
                lost += 1;
                assert_eq!(answer.code(), "target_refused_credential", "{turns}");
                assert_eq!(status["status"], "failed");
                let why = status["last_error"].as_str().unwrap();
                assert!(why.contains("an earlier renewal was lost"), "{why}");
                // Another credential makes it good.
                let patch =
                    json!({"credentials": {"type": "bearer", "token": "t"}, "status": "active"});
                let path = format!("/v1/connections/{id}");
                assert_eq!(other.patch(&path, "dev-a", &patch).await.status, 200);
                assert_eq!(through(&other, &id).await.status, 200);
            } else {
                assert_eq!((answer.status, &status["status"]), (200, &json!("active")), "{turns}");
            }
        });
        if over {
            break;
        }
    }
    assert!(lost > 0, "it was killed between the token and its row");
}

#[test]
fn a_lease_is_given_back_by_its_holder_only() {
    let (world, a) = World::warm_with(WITHOUT_GITHUB);
    let b = world.isolate();
    rotating(&world);
    run(async {
        let id = connected(&a).await;
        world.advance_ms(3_700_000);
        world.outside.set(|request| match request.url.ends_with("/token") {
            true => Err(TransportError::Timeout),
            false => Ok(answer(200, "{}")),
        });
        world.outside.take();
        let lease = || world.db.cell("SELECT leased_until FROM connection_secrets").unwrap();
        let mut asked = 0;
        let mut late = pin!(through(&a, &id));
        while asked == 0 {
            assert!(killed_after(1, late.as_mut()).await.is_none());
            asked = world.outside.take().len();
        }
        let of_a = lease();
        world.advance_ms(120_000);
        let mut holder = pin!(through(&b, &id));
        while lease() == of_a {
            assert!(killed_after(1, holder.as_mut()).await.is_none());
        }
        let of_b = lease();
        assert_eq!(late.await.code(), "credential_unavailable");
        assert_eq!(lease(), of_b, "not the late one's to give back");
        assert_eq!(holder.await.code(), "credential_unavailable");
        assert_eq!(lease(), "");
    });
}

#[test]
fn a_revocation_is_noted_by_its_holder_only() {
    let (world, a, _) = begun();
    run(async {
        let made = a.send(creation()).await;
        world.services.set("auth", Behaviour::Unreachable);
        let path = made.headers["location"].clone();
        a.send_only(TestRequest::new("DELETE", &path).token("dev-a")).await;
        let due = || world.db.cell("SELECT due_at FROM credential_revocations").unwrap();
        let first = due();
        let mut late = pin!(chittyconnect::connections::revocations::revoke_due(
            &a.app,
            chittyconnect::store::Ready::ensure(&a.app).await.unwrap(),
            u64::MAX,
        ));
        while due() == first {
            assert!(killed_after(1, late.as_mut()).await.is_none());
        }
        world.advance_ms(3_600_000);
        let b = world.isolate();
        let ready = chittyconnect::store::Ready::ensure(&b.app).await.unwrap();
        let mut holder =
            pin!(chittyconnect::connections::revocations::revoke_due(&b.app, ready, u64::MAX,));
        let of_a = due();
        while due() == of_a {
            assert!(killed_after(1, holder.as_mut()).await.is_none());
        }
        let of_b = due();
        late.await;
        assert_eq!(due(), of_b, "not the late one's to put off");
        holder.await;
        assert_ne!(due(), of_b);
    });
}

#[test]
fn what_a_winner_uses_is_not_revoked_with_the_loser() {
    let (world, a) = World::warm_with(WITHOUT_GITHUB);
    let b = world.isolate();
    // A refresh token that goes on.
    let n = Cell::new(0);
    world.outside.set(move |request| {
        n.set(n.get() + 1);
        let made = json!({"access_token": format!("a{}", n.get()), "expires_in": 3600});
        Ok(answer(200, &if request.url.ends_with("/token") { made } else { json!({}) }.to_string()))
    });
    run(async {
        let body = oauth();
        let (one, other) = join(
            a.post("/v1/connections", "dev-a", &body),
            b.post("/v1/connections", "dev-a", &body),
        )
        .await;
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
        world.outside.take();
        cron(&world, 5, 60_000).await;
        let ended = revoked(&world);
        assert_eq!(ended.len(), 1, "{ended:?}");
        assert!(ended[0].starts_with("token=a"), "{ended:?}");
        assert_eq!(world.db.count("credential_revocations"), 0);
    });
}

#[test]
fn what_was_renewed_for_a_change_that_comes_to_nothing_is_revoked() {
    let (world, gateway) = World::warm_with(WITHOUT_GITHUB);
    rotating(&world);
    run(async {
        let id = connected(&gateway).await;
        let path = format!("/v1/connections/{id}");
        let mut credential = oauth()["credentials"].clone();
        credential["refresh_token"] = json!("r1");
        let patch = json!({ "credentials": credential });
        world.db.set_fault_at("UPDATE connections SET credential_type", Fault::Before, 1);
        assert_eq!(gateway.patch(&path, "dev-a", &patch).await.code(), "storage_unavailable");
        world.outside.take();
        cron(&world, 1, 60_000).await;
        assert_eq!(revoked(&world), ["token=r2", "token=a2"]);
        // Its answer is lost, and it has taken place: then it is in use.
        patch_lost(&world, &gateway, &path, &mut credential).await;
        assert_eq!(through(&gateway, &id).await.status, 200);
    });
}

async fn patch_lost(world: &World, gateway: &Isolate, path: &str, credential: &mut Value) {
    credential["refresh_token"] = json!("r2");
    let patch = json!({ "credentials": credential });
    world.db.set_fault_at("UPDATE connections SET credential_type", Fault::After, 1);
    gateway.patch(path, "dev-a", &patch).await;
    world.outside.take();
    cron(world, 3, 60_000).await;
    let ended = revoked(world);
    assert!(!ended.iter().any(|token| token.ends_with('3')), "{ended:?}");
}
