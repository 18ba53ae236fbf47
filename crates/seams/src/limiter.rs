//! The seam to the platform's rate limiter.

use async_trait::async_trait;

/// How many requests a binding of the limiter lets through for one key in a minute. The platform fixes this
/// number in the configuration of the binding, so each step has a binding of its own. The gateway makes any
/// other limit from one step and several keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Binding `RATE_10`.
    Ten,
    /// Binding `RATE_100`.
    Hundred,
    /// Binding `RATE_1000`.
    Thousand,
    /// Binding `RATE_10000`.
    TenThousand,
}

impl Step {
    /// All steps, from the smallest to the largest.
    pub const ALL: [Step; 4] = [Step::Ten, Step::Hundred, Step::Thousand, Step::TenThousand];

    /// Requests a minute.
    pub fn per_minute(self) -> u32 {
        match self {
            Step::Ten => 10,
            Step::Hundred => 100,
            Step::Thousand => 1000,
            Step::TenThousand => 10_000,
        }
    }

    /// The name of its binding.
    pub fn binding(self) -> &'static str {
        match self {
            Step::Ten => "RATE_10",
            Step::Hundred => "RATE_100",
            Step::Thousand => "RATE_1000",
            Step::TenThousand => "RATE_10000",
        }
    }
}

/// The platform's counters. Each location has its own, which its isolates share; they are permissive.
#[async_trait(?Send)]
pub trait Limiter {
    /// Counts one request for a key and says whether it is still within the step. `Err` holds the platform's
    /// message.
    async fn allows(&self, step: Step, key: &str) -> Result<bool, String>;
}
