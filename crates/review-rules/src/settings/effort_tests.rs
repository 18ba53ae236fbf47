//! The cost of reading a settings file: no content costs much more than other content of the same length.

use super::Settings;

/// Makes a file of at most `bytes` bytes: a beginning, and a part that is repeated.
fn file(begin: &str, part: &str, bytes: usize) -> String {
    format!("{begin}{}", part.repeat((bytes - begin.len()) / part.len()))
}

/// The CPU time of this thread in ns, if the system reports it; otherwise the time of day in ns.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|used| used.parse().ok()).unwrap_or_else(|| {
        #[allow(clippy::disallowed_methods, reason = "tests are native")]
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(now.as_nanos()).unwrap()
    })
}

/// The CPU time that it takes to read a file `times` times, in ns.
fn reading(text: &str, times: usize) -> u64 {
    let before = cpu_ns();
    for _ in 0..times {
        let _ = std::hint::black_box(Settings::parse(text));
    }
    cpu_ns() - before
}

#[test]
fn a_long_file_takes_no_longer_than_as_many_bytes_of_short_ones() {
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
            // Eight short files have as many bytes as the long one. Less than 60 ms does not matter. A busy
            // machine may slow one measurement down, but hardly three in a row.
            let slow = (0..3).take_while(|_| {
                let effort = reading(&long, 1);
                effort > 60_000_000 && effort > 5 * reading(&short, 8)
            });
            assert!(slow.count() < 3, "{begin:?} {part:?}");
        }
    }
}
