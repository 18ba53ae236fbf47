//! Metrics of the calls of this instance: counts and latencies by service.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::service::Service;

/// Upper bounds of the latency buckets, in ms. An observation beyond the last bound counts in the total
/// only (`+Inf`).
pub const BUCKETS_MS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// A latency histogram. Counts only ever grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    /// The number of observations in each bucket of [`BUCKETS_MS`], without those in the buckets before
    /// it; the last element counts the observations beyond all bounds.
    pub counts: [u64; BUCKETS_MS.len() + 1],
    /// The sum of all observations, in ms.
    pub sum_ms: u64,
}

impl Histogram {
    /// Adds an observation.
    pub fn observe(&mut self, ms: u64) {
        let bucket = BUCKETS_MS.partition_point(|bound| *bound < ms);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// Returns the number of observations.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Metrics of the attempts at one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceMetrics {
    /// Attempts by outcome: `ok`, or a [`FailureKind`](crate::FailureKind)'s name. Attempts that an open
    /// breaker did not let through are among them, as `circuit_open`.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// The latencies of the attempts that were sent.
    pub latency: Histogram,
}

/// The name of the outcome of an attempt that succeeded.
pub(crate) const OK: &str = "ok";

/// Metrics of all services, since this instance was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metrics {
    /// The metrics by service, without services that were never called.
    pub services: BTreeMap<Service, ServiceMetrics>,
}

/// A summary of the metrics.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsSummary {
    /// Attempts at all services.
    pub total_requests: u64,
    /// Attempts by service.
    pub requests_by_service: BTreeMap<&'static str, u64>,
    /// Mean latency of the attempts that were sent, in ms; 0 when there were none.
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

    /// Summarizes the metrics. A refusal (4xx) counts as an error here, because the call did not do what
    /// it was made for.
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
    fn the_summary_counts_all_services() {
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
