//! Time and chance as seams.

use async_trait::async_trait;

/// The time source. Natively a test turns it by hand; in a Worker it is the runtime's clock, which
/// stands still during CPU work (Workers advance it at I/O only).
#[async_trait(?Send)]
pub trait Clock {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// Completes after `ms` milliseconds.
    async fn sleep(&self, ms: u64);

    /// A random number below `bound`, or 0 when `bound` is 0: for jitter, not for secrets.
    fn jitter(&self, bound: u32) -> u32;
}
