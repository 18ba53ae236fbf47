//! What reading a file of settings costs: no shape of a file is much worse than another.

use super::Settings;

/// A file of at most so many bytes that is made of a beginning and something again and again.
fn file(begin: &str, part: &str, bytes: usize) -> String {
    format!("{begin}{}", part.repeat((bytes - begin.len()) / part.len()))
}

/// The time of reading a file, in ns.
fn reading(text: &str) -> u128 {
    #[allow(clippy::disallowed_methods, reason = "tests are native")]
    let now = std::time::Instant::now;
    let before = now();
    let _ = std::hint::black_box(Settings::parse(text));
    now().duration_since(before).as_nanos()
}

#[test]
fn a_file_eight_times_as_long_takes_about_eight_times_as_long() {
    let top = "version: 1\npull_requests:\n  ignore:\n";
    let lists = ["", "version: 1\n", top];
    let parts = [
        "- a\n",
        "  - a\n",
        "    - '**/a'\n",
        "- - - - ",
        "[",
        "{",
        "[]",
        "{}, ",
        "? ",
        "? a\n: b\n",
        "a: ",
        "a: 1\n",
        "&a ",
        "*a ",
        "!!a ",
        "'",
        "\"",
        "\"\\",
        "'' ",
        "|\n",
        ">\n x\n",
        "# x\n",
        "#",
        "%",
        "--- ",
        "---\n",
        "...\n",
        "\n",
        " ",
        "\t",
        ",",
        ":",
        "a",
        "a b ",
        "a,",
        "\u{301}",
        "\u{feff}",
        "[a, ",
        "{a: ",
        "\u{4e00}",
        "\r",
    ];
    for begin in lists {
        for part in parts {
            let (short, long) = (file(begin, part, 8 << 10), file(begin, part, 64 << 10));
            // The best of several: what a busy machine adds does not come each time.
            let best = |text: &str| (0..3).map(|_| reading(text)).min().unwrap_or_default();
            let (short, long) = (best(&short).max(200_000), best(&long));
            assert!(long < 30 * short, "{begin:?} {part:?}: {long} ns, not {short}");
        }
    }
}
