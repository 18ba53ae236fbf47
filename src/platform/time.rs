//! Instants as text: ISO-8601 UTC with milliseconds, so that text order is time order.

use chrono::{DateTime, SecondsFormat, Utc};

/// `ms` since the Unix epoch as `2026-01-02T03:04:05.678Z`. Instants that the format cannot hold
/// (beyond the year 9999) are held to its end.
pub fn iso8601(ms: u64) -> String {
    const LAST_MS: i64 = 253_402_300_799_999;
    let ms = i64::try_from(ms).unwrap_or(LAST_MS).min(LAST_MS);
    DateTime::<Utc>::from_timestamp_millis(ms)
        .unwrap_or(DateTime::<Utc>::UNIX_EPOCH)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads an RFC 3339 instant with any offset, or a bare date (its start, UTC), as milliseconds
/// since the epoch. `None` for anything else and for what lies before 1970.
pub fn parse(text: &str) -> Option<u64> {
    let instant = match DateTime::parse_from_rfc3339(text) {
        Ok(instant) => instant.timestamp_millis(),
        Err(_) => {
            let date: chrono::NaiveDate = text.parse().ok()?;
            date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()
        }
    };
    u64::try_from(instant).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_order_is_time_order_and_reading_gives_it_back() {
        assert_eq!(iso8601(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso8601(1_767_322_245_678), "2026-01-02T02:50:45.678Z");
        assert_eq!(parse("2026-01-02T02:50:45.678Z"), Some(1_767_322_245_678));
        assert_eq!(parse("2026-01-02T03:50:45.678+01:00"), Some(1_767_322_245_678));
        assert_eq!(parse("2026-01-02"), parse("2026-01-02T00:00:00Z"));
        assert_eq!(iso8601(u64::MAX), "9999-12-31T23:59:59.999Z");
        for text in ["", "yesterday", "2026-13-01", "1969-12-31T23:59:59Z", "1767322245678"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
