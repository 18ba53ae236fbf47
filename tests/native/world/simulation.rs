//! Time in the test's hand: it passes at once, or as a simulation in which everybody waits for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;
use chitty_core::Clock;

use super::{World, yield_now};

pub(crate) struct TestClock {
    now_ms: Cell<u64>,
    is_simulated: Cell<bool>,
    sleepers: RefCell<BTreeMap<u64, Vec<Waker>>>,
}

impl TestClock {
    pub(crate) fn at(now_ms: u64) -> Self {
        let (is_simulated, sleepers) = (Cell::default(), RefCell::default());
        TestClock { now_ms: Cell::new(now_ms), is_simulated, sleepers }
    }

    pub(crate) fn advance_ms(&self, ms: u64) {
        self.now_ms.set(self.now_ms.get() + ms);
    }

    /// Goes on to the instant that somebody waits for.
    fn pass(&self) {
        let next = self.sleepers.borrow_mut().pop_first();
        let (at_ms, wakers) = next.expect("everybody waits, and nobody for time");
        self.now_ms.set(self.now_ms.get().max(at_ms));
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[async_trait(?Send)]
impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    async fn sleep(&self, ms: u64) {
        if !self.is_simulated.get() {
            yield_now().await;
            return self.advance_ms(ms);
        }
        let until_ms = self.now_ms() + ms;
        poll_fn(|cx| {
            if self.now_ms() >= until_ms {
                return Poll::Ready(());
            }
            let mut sleepers = self.sleepers.borrow_mut();
            sleepers.entry(until_ms).or_default().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The longest pause that there can be.
    fn jitter(&self, bound: u32) -> u32 {
        bound.saturating_sub(1)
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs a future in simulated time: pauses pass side by side, and time goes on only when everybody waits
/// for it.
pub(crate) fn simulate<T>(world: &World, future: impl Future<Output = T>) -> T {
    world.clock.is_simulated.set(true);
    let woken = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = pin!(future);
    loop {
        while woken.0.swap(false, Ordering::SeqCst) {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                world.clock.is_simulated.set(false);
                return value;
            }
        }
        world.clock.pass();
    }
}
