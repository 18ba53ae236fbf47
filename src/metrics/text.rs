//! The Prometheus text format, version 0.0.4.

use std::fmt::Write;

use crate::discovery::REFRESHES;
use crate::metrics::{HTTP_LATENCY, HTTP_REQUESTS, UPSTREAM_LATENCY, UPSTREAM_REQUESTS, bound};

/// A family of metrics.
pub(super) struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
}

const fn family(name: &'static str, kind: &'static str, help: &'static str) -> Family {
    Family { name, kind, help }
}

/// The families that the isolates count.
pub(super) const COUNTED: [Family; 5] = [
    family(HTTP_REQUESTS, "counter", "Requests answered, by method, route and status."),
    family(HTTP_LATENCY, "histogram", "Time from a request's arrival to its reply."),
    family(UPSTREAM_REQUESTS, "counter", "Attempts at ChittyOS services, by outcome."),
    family(UPSTREAM_LATENCY, "histogram", "Time that attempts at ChittyOS services took."),
    family(REFRESHES, "counter", "Times that ChittyRegistry was asked for its list, by outcome."),
];

pub(super) const BREAKERS: Family = family(
    "chittyconnect_breaker_isolates",
    "gauge",
    "Isolates seen within the last minute, by the state of their breaker for a service.",
);
pub(super) const WATCH_STATES: Family = family(
    "chittyconnect_connection_state",
    "gauge",
    "1 for the current state of the connection to a service, 0 for the other states.",
);
pub(super) const HEALTH_CHECKS: Family = family(
    "chittyconnect_connection_health_checks_total",
    "counter",
    "Health checks of a service, by result.",
);
pub(super) const CONNECTED: Family = family(
    "chittyconnect_connection_connections_total",
    "counter",
    "How often the first attempt to connect to a service succeeded.",
);
pub(super) const RECONNECTED: Family = family(
    "chittyconnect_connection_reconnections_total",
    "counter",
    "How often the gateway reconnected to a service.",
);
pub(super) const WATCH_FAILURES: Family = family(
    "chittyconnect_connection_failures_total",
    "counter",
    "Failed attempts to connect or reconnect to a service.",
);
pub(super) const RECONNECT_ATTEMPTS: Family = family(
    "chittyconnect_connection_reconnect_attempts",
    "gauge",
    "Number of the attempt to reconnect to a service that is planned or under way; 0 when connected.",
);
pub(super) const WATCH_UPTIME: Family = family(
    "chittyconnect_connection_uptime_seconds",
    "gauge",
    "How long a service has been connected; 0 when it is not.",
);
pub(super) const REGISTRY_AGE: Family = family(
    "chittyconnect_registry_age_seconds",
    "gauge",
    "How long ago ChittyRegistry last answered with its services; -1 if it never has.",
);
pub(super) const OUTBOX_DEPTH: Family =
    family("chittyconnect_outbox_depth", "gauge", "Events that are committed and not yet told.");
pub(super) const DEAD_LETTERS: Family = family(
    "chittyconnect_dead_letters",
    "gauge",
    "Messages that were given up and not replayed since.",
);
pub(super) const UNREVOKED: Family = family(
    "chittyconnect_unconfirmed_revocations",
    "gauge",
    "Credentials whose revocation was attempted at their origin and is not confirmed.",
);
pub(super) const UNREVOKED_AGE: Family = family(
    "chittyconnect_unconfirmed_revocation_oldest_seconds",
    "gauge",
    "Age of the oldest revocation that is not confirmed; 0 when there is none.",
);
pub(super) const OUTBOX_AGE: Family = family(
    "chittyconnect_outbox_oldest_seconds",
    "gauge",
    "Age of the oldest event that is not yet told; 0 when there is none.",
);

pub(super) const GITHUB_DELIVERIES: Family = family(
    "chittyconnect_github_deliveries_open",
    "gauge",
    "Deliveries of GitHub that are on record and not yet processed.",
);
pub(super) const GITHUB_DELIVERIES_AGE: Family = family(
    "chittyconnect_github_deliveries_oldest_seconds",
    "gauge",
    "Age of the oldest delivery that is not yet processed; 0 when there is none.",
);
pub(super) const GITHUB_JOBS: Family = family(
    "chittyconnect_github_jobs_open",
    "gauge",
    "Pull requests and issues that wait for their job.",
);
pub(super) const GITHUB_JOBS_OVERDUE: Family = family(
    "chittyconnect_github_jobs_overdue_seconds",
    "gauge",
    "How long the oldest job of a pull request or an issue has been due; 0 when none is.",
);
pub(super) const GITHUB_MISSING: Family = family(
    "chittyconnect_github_deliveries_missing",
    "gauge",
    "Deliveries that GitHub made and that never arrived; the gateway asks for them again.",
);
pub(super) const WORK_DUE: Family = family(
    "chittyconnect_work_due",
    "gauge",
    "Background work that is due and not begun, by kind; at most 10000 are counted.",
);
pub(super) const WORK_AGE: Family = family(
    "chittyconnect_work_oldest_seconds",
    "gauge",
    "How long the oldest background work of a kind has been due; 0 when none is.",
);
pub(super) const UNPREPARED: Family = family(
    "chittyconnect_contexts_unprepared",
    "gauge",
    "Contexts of an earlier version that the cron has yet to prepare, by part; at most 10000 are counted.",
);
pub(super) const AUDIT: Family = family(
    "chittyconnect_audit_entries",
    "gauge",
    "Entries of the audit, by place; `unsealed` entries also count as `database`.",
);

/// The counts under one set of labels of a family.
pub(super) struct Series {
    pub(super) family: String,
    pub(super) labels: String,
    /// For a counter, one number; for a histogram, its buckets, then the number of observations, then their
    /// sum in ms.
    pub(super) counts: Vec<i64>,
}

/// The text that is being written.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Writes the head of a family.
    pub(super) fn head(&mut self, family: &Family) {
        let Family { name, kind, help } = family;
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Writes a sample of a gauge or a counter.
    pub(super) fn sample(&mut self, family: &Family, labels: &str, value: i64) {
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "{}{braces} {value}", family.name);
    }

    /// Writes the samples of a family that the isolates count.
    pub(super) fn samples(&mut self, family: &Family, counted: &[Series]) {
        self.head(family);
        let name = family.name;
        for Series { labels, counts, .. } in counted.iter().filter(|one| one.family == name) {
            // Writing to a string does not fail.
            let _ = match counts.as_slice() {
                [buckets @ .., count, sum_ms] if !buckets.is_empty() => {
                    for (position, value) in buckets.iter().enumerate() {
                        let bound = bound(position);
                        let _ =
                            writeln!(self.0, "{name}_bucket{{{labels},le=\"{bound}\"}} {value}");
                    }
                    let (seconds, ms) = (sum_ms / 1000, sum_ms % 1000);
                    writeln!(self.0, "{name}_count{{{labels}}} {count}")
                        .and_then(|()| writeln!(self.0, "{name}_sum{{{labels}}} {seconds}.{ms:03}"))
                }
                [value, ..] => writeln!(self.0, "{name}{{{labels}}} {value}"),
                [] => Ok(()),
            };
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}
