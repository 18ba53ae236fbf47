//! Rate limits.

use serde_json::json;

use crate::world::{Answer, TestRequest, World, run};

#[test]
fn a_quiet_reader_asks_nobody_and_a_busy_one_the_limiter() {
    let (world, gateway) = World::warm_with(&[("RATE_LIMIT_READ", Some("20"))]);
    run(async {
        let get = || gateway.get("/v1/contexts", Some("dev-a"));
        for _ in 0..2 {
            assert_eq!(get().await.status, 200);
        }
        assert!(world.limiter.counts.borrow().is_empty(), "a tenth of the limit is quiet");
        for _ in 2..20 {
            assert_eq!(get().await.status, 200);
        }
        assert_eq!(world.limiter.counts.borrow().values().sum::<u32>(), 18);
        let refused = get().await;
        assert_eq!((refused.status, refused.code()), (429, "rate_limited"));
        assert_eq!(refused.headers["retry-after"], "60");
        assert_eq!(refused.headers["ratelimit-policy"], "\"read\";q=20;w=60");
        assert_eq!(refused.headers["ratelimit"], "\"read\";r=0;t=60");
        assert_eq!(gateway.get("/v1/contexts", Some("dev-b")).await.status, 200, "somebody else");
        assert_eq!(gateway.get("/health", None).await.status, 200);
        world.advance_ms(60_000);
        world.limiter.counts.borrow_mut().clear();
        assert_eq!(get().await.status, 200);
    });
}

/// What an answer says of the limit that it was counted against: the policy, and the rest of it.
fn said(answer: &Answer) -> Option<(&str, &str)> {
    let header = |name| answer.headers.get(name).map(String::as_str);
    header("ratelimit-policy").zip(header("ratelimit"))
}

#[test]
fn every_answer_that_was_counted_says_what_is_left() {
    let rates = ["READ", "WRITE", "MINT", "VALIDATE", "WEBHOOK", "AUTHENTICATE", "INSTALL"];
    let vars = rates.map(|class| format!("RATE_LIMIT_{class}"));
    let vars: Vec<_> = vars.iter().map(|name| (name.as_str(), Some("20"))).collect();
    let (world, gateway) = World::warm_with(&vars);
    let ask = |method: &str, path: &str| TestRequest::new(method, path).token("dev-a");
    let name = || json!({"name": "n"});
    run(async {
        let read = "\"read\";q=20;w=60";
        let mint = "\"mint\";q=20;w=60";
        let create = || ask("POST", "/v1/contexts").json(&name()).header("idempotency-key", "k");
        let made = gateway.send(create()).await;
        assert_eq!((made.status, said(&made)), (201, Some((mint, "\"mint\";r=19;t=60"))));
        let path = made.headers["location"].clone();
        world.advance_ms(10_500);
        let again = gateway.send(create()).await;
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(said(&again), Some((mint, "\"mint\";r=18;t=50")));
        let taken = gateway.send(ask("POST", "/v1/contexts").json(&name())).await;
        assert_eq!(
            (taken.code(), said(&taken)),
            ("name_taken", Some((mint, "\"mint\";r=17;t=50")))
        );
        let unread = gateway.send(ask("POST", "/v1/contexts")).await;
        assert_eq!((unread.status, said(&unread)), (400, Some((mint, "\"mint\";r=16;t=50"))));

        let etag = made.headers["etag"].clone();
        let unchanged = ask("GET", &path).header("if-none-match", &etag);
        for (n, (request, status)) in [
            (ask("GET", &path), 200),
            (unchanged, 304),
            (ask("HEAD", &path), 200),
            (ask("GET", "/v1/contexts/CHITTY-CONTEXT-none"), 404),
            (ask("GET", "/v1/contexts?limit=x"), 422),
            (ask("GET", "/v1/actors"), 403),
        ]
        .into_iter()
        .enumerate()
        {
            let answer = gateway.send(request).await;
            let left = format!("\"read\";r={};t=60", 19 - n);
            assert_eq!((answer.status, said(&answer)), (status, Some((read, left.as_str()))));
        }

        // Those that count for the address.
        let guess = gateway.get("/v1/contexts", Some("made-up")).await;
        assert_eq!(
            (guess.code(), said(&guess).unwrap().1),
            ("invalid_token", "\"authenticate\";r=18;t=50")
        );
        let validate = TestRequest::new("POST", "/v1/delegate/validate");
        let answer = gateway.send(validate.json(&json!({"token": "cdt_x"}))).await;
        assert_eq!(said(&answer).unwrap().1, "\"validate\";r=19;t=60");
        let answer = gateway.get("/integrations/github/callback?state=x", None).await;
        assert_eq!(said(&answer).unwrap().1, "\"install\";r=19;t=60");
        let unsigned = TestRequest::new("POST", "/integrations/github/webhook").json(&json!({}));
        let answer = gateway.send(unsigned).await;
        assert_eq!(
            (answer.code(), said(&answer).unwrap().1),
            ("invalid_signature", "\"webhook\";r=19;t=60")
        );

        // Those that nobody counts.
        for request in [
            TestRequest::new("GET", "/health"),
            ask("GET", "/v1/nowhere"),
            ask("PUT", "/v1/contexts"),
            ask("OPTIONS", "/v1/contexts"),
            TestRequest::new("GET", "/v1/contexts"),
        ] {
            let answer = gateway.send(request).await;
            assert_eq!(said(&answer), None, "{}", answer.status);
        }
    });
}

#[test]
fn an_actor_without_a_limit_is_told_of_none() {
    let vars = [("RATE_LIMIT_READ", Some("10")), ("RATE_LIMIT_AUTHENTICATE", Some("10"))];
    let (world, gateway) = World::warm_with(&vars);
    let unlimited = ("actor:CHITTY-PEO-a".to_owned(), r#"{"read": 0}"#.to_owned());
    world.rate_limit.values.borrow_mut().extend([unlimited]);
    run(async {
        for _ in 0..2 {
            assert_eq!(said(&gateway.get("/v1/contexts", Some("dev-a")).await), None);
        }
    });
}

#[test]
fn what_other_isolates_have_let_through_counts() {
    let vars = [("RATE_LIMIT_WRITE", Some("10"))];
    let (world, one) = World::warm_with(&vars);
    let other = world.isolate_with(&vars);
    run(async {
        let mut statuses = Vec::new();
        for n in 0..12 {
            let gateway = if n % 2 == 0 { &one } else { &other };
            let body = json!({"target_service": "connect"});
            statuses.push(gateway.post("/v1/delegate", "dev-a", &body).await.status);
        }
        assert_eq!(statuses, [[201; 10].as_slice(), &[429, 429]].concat());
    });
}

#[test]
fn classes_count_apart_and_minting_is_one() {
    let vars = [("RATE_LIMIT_MINT", Some("1")), ("RATE_LIMIT_WRITE", Some("1"))];
    let (world, gateway) = World::warm_with(&vars);
    run(async {
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        let second = gateway.post("/v1/contexts", "dev-a", &json!({"name": "m"})).await;
        assert_eq!(
            (second.code(), second.headers["ratelimit"].as_str()),
            ("rate_limited", "\"mint\";r=0;t=60")
        );
        assert_eq!(world.services.calls("id").len(), 1, "nothing was minted");
        let path = format!("/v1/contexts/{id}");
        assert_eq!(gateway.patch(&path, "dev-a", &json!({"name": "o"})).await.status, 200);
        assert_eq!(
            gateway.patch(&path, "dev-a", &json!({"name": "p"})).await.code(),
            "rate_limited"
        );
        assert_eq!(gateway.get(&path, Some("dev-a")).await.json["name"], "o");
    });
}

#[test]
fn an_operator_sets_other_limits_for_an_actor() {
    let (world, gateway) = World::warm_with(&[("RATE_LIMIT_READ", Some("10"))]);
    let put = |actor: &str, text: &str| {
        world.rate_limit.values.borrow_mut().insert(format!("actor:{actor}"), text.to_owned())
    };
    put("CHITTY-PEO-a", r#"{"read": 2}"#);
    put("CHITTY-PEO-b", r#"{"read": 0}"#);
    put("CHITTY-PEO-c", "nonsense");
    run(async {
        for (token, passes) in [("dev-a", 2), ("dev-b", 40), ("dev-c", 10)] {
            for n in 0..40 {
                let status = gateway.get("/v1/contexts", Some(token)).await.status;
                assert_eq!(status, if n < passes { 200 } else { 429 }, "{token} {n}");
            }
        }
    });
}

#[test]
fn a_made_up_token_buys_no_budget() {
    let (world, gateway) = World::warm_with(&[("RATE_LIMIT_AUTHENTICATE", Some("5"))]);
    run(async {
        let try_one = |n: usize, address: &'static str| {
            let request = TestRequest::new("GET", "/v1/contexts").token(&format!("made-up-{n}"));
            gateway.send(request.header("cf-connecting-ip", address))
        };
        gateway
            .send(
                TestRequest::new("GET", "/v1/contexts")
                    .token("dev-a")
                    .header("cf-connecting-ip", "192.0.2.1"),
            )
            .await;
        for n in 0..4 {
            assert_eq!(try_one(n, "192.0.2.1").await.code(), "invalid_token");
        }
        world.services.reset_calls();
        for n in 4..20 {
            assert_eq!(try_one(n, "192.0.2.1").await.code(), "rate_limited");
        }
        assert!(world.services.calls("auth").is_empty(), "nobody was asked");
        assert_eq!(try_one(0, "192.0.2.2").await.code(), "invalid_token", "another address");
        // Whoever is known here goes on, from the same address.
        let known = TestRequest::new("GET", "/v1/contexts").token("dev-a");
        assert_eq!(gateway.send(known.header("cf-connecting-ip", "192.0.2.1")).await.status, 200);
        // All of an IPv6 network is one address.
        for n in 0..6 {
            let address = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::1"][n % 3];
            let status = try_one(100 + n, address).await.status;
            assert_eq!(status, if n < 5 { 401 } else { 429 });
        }
    });
}

#[test]
fn validation_is_limited_by_address_and_a_limiter_that_fails_keeps_nobody_out() {
    let (world, gateway) = World::warm_with(&[("RATE_LIMIT_VALIDATE", Some("3"))]);
    run(async {
        let ask = || {
            let request = TestRequest::new("POST", "/v1/delegate/validate");
            gateway.send(request.json(&json!({"token": "cdt_x"})))
        };
        for _ in 0..3 {
            assert_eq!(ask().await.status, 200);
        }
        assert_eq!(ask().await.code(), "rate_limited");
        world.advance_ms(60_000);
        world.limiter.down.set(true);
        assert_eq!(ask().await.status, 200);
    });
}

#[test]
fn a_sender_without_an_address_keeps_no_other_out_and_all_together_have_an_end() {
    let (world, gateway) = World::warm_with(&[("RATE_LIMIT_VALIDATE", Some("3"))]);
    run(async {
        let ask = |name: &str| {
            let request =
                TestRequest::new("POST", "/v1/delegate/validate").header("user-agent", name);
            gateway.send(request.json(&json!({"token": "cdt_x"})))
        };
        for n in 0..5 {
            assert_eq!(ask("ChittyCases").await.status, if n < 3 { 200 } else { 429 });
        }
        assert_eq!(ask("ChittyLedger").await.status, 200, "another Worker of the account");
        let mut passed = 0;
        for n in 0..60 {
            passed += usize::from(ask(&format!("made up {n}")).await.status == 200);
        }
        assert!(passed <= 30, "{passed}");
        // Whoever has an address is somebody else.
        let request = TestRequest::new("POST", "/v1/delegate/validate");
        let request = request.json(&json!({"token": "cdt_x"}));
        let request = request.header("cf-connecting-ip", "192.0.2.1");
        assert_eq!(gateway.send(request).await.status, 200);
        world.advance_ms(60_000);
        world.limiter.counts.borrow_mut().clear();
        assert_eq!(ask("ChittyCases").await.status, 200);
    });
}

#[test]
fn every_step_of_an_installation_counts_for_the_address() {
    let (world, gateway) = World::warm_with(&[("RATE_LIMIT_INSTALL", Some("4"))]);
    run(async {
        let step = |method: &str, path: &str, address: &str| {
            let request = TestRequest::new(method, &format!("/integrations/github/{path}"));
            gateway.send(request.header("cf-connecting-ip", address))
        };
        for (method, path) in [("GET", "install"), ("GET", "callback?state=x"), ("POST", "confirm")]
        {
            world.advance_ms(60_000);
            world.limiter.counts.borrow_mut().clear();
            for n in 0..6 {
                let answer = step(method, path, "192.0.2.1").await;
                assert_eq!(answer.status == 429, n >= 4, "{path} {n} {}", answer.text);
            }
            assert_ne!(step(method, path, "192.0.2.2").await.status, 429);
        }
    });
}
