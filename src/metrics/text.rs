//! The Prometheus text format, version 0.0.4.

use std::fmt::Write;

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
pub(super) const COUNTED: [Family; 4] = [
    family(HTTP_REQUESTS, "counter", "Requests answered, by method, route and status."),
    family(HTTP_LATENCY, "histogram", "Time from a request's arrival to its reply."),
    family(UPSTREAM_REQUESTS, "counter", "Attempts at ChittyOS services, by outcome."),
    family(UPSTREAM_LATENCY, "histogram", "Time that attempts at ChittyOS services took."),
];

pub(super) const BREAKERS: Family = family(
    "chittyconnect_breaker_isolates",
    "gauge",
    "Isolates seen within a minute whose breaker for a service is in a state.",
);
pub(super) const CONNECTIONS: Family = family(
    "chittyconnect_connection_state",
    "gauge",
    "1 for the state in which the connection to a service is, 0 for the others.",
);
pub(super) const HEALTH_CHECKS: Family = family(
    "chittyconnect_connection_health_checks_total",
    "counter",
    "Health checks of a service, by result.",
);
pub(super) const CONNECTED: Family = family(
    "chittyconnect_connection_connections_total",
    "counter",
    "How often the connection to a service was made by the first attempt.",
);
pub(super) const RECONNECTED: Family = family(
    "chittyconnect_connection_reconnections_total",
    "counter",
    "How often the connection to a service was taken up again.",
);
pub(super) const CONNECTION_FAILURES: Family = family(
    "chittyconnect_connection_failures_total",
    "counter",
    "Attempts to make the connection to a service, or to take it up again, that failed.",
);
pub(super) const RECONNECT_ATTEMPTS: Family = family(
    "chittyconnect_connection_reconnect_attempts",
    "gauge",
    "Which attempt to take up the connection to a service is planned or under way; 0 when connected.",
);
pub(super) const CONNECTION_UPTIME: Family = family(
    "chittyconnect_connection_uptime_seconds",
    "gauge",
    "For how long a service has been connected; 0 when it is not.",
);
pub(super) const REGISTRY_AGE: Family = family(
    "chittyconnect_registry_age_seconds",
    "gauge",
    "How long ago ChittyRegistry last said where services are; -1 where it never has.",
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
    "Credentials that were tried to be revoked where they came from, without that being confirmed.",
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
    "Deliveries of GitHub that are on record and not yet dealt with.",
);
pub(super) const GITHUB_DELIVERIES_AGE: Family = family(
    "chittyconnect_github_deliveries_oldest_seconds",
    "gauge",
    "Age of the oldest delivery that is not yet dealt with; 0 when there is none.",
);
pub(super) const GITHUB_JOBS: Family = family(
    "chittyconnect_github_jobs_open",
    "gauge",
    "Pull requests and issues that are still to be looked at.",
);
pub(super) const GITHUB_JOBS_OVERDUE: Family = family(
    "chittyconnect_github_jobs_overdue_seconds",
    "gauge",
    "For how long the first of them has been due; 0 when none is.",
);
pub(super) const GITHUB_MISSING: Family = family(
    "chittyconnect_github_deliveries_missing",
    "gauge",
    "Deliveries that GitHub made and that never arrived: it is asked for them again.",
);
pub(super) const WORK_DUE: Family = family(
    "chittyconnect_work_due",
    "gauge",
    "Background work that is due and not begun, by kind; at most 10000 is counted.",
);
pub(super) const WORK_AGE: Family = family(
    "chittyconnect_work_oldest_seconds",
    "gauge",
    "For how long the oldest background work of a kind has been due; 0 when none is.",
);
pub(super) const UNPREPARED: Family = family(
    "chittyconnect_contexts_unprepared",
    "gauge",
    "Contexts of an earlier version that the cron still prepares, by what of them; at most 10000 is counted.",
);
pub(super) const AUDIT: Family = family(
    "chittyconnect_audit_entries",
    "gauge",
    "Entries of the audit, by where they are; those that are not sealed yet are in the database.",
);

/// What has been counted under some labels of a family.
pub(super) struct Series {
    pub(super) family: String,
    pub(super) labels: String,
    /// Of a counter its one number; of a histogram its buckets, then how many there were, then their sum
    /// in ms.
    pub(super) counts: Vec<i64>,
}

/// The text under way.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a family.
    pub(super) fn head(&mut self, family: &Family) {
        let Family { name, kind, help } = family;
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample of a gauge or a counter.
    pub(super) fn sample(&mut self, family: &Family, labels: &str, value: i64) {
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "{}{braces} {value}", family.name);
    }

    /// The samples of a counted family.
    pub(super) fn counted(&mut self, family: &Family, counted: &[Series]) {
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
