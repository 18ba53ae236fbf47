//! Limits the bytes of bodies that an isolate holds at a time. The platform gives an isolate 128 MB for
//! everything, and ends it with all its requests when that is not enough; so a body for which there is no
//! room is refused.

use std::cell::Cell;
use std::rc::Rc;

use super::inbound::Intake;

/// The bytes that may be held at a time, and the bytes that are held now.
#[derive(Debug)]
pub struct Memory {
    most: usize,
    held: Cell<usize>,
}

impl Memory {
    /// Memory of `most` bytes.
    pub fn new(most: usize) -> Rc<Self> {
        Rc::new(Memory { most, held: Cell::new(0) })
    }

    /// Returns a share that is empty at first.
    pub fn share(self: &Rc<Self>) -> Rc<Share> {
        let memory = Rc::clone(self);
        Rc::new(Share { memory, bytes: Cell::new(0), was_refused: Cell::new(false) })
    }

    /// The bytes that are held now.
    pub fn held_bytes(&self) -> usize {
        self.held.get()
    }
}

/// A part of a [`Memory`]. It grows as bytes arrive, and gives them back when it is dropped.
#[derive(Debug)]
pub struct Share {
    memory: Rc<Memory>,
    bytes: Cell<usize>,
    was_refused: Cell<bool>,
}

impl Share {
    /// Takes `bytes` more bytes. Takes nothing and returns `false` if the memory has no room for them.
    pub fn grow(&self, bytes: usize) -> bool {
        let sum = self.memory.held.get().saturating_add(bytes);
        if sum > self.memory.most {
            self.was_refused.set(true);
            return false;
        }
        self.memory.held.set(sum);
        self.bytes.set(self.bytes.get() + bytes);
        true
    }

    /// Whether [`Share::grow`] has ever returned `false`.
    pub fn was_refused(&self) -> bool {
        self.was_refused.get()
    }
}

impl Intake for Share {
    fn take(&self, bytes: usize) -> bool {
        self.grow(bytes)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let held = self.memory.held.get().saturating_sub(self.bytes.get());
        self.memory.held.set(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_share_gives_its_bytes_back() {
        let memory = Memory::new(10);
        let (one, other) = (memory.share(), memory.share());
        assert!(one.grow(6) && other.grow(4) && !other.grow(1));
        assert!(other.was_refused() && !one.was_refused());
        assert!(!one.grow(usize::MAX));
        drop(one);
        assert!(other.grow(6) && memory.held_bytes() == 10);
        drop(other);
        assert_eq!(memory.held_bytes(), 0);
    }
}
