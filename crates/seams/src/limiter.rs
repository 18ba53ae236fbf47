//! The seam to the platform's rate limiter.

use async_trait::async_trait;

/// What a binding of the limiter lets through for one key in a minute. The platform fixes that in the
/// configuration of a binding, so there is one binding a step; whoever counts makes every
/// other limit of them.
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
    /// From the smallest to the largest.
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

/// The platform's counters: per location, shared by its isolates, permissive.
#[async_trait(?Send)]
pub trait Limiter {
    /// Counts one request for a key and says whether it is still within the step. `Err` holds what the
    /// platform said.
    async fn allows(&self, step: Step, key: &str) -> Result<bool, String>;
}
