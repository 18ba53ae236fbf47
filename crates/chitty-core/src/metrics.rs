//! What the calls of this instance came to: counts and latencies by service.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::service::Service;

/// Upper bounds of the latency buckets, in ms. An observation beyond the last counts in the total
/// only (`+Inf`).
pub const BUCKETS_MS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// A latency histogram. Counts only ever grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    /// How many observations fell into each bucket of [`BUCKETS_MS`] and none before it; the last
    /// are those beyond.
    pub counts: [u64; BUCKETS_MS.len() + 1],
    /// The sum of all observations, in ms.
    pub sum_ms: u64,
}

impl Histogram {
    /// Takes an observation.
    pub fn observe(&mut self, ms: u64) {
        let bucket = BUCKETS_MS.partition_point(|bound| *bound < ms);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// How many observations there were.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What the attempts at one service came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceMetrics {
    /// Attempts by outcome: `ok`, or a [`FailureKind`](crate::FailureKind)'s name. What an open
    /// breaker kept from being sent is among them, as `circuit_open`.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// How long the attempts that were sent took.
    pub latency: Histogram,
}

/// The name of the outcome of an attempt that succeeded.
pub(crate) const OK: &str = "ok";

/// Metrics of all services, as they have come together since this instance was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metrics {
    /// By service; one that was never called is not there.
    pub services: BTreeMap<Service, ServiceMetrics>,
}

/// The figures of a glance.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsSummary {
    /// Attempts at all services.
    pub total_requests: u64,
    /// Attempts by service.
    pub requests_by_service: BTreeMap<&'static str, u64>,
    /// Mean latency of what was sent, in ms; 0 when nothing was.
    pub average_latency: u64,
    /// The share of attempts that failed, 0 to 1; 0 when there were none.
    pub error_rate: f64,
}

impl Metrics {
    pub(crate) fn record(
        &mut self,
        service: Service,
        outcome: &'static str,
        latency_ms: Option<u64>,
    ) {
        let metrics = self.services.entry(service).or_default();
        *metrics.outcomes.entry(outcome).or_default() += 1;
        if let Some(ms) = latency_ms {
            metrics.latency.observe(ms);
        }
    }

    /// The figures of a glance. A refusal (4xx) counts as an error here: the call did not do what it
    /// was made for.
    #[allow(clippy::cast_precision_loss, reason = "a rate, not an amount")]
    pub fn summary(&self) -> MetricsSummary {
        let requests = |service: &ServiceMetrics| service.outcomes.values().sum::<u64>();
        let ok = |service: &ServiceMetrics| service.outcomes.get(OK).copied().unwrap_or_default();
        let total: u64 = self.services.values().map(requests).sum();
        let succeeded: u64 = self.services.values().map(ok).sum();
        let sent: u64 = self.services.values().map(|service| service.latency.total()).sum();
        let waited: u64 = self.services.values().map(|service| service.latency.sum_ms).sum();
        MetricsSummary {
            total_requests: total,
            requests_by_service: self
                .services
                .iter()
                .map(|(service, metrics)| (service.host(), requests(metrics)))
                .collect(),
            average_latency: waited.checked_div(sent).unwrap_or_default(),
            error_rate: if total == 0 { 0.0 } else { (total - succeeded) as f64 / total as f64 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_glance() {
        let mut metrics = Metrics::default();
        assert_eq!(metrics.summary().error_rate, 0.0);
        metrics.record(Service::Id, OK, Some(40));
        metrics.record(Service::Id, "timeout", Some(80));
        metrics.record(Service::Auth, OK, Some(30));
        metrics.record(Service::Auth, "circuit_open", None);
        let summary = metrics.summary();
        assert_eq!(summary.total_requests, 4);
        assert_eq!(summary.requests_by_service, BTreeMap::from([("id", 2), ("auth", 2)]));
        assert_eq!(summary.average_latency, 50);
        assert_eq!(summary.error_rate, 0.5);
        let json = serde_json::to_value(summary).unwrap();
        assert_eq!(json["requestsByService"]["id"], 2);
    }

    proptest! {
        #[test]
        fn each_observation_is_in_one_bucket(latencies in proptest::collection::vec(0u64..20_000, 0..200)) {
            let mut histogram = Histogram::default();
            latencies.iter().for_each(|ms| histogram.observe(*ms));
            prop_assert_eq!(histogram.total(), latencies.len() as u64);
            prop_assert_eq!(histogram.sum_ms, latencies.iter().sum::<u64>());
            let mut below = 0;
            for (count, bound) in histogram.counts.iter().zip(BUCKETS_MS) {
                below += count;
                prop_assert_eq!(below, latencies.iter().filter(|ms| **ms <= bound).count() as u64);
            }
        }
    }
}
