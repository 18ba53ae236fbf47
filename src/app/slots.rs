//! The values that folders keep in an isolate: one of each type, made at its first use, so that [`App`]
//! need not know the types.

use std::any::Any;
use std::cell::OnceCell;

use crate::app::App;

/// A value that a folder keeps in an isolate.
pub trait Slot: Any + Sized {
    /// Makes the value.
    fn new(app: &App) -> Self;

    /// Returns the value of this isolate.
    fn of(app: &App) -> &Self {
        app.slot()
    }
}

/// A linked list of the values, in the order of their first use. There are about twenty.
#[derive(Default)]
pub(super) struct Slots {
    value: OnceCell<Box<dyn Any>>,
    next: OnceCell<Box<Slots>>,
}

impl Slots {
    /// Returns the value of type `T`; makes it at its first use.
    pub(super) fn get<T: Slot>(&self, app: &App) -> &T {
        let mut place = self;
        loop {
            match place.value.get() {
                Some(value) => match value.downcast_ref() {
                    Some(value) => return value,
                    None => place = place.next.get_or_init(Box::default),
                },
                // `T::new` may itself have filled this place with another value. Then `set` fails, and
                // the loop moves on to a later place.
                None => drop(place.value.set(Box::new(T::new(app)))),
            }
        }
    }
}
