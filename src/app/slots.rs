//! What folders keep in an isolate: each type has one place, made when it is first asked for, so that
//! [`App`] need not know any of them.

use std::any::Any;
use std::cell::OnceCell;

use crate::app::App;

/// Something that a folder keeps in an isolate.
pub trait Slot: Any + Sized {
    /// Makes it.
    fn new(app: &App) -> Self;

    /// The isolate's one.
    fn of(app: &App) -> &Self {
        app.slot()
    }
}

/// The places, in the order in which they were first asked for: there are some twenty.
#[derive(Default)]
pub(super) struct Slots {
    value: OnceCell<Box<dyn Any>>,
    next: OnceCell<Box<Slots>>,
}

impl Slots {
    /// The one of a type.
    pub(super) fn get<T: Slot>(&self, app: &App) -> &T {
        let mut place = self;
        loop {
            match place.value.get() {
                Some(value) => match value.downcast_ref() {
                    Some(value) => return value,
                    None => place = place.next.get_or_init(Box::default),
                },
                // What it is made of may have taken this place meanwhile: then it gets a later one.
                None => drop(place.value.set(Box::new(T::new(app)))),
            }
        }
    }
}
