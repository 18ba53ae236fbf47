//! Instants as text: ISO-8601 UTC with milliseconds, so that text order is time order.

use chrono::{DateTime, SecondsFormat, Utc};

/// Formats `ms` since the Unix epoch as `2026-01-02T03:04:05.678Z`. Instants beyond the year 9999, which the
/// format cannot hold, become its last instant.
pub fn iso8601(ms: u64) -> String {
    const LAST_MS: i64 = 253_402_300_799_999;
    let ms = i64::try_from(ms).unwrap_or(LAST_MS).min(LAST_MS);
    DateTime::<Utc>::from_timestamp_millis(ms)
        .unwrap_or(DateTime::<Utc>::UNIX_EPOCH)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads an RFC 3339 instant with any offset, or a bare date (its start, UTC), as milliseconds
/// since the epoch. `None` for anything else and for an instant before 1970.
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

/// The detail of the error for an instant that cannot be read.
pub const FORM: &str = "must be an instant with its zone, such as 2026-01-31T09:30:00Z or \
     2026-01-31T09:30:00+01:00 (in a query %2B for the plus), or a date, such as 2026-01-31; from 1970 on";

/// Reads an instant in the notations that callers use, as milliseconds since the epoch. Accepts what
/// [`parse`] reads, and also: the basic form (`20260131T093000Z`), a time without seconds or minutes, a space
/// or a small letter between date and time, a comma before the fraction, an offset without its colon or its
/// minutes, and an offset whose plus has become a space in a query. A bare date is its start, UTC; a time
/// without a zone is refused.
pub fn read(text: &str) -> Option<u64> {
    const MAX_BYTES: usize = 40;
    let text = text.trim();
    if text.len() > MAX_BYTES || !text.is_ascii() {
        return None;
    }
    let (date, rest) = date(text)?;
    if rest.is_empty() {
        return u64::try_from(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()).ok();
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || ":.,".contains(c)))?;
    let (time, zone) = rest.split_at_checked(end)?;
    let of_day_ms = time_of_day(time)?;
    let start_ms = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis();
    u64::try_from(start_ms + of_day_ms - offset(zone)?).ok()
}

/// Splits a text into the date at its start and the rest.
fn date(text: &str) -> Option<(chrono::NaiveDate, &str)> {
    let number = |from: usize, to: usize| digits(text.get(from..to)?);
    let (year, month, day, end) = match text.as_bytes().get(4)? {
        b'-' if text.as_bytes().get(7) == Some(&b'-') => {
            (number(0, 4)?, number(5, 7)?, number(8, 10)?, 10)
        }
        _ => (number(0, 4)?, number(4, 6)?, number(6, 8)?, 8),
    };
    let date = chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some((date, text.get(end..)?))
}

/// Reads a text of digits only as a number.
fn digits(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// Reads `HH:MM:SS.fff` or `HHMMSS.fff`, of which all but the hours may be left out from the end on, as ms
/// since midnight. `24:00` is the end of the day; a leap second (`:60`) counts as the second after it.
fn time_of_day(text: &str) -> Option<i64> {
    let (whole, fraction) = match text.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let parts: Vec<&str> = match whole.contains(':') {
        true => whole.split(':').collect(),
        false => (0..whole.len().max(2)).step_by(2).map_while(|at| whole.get(at..at + 2)).collect(),
    };
    let is_whole = parts.iter().all(|part| part.len() == 2)
        && (whole.contains(':') || parts.len() * 2 == whole.len());
    let mut numbers = parts.iter().map(|part| digits(part));
    let (hours, minutes, seconds) = match parts.len() {
        1 => (numbers.next()??, 0, 0),
        2 => (numbers.next()??, numbers.next()??, 0),
        3 => (numbers.next()??, numbers.next()??, numbers.next()??),
        _ => return None,
    };
    let ms = match fraction {
        None => 0,
        Some(text) if parts.len() == 3 && text.bytes().all(|b| b.is_ascii_digit()) => {
            digits(format!("{text}00").get(..3).filter(|_| !text.is_empty())?)?
        }
        Some(_) => return None,
    };
    let is_end = hours == 24 && minutes == 0 && seconds == 0 && ms == 0;
    let sound = is_whole && minutes < 60 && seconds <= 60 && (hours < 24 || is_end);
    let total = (i64::from(hours) * 60 + i64::from(minutes)) * 60 + i64::from(seconds);
    sound.then_some(total * 1000 + i64::from(ms))
}

/// Reads a zone (`Z`, `+01:00`, `+0100`, `+01`, or the same with a space for the plus) as ms east of UTC.
fn offset(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'Z' | b'z' => return (text.len() == 1).then_some(0),
        b'+' | b' ' => 1,
        b'-' => -1,
        _ => return None,
    };
    let rest = text.get(1..)?;
    let (hours, minutes) = match rest.len() {
        2 => (digits(rest)?, 0),
        4 => (digits(rest.get(..2)?)?, digits(rest.get(2..)?)?),
        5 if rest.as_bytes().get(2) == Some(&b':') => {
            (digits(rest.get(..2)?)?, digits(rest.get(3..)?)?)
        }
        _ => return None,
    };
    let sound = hours < 24 && minutes < 60;
    sound.then(|| sign * (i64::from(hours) * 60 + i64::from(minutes)) * 60_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn an_instant_is_read_however_callers_write_it() {
        let at = parse("2026-01-31T09:30:00Z").unwrap();
        for text in [
            "2026-01-31T09:30:00Z",
            "2026-01-31T09:30Z",
            "2026-01-31t09:30:00z",
            "2026-01-31 09:30:00Z",
            "2026-01-31 09:30:00.000Z",
            "2026-01-31T09:30:00,0Z",
            "2026-01-31T09:30:00.000000000Z",
            "20260131T093000Z",
            "20260131T0930Z",
            "20260131t093000.0z",
            "20260131T103000+0100",
            "2026-01-31T10:30:00+01:00",
            "2026-01-31T10:30:00 01:00",
            "2026-01-31T10:30:00+0100",
            "2026-01-31T10:30+01",
            "2026-01-31T10:30 01",
            "2026-01-31T08:30:00-01:00",
            "2026-01-31T15:00:00+05:30",
            "2026-02-01T00:00:00+14:30",
            " 2026-01-31T09:30:00Z ",
        ] {
            assert_eq!(read(text), Some(at), "{text}");
        }
        assert_eq!(read("2026-01-31T09:30:00.123456Z"), Some(at + 123));
        assert_eq!(read("2026-01-31T09:30:00.5Z"), Some(at + 500));
        // The longest text that is read, and one that is a character longer.
        let with_digits =
            |count: usize| read(&format!("2026-01-31T09:30:00.{}Z", "0".repeat(count)));
        assert_eq!((with_digits(19), with_digits(20)), (Some(at), None));
        assert_eq!(read("2026-01-31T09Z"), parse("2026-01-31T09:00:00Z"));
        assert_eq!(read("2026-01-31T24:00Z"), parse("2026-02-01T00:00:00Z"));
        assert_eq!(read("2026-06-30T23:59:60Z"), parse("2026-07-01T00:00:00Z"));
        assert_eq!(read("2026-01-31"), parse("2026-01-31"));
        assert_eq!(read("20260131"), parse("2026-01-31"));
    }

    #[test]
    fn a_text_that_is_no_instant_or_has_no_zone_is_refused() {
        for text in [
            "",
            " ",
            "yesterday",
            "2026",
            "2026-01",
            "2026-13-01",
            "2026-02-30",
            "2026-1-1",
            "2026-01/31",
            "2026-+1-31",
            "2026-01 31T09:30Z",
            "1767322245678",
            "2026-01-31T09:30:00",
            "2026-01-31 09:30",
            "2026-01-31T",
            "2026-01-31TZ",
            "2026-01-31Z",
            "2026-01-31T9:30Z",
            "2026-01-31T09:3Z",
            "2026-01-31T25:00Z",
            "2026-01-31T24:01Z",
            "2026-01-31T09:60Z",
            "2026-01-31T09:30:61Z",
            "2026-01-31T09:30.5Z",
            "2026-01-31T093Z",
            "2026-01-31T09:30:00.Z",
            "2026-01-31T09:30:00.aZ",
            "2026-01-31T09:30:00+1",
            "2026-01-31T09:30:00+25:00",
            "2026-01-31T09:30:00+01:60",
            "2026-01-31T09:30:00ZZ",
            "2026-01-31T09:30:00 +01:00",
            "2026-01-31T09:30:00 UTC",
            "Sat, 31 Jan 2026 09:30:00 GMT",
            "01/31/2026",
            "1969-12-31T23:59Z",
            "1970-01-01T00:00+01:00",
            "2026-W05-6",
            "2026-031",
            "２０２６-01-31",
            "2026-01-31T09:30:00Z' OR 1",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,50}", stamp in "[0-9TtZz:., +-]{0,32}") {
            let _ = read(&text);
            let _ = read(&stamp);
        }

        #[test]
        fn a_written_instant_is_read_back(ms in 0u64..253_402_300_799_999) {
            prop_assert_eq!(read(&iso8601(ms)), Some(ms));
            prop_assert_eq!(read(&iso8601(ms)), parse(&iso8601(ms)));
        }
    }
}
