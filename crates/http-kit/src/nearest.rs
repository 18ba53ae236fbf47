//! Finds the known name that is nearest to a misspelt one. Pure, and bounded in time: a name of more than 64
//! characters is near to none.

/// The longest name that is compared, in characters.
const MAX_CHARS: usize = 64;

/// Returns the name in `known` that the writer of `name` most likely meant, if one is near: both differ only
/// in case and separators, or by a few typing errors, or one is the beginning or the end of the other.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let name = plain(name)?;
    let near = known.into_iter().filter_map(|one| {
        let distance = distance(&name, &plain(one)?)?;
        Some((distance, one))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, one)| one)
}

/// The distance of a name from a known one; `None` if they are too far apart.
fn distance(name: &[char], known: &[char]) -> Option<usize> {
    // At most a third of the letters may be wrong; one always may.
    let most = (name.len().max(known.len()) / 3).max(1);
    let slips = slips(name, known);
    if slips <= most && slips < known.len() {
        return Some(slips);
    }
    let (short, long) = if name.len() < known.len() { (name, known) } else { (known, name) };
    // `expires_in` for `expires_in_seconds`: farther than any typing error.
    (short.len() >= 4 && (long.starts_with(short) || long.ends_with(short)))
        .then_some(MAX_CHARS + long.len())
}

/// Returns the letters and digits of a name in lower case; `None` if the name has more than 64 characters, or
/// no letter and no digit.
fn plain(name: &str) -> Option<Vec<char>> {
    if name.chars().nth(MAX_CHARS).is_some() {
        return None;
    }
    let plain: Vec<char> =
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    (!plain.is_empty()).then_some(plain)
}

/// Counts the places in which two texts differ by one letter more, one less, another one, or two letters in
/// the wrong order (optimal string alignment).
pub fn slips(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, c) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, d) in other.iter().enumerate() {
            let at =
                |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, j) + usize::from(c != d);
            let mut least = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped =
                i > 0 && j > 0 && one.get(i - 1) == Some(d) && other.get(j - 1) == Some(c);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

/// Lists names for a sentence, each in backquotes.
pub fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_nearest_name_is_found_and_nothing_that_is_far() {
        let known = ["name", "data", "systems", "tools", "status", "expires_in_seconds"];
        for (name, meant) in [
            ("nmae", Some("name")),
            ("Name", Some("name")),
            ("names", Some("name")),
            ("system", Some("systems")),
            ("expiresInSeconds", Some("expires_in_seconds")),
            ("expires_in", Some("expires_in_seconds")),
            ("operating_systems", Some("systems")),
            ("stauts", Some("status")),
            ("colour", None),
            ("", None),
            ("_", None),
            ("é", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
        assert_eq!(nearest(&"n".repeat(100_000), known), None);
    }

    #[test]
    fn how_far_a_name_may_be() {
        let far = |name: &str, known: &str| {
            distance(&name.chars().collect::<Vec<_>>(), &known.chars().collect::<Vec<_>>())
        };
        assert_eq!(far("abcdefxyz", "abcdefghi"), Some(3), "a third of nine");
        assert_eq!(far("abcdewxyz", "abcdefghi"), None);
        assert_eq!(far("b", "a"), None, "nothing of it is right");
        assert_eq!(far("ab", "a"), None);
        assert_eq!(far("name", "nameofthecontext"), Some(MAX_CHARS + 16));
        assert_eq!(far("nam", "nameofthecontext"), None);
        let (long, longer) = ("n".repeat(MAX_CHARS), "n".repeat(MAX_CHARS + 1));
        assert_eq!(nearest(&long, [long.as_str()]), Some(long.as_str()));
        assert_eq!(nearest(&longer, [longer.as_str()]), None);
    }

    #[test]
    fn slips_are_counted() {
        let count = |one: &str, other: &str| {
            slips(&one.chars().collect::<Vec<_>>(), &other.chars().collect::<Vec<_>>())
        };
        for (one, other, slips) in [
            ("read", "raed", 1),
            ("read", "read", 0),
            ("read", "reed", 1),
            ("read", "rea", 1),
            ("read", "bread", 1),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(count(one, other), slips, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn slips_are_the_same_both_ways_and_never_more_than_the_longer_text(
            one in proptest::collection::vec(any::<char>(), 0..12),
            other in proptest::collection::vec(any::<char>(), 0..12),
        ) {
            let there = slips(&one, &other);
            prop_assert_eq!(there, slips(&other, &one));
            prop_assert!(there <= one.len().max(other.len()));
            prop_assert_eq!(there == 0, one == other);
        }
    }
}
