//! Whole numbers as JSON writes them: `600`, `600.0` and `6e2` are one number (JSON Schema, `integer`).

/// Returns the exact value of a JSON number that is a whole number; never rounds. `None` for a fraction, for
/// a number below zero or beyond `u64`, and for a text that is no JSON number.
pub fn whole(text: &str) -> Option<u64> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let sound = is_digits(integer)
        && (integer == "0" || !integer.starts_with('0'))
        && fraction.is_none_or(is_digits);
    if !sound {
        return None;
    }
    let fraction = fraction.unwrap_or_default().trim_end_matches('0');
    let exponent = exponent.map_or(Some(0), power)?;
    let digits = format!("{integer}{fraction}");
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        // Zero, whatever its sign and exponent.
        return Some(0);
    }
    let zeros = i64::try_from(digits.len() - kept.len()).ok()?;
    let power = exponent - i64::try_from(fraction.len()).ok()? + zeros;
    if is_negative || power < 0 {
        return None;
    }
    let scale = 10u64.checked_pow(u32::try_from(power).ok()?)?;
    kept.parse::<u64>().ok()?.checked_mul(scale)
}

/// Returns the value of an exponent. One of more than 10 digits counts as ±2^40: the number is far too large
/// or far too small in any case.
fn power(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    // No mantissa makes up for this: it would need more digits than a body has bytes.
    const BEYOND: i64 = 1 << 40;
    let size = if digits.len() > 10 { BEYOND } else { digits.parse().unwrap_or(0) };
    Some(sign * size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_to_write_a_whole_number_is_read_exactly() {
        for (text, number) in [
            ("600", 600),
            ("600.0", 600),
            ("6e2", 600),
            ("6E+2", 600),
            ("6.0e2", 600),
            ("0.6e3", 600),
            ("6000e-1", 600),
            ("600.000000000000000000000000", 600),
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("0e400", 0),
            ("0e-99999999999999999999", 0),
            ("1e0002", 100),
            // Ten digits are read as they are.
            ("0e9999999999", 0),
            ("9007199254740993", 9_007_199_254_740_993),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("18446744073709551615", u64::MAX),
            ("1844674407370955161.5e1", u64::MAX),
        ] {
            assert_eq!(whole(text), Some(number), "{text}");
        }
        for text in [
            "",
            "-",
            "-1",
            "0.5",
            "6e-1",
            "1e400",
            "1e-400",
            "1e99999999999999999999999",
            "18446744073709551616",
            "1e20",
            "+1",
            " 1",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x10",
            "NaN",
            "Infinity",
            "\"600\"",
            "null",
            "1_000",
            "-1e-99999999999999",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_as_long_as_a_body_costs_no_more_than_its_length() {
        let zeros = "0".repeat(1 << 20);
        assert_eq!(whole(&format!("7.{zeros}")), Some(7));
        assert_eq!(whole(&format!("7{zeros}e-1048576")), Some(7));
        assert_eq!(whole(&"9".repeat(1 << 20)), None);
    }

    proptest! {
        #[test]
        fn a_number_is_read_back_however_it_is_shifted(number: u64, places in 0usize..25) {
            let digits = format!("{number:0>width$}", width = places + 1);
            let (integer, fraction) = digits.split_at(digits.len() - places);
            let integer = integer.trim_start_matches('0');
            let integer = if integer.is_empty() { "0" } else { integer };
            let text = match places {
                0 => integer.to_owned(),
                _ => format!("{integer}.{fraction}e{places}"),
            };
            prop_assert_eq!(whole(&text), Some(number), "{}", text);
        }
    }
}
