//! Text of strangers for GitHub's Markdown: it shows what it says and does nothing. It mentions nobody,
//! links nothing, and is neither markup nor HTML.

/// Joins words, and cannot be seen: what GitHub would make a link of is none with it.
const JOINER: char = '\u{2060}';

/// A text in one line, cut after `max` characters.
pub(super) fn text(text: &str, max: usize) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    for (n, c) in text.chars().enumerate() {
        if n >= max {
            escaped.push('…');
            break;
        }
        push(&mut escaped, before, c);
        before = c;
    }
    escaped
}

fn push(escaped: &mut String, before: char, c: char) {
    match c {
        '<' => escaped.push_str("&lt;"),
        '>' => escaped.push_str("&gt;"),
        '&' => escaped.push_str("&amp;"),
        // People, and `user@host`.
        '@' => escaped.extend(['@', JOINER]),
        // Issues: `#1`, and `GH-1` like those of other trackers.
        '#' => escaped.extend(['\\', '#', JOINER]),
        '-' => escaped.extend(['\\', '-', JOINER]),
        // Addresses: `https://…`, and `www.…`.
        ':' => escaped.extend([':', JOINER]),
        '.' if before.eq_ignore_ascii_case(&'w') => escaped.extend([JOINER, '.']),
        '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '+' | '.' | '!' | '|'
        | '~' | '$' => escaped.extend(['\\', c]),
        // What turns text around or hides it.
        c if is_hidden(c) => {}
        c if c.is_whitespace() || c.is_control() => escaped.push(' '),
        c => escaped.push(c),
    }
}

fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_does_nothing() {
        for (from, expected) in [
            ("plain words", "plain words"),
            ("@octocat", "@\u{2060}octocat"),
            ("a <!-- b --> c", "a &lt;\\!\\-\u{2060}\\-\u{2060} b \\-\u{2060}\\-\u{2060}&gt; c"),
            ("fixes #12", "fixes \\#\u{2060}12"),
            ("GH-12", "GH\\-\u{2060}12"),
            ("https://x.y", "https:\u{2060}//x\\.y"),
            ("www.x.y", "www\u{2060}.x\\.y"),
            ("a|b\nc", "a\\|b c"),
            ("[a](b)", "\\[a\\]\\(b\\)"),
            ("`a`", "\\`a\\`"),
            ("\u{202E}abc\u{200B}", "abc"),
            ("&lt;", "&amp;lt;"),
        ] {
            assert_eq!(text(from, 100), expected, "{from}");
        }
        assert_eq!(text("abcdef", 3), "abc…");
    }
}
