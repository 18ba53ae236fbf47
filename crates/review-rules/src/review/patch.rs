//! The hunks of a unified diff, as GitHub gives them: without the lines that name the files.

use crate::cut;

/// The most bytes of a line that are looked at.
pub(super) const MAX_LINE_BYTES: usize = 2000;

/// A line of the new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its number in the new file, from 1.
    pub(super) number: u64,
    /// Its text, cut after [`MAX_LINE_BYTES`].
    pub(super) text: &'a str,
    /// Whether the change added it; the other lines are context.
    pub(super) is_added: bool,
}

/// The lines of the new file that a patch shows.
pub(super) fn lines(patch: &str) -> Vec<Line<'_>> {
    let mut next = None;
    let mut lines = Vec::new();
    for raw in patch.split('\n') {
        if let Some(header) = raw.strip_prefix("@@ ") {
            next = first_line(header);
            continue;
        }
        let Some(number) = next else { continue };
        let (text, is_added) = match raw.as_bytes().first() {
            Some(b'+') => (raw.get(1..).unwrap_or_default(), true),
            Some(b' ') => (raw.get(1..).unwrap_or_default(), false),
            // A removed line, or "\ No newline at end of file".
            _ => continue,
        };
        let text = cut(text.strip_suffix('\r').unwrap_or(text), MAX_LINE_BYTES);
        lines.push(Line { number, text, is_added });
        next = number.checked_add(1);
    }
    lines
}

/// Returns the line of the new file at which a hunk begins: 3 for `-1,2 +3,4 @@`.
fn first_line(header: &str) -> Option<u64> {
    let new = header.split(' ').find_map(|part| part.strip_prefix('+'))?;
    new.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_have_their_numbers_in_the_new_file() {
        let patch = "@@ -1,3 +1,4 @@ fn main() {\n one\n-two\n+zwei\r\n+++ drei\n four\n\
                     @@ -10 +12 @@\n-a\n+b\n\\ No newline at end of file";
        let seen: Vec<_> = lines(patch).iter().map(|l| (l.number, l.text, l.is_added)).collect();
        assert_eq!(
            seen,
            [
                (1, "one", false),
                (2, "zwei", true),
                (3, "++ drei", true),
                (4, "four", false),
                (12, "b", true)
            ]
        );
    }

    #[test]
    fn a_text_without_a_hunk_has_no_lines() {
        assert!(lines("").is_empty());
        assert!(lines("+++ b/file\n+one").is_empty());
        assert!(lines("@@ nothing @@\n+one").is_empty());
        let wide = format!("@@ -0,0 +1 @@\n+{}", "é".repeat(5000));
        assert_eq!(lines(&wide)[0].text.len(), MAX_LINE_BYTES);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(patch in "(@@ -1 \\+[0-9]{0,21},?|[-+ ]|\n|é|@@){0,40}") {
            lines(&patch);
        }
    }
}
