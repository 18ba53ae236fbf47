//! Time and random numbers, as an interface that the program implements.

use async_trait::async_trait;

/// The source of time and random numbers. In a native test, the test advances it; in a Worker it is the
/// runtime's clock, which stands still during CPU work (Workers advance it only at I/O).
#[async_trait(?Send)]
pub trait Clock {
    /// Returns the milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// Completes after `ms` milliseconds.
    async fn sleep(&self, ms: u64);

    /// Returns a random number below `bound`, or 0 when `bound` is 0. For jitter, not for secrets.
    fn jitter(&self, bound: u32) -> u32;
}
