//! Counters that any folder may increment. `metrics` hands them over to the database.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::app::{App, Slot};

/// Counts by the name of their family and their labels.
pub(crate) type NamedCounts = BTreeMap<(&'static str, String), u64>;

/// The counters of an isolate. They only ever grow.
#[derive(Default)]
pub(crate) struct Counters(RefCell<NamedCounts>);

impl Slot for Counters {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl Counters {
    /// Adds one to the counter of `family` with these labels, written as the metrics show them:
    /// `outcome="stored"`.
    pub(crate) fn add(&self, family: &'static str, labels: String) {
        *self.0.borrow_mut().entry((family, labels)).or_default() += 1;
    }

    /// Every counter as it is now.
    pub(crate) fn all(&self) -> NamedCounts {
        self.0.borrow().clone()
    }
}
