//! Escapes untrusted text for GitHub's Markdown. The result shows the text and has no effect: it mentions
//! nobody, links nothing, and contains no markup and no HTML.

/// An invisible character that joins words. GitHub makes no link of a text that contains it.
const JOINER: char = '\u{2060}';

/// Returns a text escaped and in one line, cut after `max` characters.
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
        // Mentions of people, and `user@host`.
        '@' => escaped.extend(['@', JOINER]),
        // References to issues: `#1`, `GH-1`, and those of other trackers.
        '#' => escaped.extend(['\\', '#', JOINER]),
        '-' => escaped.extend(['\\', '-', JOINER]),
        // Addresses: `https://…`, and `www.…`.
        ':' => escaped.extend([':', JOINER]),
        '.' if before.eq_ignore_ascii_case(&'w') => escaped.extend([JOINER, '.']),
        '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '+' | '.' | '!' | '|'
        | '~' | '$' => escaped.extend(['\\', c]),
        // Characters that reverse or hide text are left out.
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
    fn escaped_text_has_no_effect() {
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
