//! Cutting a folded text into words. Pure.
//!
//! The text is cut wherever UAX #29 has a word boundary, and also at every character that is neither letter,
//! mark nor digit, so that a search finds each part of `chitty-connect_v2.1`. Each symbol (an emoji, `€`) is
//! a word. Text in scripts without spaces between words, and Korean text, whose words grow by endings, is
//! cut into all pieces of up to two or three characters, so the pieces of every word in the text are among
//! them.

use std::ops::ControlFlow;

use unicode_normalization::char::is_combining_mark;

/// The most characters of a word. The rest of a longer word is dropped.
pub(super) const MAX_WORD_CHARS: usize = 40;

/// The purpose for which a text is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// For the index: all pieces.
    Indexed,
    /// For a query: only the longest pieces.
    Asked,
}

/// Receives the words of a text one by one, until it has enough.
pub(super) type Take<'f> = &'f mut dyn FnMut(&str) -> ControlFlow<()>;

/// Cuts a folded text into words.
pub(super) fn cut(text: &str, side: Side, take: Take<'_>) {
    let mut from = 0;
    let mut run_class = Class::Separator;
    for (at, c) in text.char_indices() {
        // A mark belongs to the character before it.
        let class = class(c).unwrap_or(run_class);
        if class == run_class {
            continue;
        }
        let run = text.get(from..at).unwrap_or_default();
        if finish(run, run_class, side, take).is_break() {
            return;
        }
        (from, run_class) = (at, class);
    }
    let _ = finish(text.get(from..).unwrap_or_default(), run_class, side, take);
}

/// Passes on the words of a run of characters of one class.
fn finish(run: &str, class: Class, side: Side, take: Take<'_>) -> ControlFlow<()> {
    match class {
        Class::Separator => ControlFlow::Continue(()),
        Class::Letter => word(run, side, take),
        Class::Symbol => pieces(run, 1, Side::Asked, take),
        Class::Flag => flags(run, take),
        Class::Syllable => pieces(run, 2, side, take),
        Class::Unspaced => pieces(run, 3, side, take),
    }
}

/// Passes on a word. If it has several parts that non-joiners separate (می‌خواهم), the whole word without
/// them is passed on and, for the index, each part.
fn word(run: &str, side: Side, take: Take<'_>) -> ControlFlow<()> {
    if !run.contains(NON_JOINER) {
        return take(first_chars(run));
    }
    let whole = run.replace(NON_JOINER, "");
    take(first_chars(&whole))?;
    match side {
        Side::Asked => ControlFlow::Continue(()),
        Side::Indexed => run
            .split(NON_JOINER)
            .filter(|part| !part.is_empty())
            .map(first_chars)
            .try_for_each(take),
    }
}

/// Passes on the pieces of a run: for the index those of every length up to `longest`, for a query only the
/// longest ones.
fn pieces(run: &str, longest: usize, side: Side, take: Take<'_>) -> ControlFlow<()> {
    let bounds: Vec<usize> = run.char_indices().map(|(at, _)| at).chain([run.len()]).collect();
    let longest = longest.min(bounds.len().saturating_sub(1));
    let shortest = if side == Side::Indexed { 1 } else { longest };
    for length in shortest..=longest {
        let ends = bounds.iter().skip(length);
        for (from, to) in bounds.iter().zip(ends) {
            take(run.get(*from..*to).unwrap_or_default())?;
        }
    }
    ControlFlow::Continue(())
}

/// Passes on the flags of a run: two regional indicators each.
fn flags(run: &str, take: Take<'_>) -> ControlFlow<()> {
    let mut rest = run;
    while !rest.is_empty() {
        let end = rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at);
        let (flag, more) = rest.split_at(end);
        take(flag)?;
        rest = more;
    }
    ControlFlow::Continue(())
}

/// Returns the first [`MAX_WORD_CHARS`] characters of a word.
fn first_chars(text: &str) -> &str {
    match text.char_indices().nth(MAX_WORD_CHARS) {
        Some((end, _)) => text.get(..end).unwrap_or_default(),
        None => text,
    }
}

/// The zero-width non-joiner, between the parts of a word in a joining script. Elsewhere `fold` removes it.
const NON_JOINER: char = '\u{200c}';

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Part of a word.
    Letter,
    /// A word by itself: an emoji, a currency sign.
    Symbol,
    /// Half a flag.
    Flag,
    /// A syllable or an ideograph: Chinese, Japanese, Korean.
    Syllable,
    /// A letter of a script that puts no spaces between words, such as Thai.
    Unspaced,
    /// A character between words.
    Separator,
}

/// Returns the class of a character, or `None` if it belongs to the class of the character before it.
fn class(c: char) -> Option<Class> {
    Some(match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Class::Letter,
        '\0'..='\u{7f}' => Class::Separator,
        NON_JOINER => return None,
        // Kana without their combining dots, bopomofo, ideographs (CJK, Tangut, Khitan, Nüshu).
        '\u{3005}'..='\u{3007}' | '\u{3031}'..='\u{3035}' | '\u{303b}'..='\u{303c}' | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}'
        | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' | '\u{3105}'..='\u{312f}'
        | '\u{31a0}'..='\u{31bf}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{17000}'..='\u{18dff}' | '\u{1aff0}'..='\u{1b2ff}' | '\u{20000}'..='\u{3ffff}'
        // Hangul.
        | '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' => {
            Class::Syllable
        }
        '\u{1f1e6}'..='\u{1f1ff}' => Class::Flag,
        // Brackets among the symbols.
        '\u{2308}'..='\u{230b}' | '\u{2329}'..='\u{232a}' | '\u{2768}'..='\u{2775}'
        | '\u{27c5}'..='\u{27c6}' | '\u{27e6}'..='\u{27ef}' | '\u{2983}'..='\u{2998}'
        | '\u{29d8}'..='\u{29db}' | '\u{29fc}'..='\u{29fd}' => Class::Separator,
        // Currency, arrows, technical and other symbols, emoji.
        '\u{20a0}'..='\u{20cf}' | '\u{2100}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' => {
            Class::Symbol
        }
        c if is_combining_mark(c) => return None,
        c if c.is_alphanumeric() => match is_unspaced(c) {
            true => Class::Unspaced,
            false => Class::Letter,
        },
        _ => Class::Separator,
    })
}

/// Whether a character is of a script that puts no spaces between words: Thai, Lao, Myanmar, Khmer, Tai,
/// Balinese, Javanese.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(
        c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{1950}'..='\u{19df}' | '\u{1a20}'..='\u{1aaf}' | '\u{1b00}'..='\u{1b7f}'
        | '\u{a980}'..='\u{a9ff}' | '\u{aa60}'..='\u{aadf}' | '\u{11700}'..='\u{1174f}'
    )
}
