//! The words that an earlier version cut from a query, before there was `fold` and the present `cut`. By
//! these words a search finds contexts whose words that version wrote, until the cron has rewritten them.

use std::ops::ControlFlow;

/// The most characters of a word.
const MAX_WORD_CHARS: usize = 40;

/// Returns the first words of a text, `most` at most.
pub(super) fn words(text: &str, most: usize) -> Vec<String> {
    let mut words = Vec::new();
    cut(text, &mut |word| {
        words.push(word.to_owned());
        if words.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    words
}

/// Receives the words of a text one by one, until it has enough.
type Take<'f, 't> = &'f mut dyn FnMut(&'t str) -> ControlFlow<()>;

/// Cuts a text into words. Each is a part of the text, so that a long text of short words costs no
/// more than its length.
fn cut<'t>(text: &'t str, take: Take<'_, 't>) {
    let mut from = 0;
    let mut run_class = Class::Separator;
    for (at, c) in text.char_indices() {
        let class = class(c);
        if class == run_class {
            continue;
        }
        let run = text.get(from..at).unwrap_or_default();
        if finish(run, run_class, take).is_break() {
            return;
        }
        (from, run_class) = (at, class);
    }
    let _ = finish(text.get(from..).unwrap_or_default(), run_class, take);
}

/// Passes on the words of a run of characters of one class.
fn finish<'t>(run: &'t str, class: Class, take: Take<'_, 't>) -> ControlFlow<()> {
    match class {
        Class::Separator => ControlFlow::Continue(()),
        Class::Letter => take(first_chars(run, MAX_WORD_CHARS)),
        Class::Symbol => chars(run).try_for_each(take),
        Class::Ideograph => {
            if run.chars().nth(1).is_none() {
                return take(run);
            }
            let ends = run.char_indices().skip(2).map(|(at, _)| at).chain([run.len()]);
            let mut pairs = run.char_indices().zip(ends);
            pairs.try_for_each(|((at, _), end)| take(run.get(at..end).unwrap_or_default()))
        }
    }
}

/// Returns each character of a text as a text.
fn chars(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().map(|(at, c)| text.get(at..at + c.len_utf8()).unwrap_or_default())
}

/// Returns the first `most` characters of a text.
fn first_chars(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        Some((end, _)) => text.get(..end).unwrap_or_default(),
        None => text,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Part of a word.
    Letter,
    /// A word by itself: an emoji, a currency sign.
    Symbol,
    /// A character of a script that puts no spaces between words.
    Ideograph,
    /// A character between words.
    Separator,
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Class::Letter,
        '\0'..='\u{7f}' => Class::Separator,
        // Kana, CJK ideographs.
        '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}' => Class::Ideograph,
        // Joiners and variation selectors inside emoji sequences have no meaning of their own.
        '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => Class::Separator,
        // Currency, arrows, technical and other symbols, emoji.
        '\u{20a0}'..='\u{20cf}' | '\u{2100}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' => {
            Class::Symbol
        }
        c if c.is_alphanumeric() => Class::Letter,
        // Combining marks belong to their letter; is_alphanumeric does not know them all.
        '\u{0300}'..='\u{036f}' | '\u{0900}'..='\u{0dff}' => Class::Letter,
        _ => Class::Separator,
    }
}
