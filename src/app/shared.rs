//! A value that one request makes, and that all requests of the isolate use for a while.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::app::App;

/// How often a request that finds the value in the making looks for it, in ms.
const LOOK_MS: u64 = 50;

/// A value that one request at a time makes for all. No request awaits the future of another one, which may
/// end before it has made the value: those that come meanwhile look for the value from time to time.
pub(crate) struct Shared<T> {
    last: RefCell<Option<(Rc<T>, u64)>>,
    /// When the making that is under way began.
    making_since_ms: Cell<Option<u64>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Shared { last: RefCell::default(), making_since_ms: Cell::default() }
    }
}

impl<T> Shared<T> {
    /// Returns the value and the instant (ms) at which it was made: the last value if it is younger than
    /// `keep_ms`, otherwise one that `make` makes now. A making that has lasted `longest_ms` counts as lost.
    pub(crate) async fn get(
        &self,
        app: &App,
        (keep_ms, longest_ms): (u64, u64),
        make: impl AsyncFnOnce() -> T,
    ) -> (Rc<T>, u64) {
        loop {
            let now_ms = app.now_ms();
            if let Some((value, at_ms)) = &*self.last.borrow()
                && now_ms.abs_diff(*at_ms) < keep_ms
            {
                return (Rc::clone(value), *at_ms);
            }
            match self.making_since_ms.get() {
                Some(since_ms) if now_ms.abs_diff(since_ms) < longest_ms => {
                    app.sleep(LOOK_MS).await
                }
                _ => break,
            }
        }
        self.making_since_ms.set(Some(app.now_ms()));
        let value = Rc::new(make().await);
        let at_ms = app.now_ms();
        *self.last.borrow_mut() = Some((Rc::clone(&value), at_ms));
        self.making_since_ms.set(None);
        (value, at_ms)
    }

    /// Whether the value is younger than this, or is in the making.
    pub(crate) fn is_recent(&self, now_ms: u64, age_ms: u64) -> bool {
        let last = self.last.borrow().as_ref().map(|(_, at_ms)| *at_ms);
        let latest = self.making_since_ms.get().or(last);
        latest.is_some_and(|at_ms| now_ms.abs_diff(at_ms) < age_ms)
    }
}
