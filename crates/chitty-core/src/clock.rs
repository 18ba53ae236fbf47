//! Time as a seam.

/// The time source. Natively a test turns it by hand; in a Worker it is the runtime's clock, which
/// stands still during CPU work (Workers advance it at I/O only).
pub trait Clock {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}
