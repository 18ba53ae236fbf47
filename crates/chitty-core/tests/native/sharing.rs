//! Identical reads that are under way at once in one session share one request.

use chitty_core::{FailureKind, Session};
use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use serde_json::json;

use crate::world::{Call, Reply, World, all_calls, comparable, run};

async fn status(session: &Session) -> Result<serde_json::Value, FailureKind> {
    session.register().status().await.map_err(|error| error.kind)
}

#[test]
fn only_identical_reads_share_one_request() {
    for call in all_calls() {
        let world = World::new();
        // Long enough that all have asked before the answer comes.
        world.always(Reply::ok(call.good).turns(20));
        let session = world.session();
        let calls = (0..5).map(|_| (call.make)(session.clone()));
        for result in run(join_all(calls)) {
            assert_eq!(comparable(result).as_deref(), Ok(call.yields), "{}", call.name);
        }
        let expected = if call.shared { 1 } else { 5 };
        assert_eq!(world.take_lines(), vec![call.spellings[0]; expected], "{}", call.name);
    }
}

#[test]
fn two_sessions_share_nothing() {
    let reads = |call: &Call| call.shared;
    for call in all_calls().into_iter().filter(reads) {
        let world = World::new();
        world.always(Reply::ok(call.good));
        let (a, b) = run(join((call.make)(world.session()), (call.make)(world.session())));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(world.take_lines().len(), 2, "{}", call.name);
    }
}

#[test]
fn different_reads_do_not_share_a_request() {
    let world = World::new();
    world.script(|sent| Reply::ok(json!({"valid": sent.body()["value"] == "a"})));
    let session = world.session();
    let canon = session.canon();
    let (a, b) = run(join(canon.validate("k", "a"), canon.validate("k", "b")));
    assert_eq!((a.unwrap(), b.unwrap()), (true, false), "they differ in their body only");
    world.always(Reply::ok(json!([])));
    let chronicle = session.chronicle();
    let (x, y) = run(join(chronicle.timeline("1", "2"), chronicle.timeline("1", "3")));
    assert!(x.is_ok() && y.is_ok());
    let lines = world.take_lines();
    assert_eq!(lines.len(), 4);
    assert_ne!(lines[2], lines[3], "they differ in their query only");
}

#[test]
fn a_failure_is_shared_too() {
    let world = World::new();
    world.always(Reply::status(400));
    let session = world.session();
    let both = run(join(status(&session), status(&session)));
    assert_eq!(both, (Err(FailureKind::Refused), Err(FailureKind::Refused)));
    assert_eq!(world.take_lines().len(), 1);
}

#[test]
fn attempts_are_shared_as_well() {
    let world = World::new();
    world.in_turn([Reply::unreachable(), Reply::ok(json!(1))]);
    let session = world.session();
    let three = run(join_all((0..3).map(|_| status(&session))));
    assert_eq!(three, vec![Ok(json!(1)); 3]);
    assert_eq!(world.take_lines().len(), 2);
}

#[test]
fn a_later_read_asks_again() {
    let world = World::new();
    let session = world.session();
    for reply in [Reply::ok(json!(1)), Reply::status(400), Reply::ok(json!(2))] {
        world.always(reply);
        let _ = run(status(&session));
        assert_eq!(world.take_lines().len(), 1);
    }
    // This holds even while somebody has not yet taken the answer of an earlier read.
    world.in_turn([Reply::ok(json!(3)).turns(5), Reply::ok(json!(4))]);
    let mut first = Box::pin(status(&session));
    let mut second = Box::pin(status(&session));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    assert_eq!(run(first), Ok(json!(3)));
    assert_eq!(run(status(&session)), Ok(json!(4)));
    assert_eq!(run(second), Ok(json!(3)));
}

#[test]
fn a_caller_that_joined_gets_the_answer_although_the_first_has_gone() {
    let world = World::new();
    world.always(Reply::ok(json!(1)).turns(5));
    let session = world.session();
    let mut first = Box::pin(status(&session));
    let mut second = Box::pin(status(&session));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    assert_eq!(run(second), Ok(json!(1)));
    assert_eq!(world.take_lines().len(), 1);
}

#[test]
fn a_caller_asks_again_after_all_others_have_gone() {
    let world = World::new();
    world.always(Reply::ok(json!(1)));
    let session = world.session();
    assert!(status(&session).now_or_never().is_none(), "sent, and then nobody waits");
    assert_eq!(run(status(&session)), Ok(json!(1)));
    assert_eq!(world.take_lines().len(), 2);
}
