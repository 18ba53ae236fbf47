//! How text becomes words, on both sides: what is indexed and what is asked for.
//!
//! **Words.** Before the index (`contexts_fts`, SQLite FTS5) folds case and diacritics and stems,
//! text is cut here as people expect: at everything that is neither letter nor digit; each symbol
//! (an emoji, `€`) is a word; and scripts that put no spaces between words are indexed by single
//! characters and by pairs.
//!
//! **Keys.** Each word is indexed behind a key that stands for its owner and the status, and a mark
//! that says whether it is from the name. So a search touches only the caller's own entries, and
//! "in the name" is a word of its own to look up, not a condition to test on every match. What a
//! caller asks for never meets FTS5's query syntax: words hold no quote, and each is quoted.
//!
//! **Ranking.** The context whose name is the query comes first, then those with every word in the
//! name (or at the beginning of a word of it), then those with every word anywhere; within each,
//! the newest first. FTS5's own ranking (bm25) would have to visit every match before it could
//! return the best, so it grows with the owner's contexts; this order is the index's own, so a page
//! costs the same at a thousand contexts and at a hundred thousand.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::contexts::Status;

/// The most words of a query that count.
const MAX_QUERY_WORDS: usize = 16;

/// The most different words of one field that are indexed, and the most characters of each: what
/// the index holds of a context stays below the 2 MB that D1 allows a row.
const MAX_WORDS: usize = 5000;
const MAX_WORD_CHARS: usize = 40;

/// The shortest and longest beginning of a name's word that is indexed, in characters.
const PREFIX_CHARS: std::ops::RangeInclusive<usize> = 2..=20;

/// The different words of a text or of some values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words(BTreeSet<String>);

impl Words {
    /// The words of all texts, numbers and member names in JSON values.
    pub fn of(values: &[Value]) -> Self {
        let mut words = Words::default();
        values.iter().for_each(|value| words.add_value(value));
        words
    }

    // serde_json bounds the nesting of what it reads at 128, so this recursion is bounded.
    fn add_value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text),
            Value::Number(number) => self.add(&number.to_string()),
            Value::Array(values) => values.iter().for_each(|value| self.add_value(value)),
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                self.add(name);
                self.add_value(value);
            }),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn add(&mut self, text: &str) {
        cut(text, Side::Indexed, &mut |word| {
            if self.0.len() >= MAX_WORDS {
                return ControlFlow::Break(());
            }
            // Most words come again and again.
            if !self.0.contains(word) {
                self.0.insert(word.to_owned());
            }
            ControlFlow::Continue(())
        });
    }

    /// The content of an index column.
    pub fn under(&self, key: &Key) -> String {
        key.column(ELSEWHERE, self.0.iter())
    }
}

/// The content of the index's `name` column: the words of the name and their beginnings, so that it
/// is found before it is typed out, and the bare key, by which all contexts are found.
pub fn name_column(name: &str, key: &Key) -> String {
    let mut found = BTreeSet::new();
    for word in words(name, Side::Indexed, usize::MAX) {
        let length = word.chars().count();
        let ends = word.char_indices().map(|(at, _)| at).enumerate();
        let beginnings = ends
            .filter(|(chars, _)| PREFIX_CHARS.contains(chars) && *chars < length)
            .filter_map(|(_, at)| word.get(..at))
            .map(str::to_owned);
        found.extend(beginnings);
        found.insert(word.to_owned());
    }
    format!("{}{EVERY} {}", key.0, key.column(IN_NAME, found.iter()))
}

/// The marks between a key and a word.
const IN_NAME: char = 'n';
const ELSEWHERE: char = 'w';
const EVERY: char = 'z';

/// What stands for an owner's contexts of one status in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// 48 bits of a hash, in digits and consonants: to the stemmer they are the beginning of a word,
    /// which it leaves alone. Should two owners ever share a key, they share no result: each row is
    /// checked for its owner.
    pub fn of(owner: &str, status: Status) -> Self {
        const SYMBOLS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'b', 'c', 'd', 'f', 'g', 'h'];
        let hash = Sha256::new().chain_update(status.as_str()).chain_update(owner).finalize();
        let nibbles = hash.iter().take(6).flat_map(|byte| [byte >> 4, byte & 15]);
        Key(nibbles.filter_map(|nibble| SYMBOLS.get(usize::from(nibble))).collect())
    }

    /// As it is in the index.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn column<'w>(&self, mark: char, words: impl Iterator<Item = &'w String>) -> String {
        let marked: Vec<String> = words.map(|word| format!("{}{mark}{word}", self.0)).collect();
        marked.join(" ")
    }

    fn term(&self, mark: char, word: &str) -> String {
        format!("\"{}{mark}{word}\"", self.0)
    }
}

/// What to look for, as FTS5 queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Nothing was asked for: everything matches.
    All(String),
    /// Something was asked for that holds no word: nothing matches.
    Nothing,
    /// These words.
    Words(Matches),
}

/// The two FTS5 queries of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matches {
    /// Every word in the name.
    pub in_name: String,
    /// Every word somewhere, but not all in the name.
    pub elsewhere: String,
}

impl Query {
    /// Makes the queries of what a caller typed, over its contexts of a status or of all.
    pub fn of(text: &str, owner: &str, status: Option<Status>) -> Self {
        let keys: Vec<Key> = match status {
            Some(status) => vec![Key::of(owner, status)],
            None => vec![Key::of(owner, Status::Active), Key::of(owner, Status::Inactive)],
        };
        let any_key = |query: &dyn Fn(&Key) -> String| {
            let queries: Vec<String> = keys.iter().map(query).collect();
            format!("({})", queries.join(" OR "))
        };
        if text.trim().is_empty() {
            return Query::All(any_key(&|key| key.term(EVERY, "")));
        }
        let words = words(text, Side::Asked, MAX_QUERY_WORDS);
        if words.is_empty() {
            return Query::Nothing;
        }
        let every_word = |query: &dyn Fn(&str) -> String| {
            let queries: Vec<String> = words.iter().map(|word| query(word)).collect();
            format!("({})", queries.join(" AND "))
        };
        let in_name = any_key(&|key| every_word(&|word| key.term(IN_NAME, word)));
        let anywhere = any_key(&|key| {
            every_word(&|word| {
                format!("({} OR {})", key.term(ELSEWHERE, word), key.term(IN_NAME, word))
            })
        });
        Query::Words(Matches { elsewhere: format!("{anywhere} NOT {in_name}"), in_name })
    }
}

/// Which side a text is on: pairs of ideographs are indexed beside the single ones, and asked for
/// instead of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Indexed,
    Asked,
}

/// The first words of a text.
fn words(text: &str, side: Side, most: usize) -> Vec<&str> {
    let mut words = Vec::new();
    cut(text, side, &mut |word| {
        words.push(word);
        if words.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    words
}

/// Where the words of a text go, one after the other, until there are enough.
type Take<'f, 't> = &'f mut dyn FnMut(&'t str) -> ControlFlow<()>;

/// Cuts a text into words. Each is a part of the text, so that a long text of short words costs no
/// more than its length.
fn cut<'t>(text: &'t str, side: Side, take: Take<'_, 't>) {
    let mut from = 0;
    let mut run_class = Class::Separator;
    for (at, c) in text.char_indices() {
        let class = class(c);
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

/// Hands on the words of a run of one class.
fn finish<'t>(run: &'t str, class: Class, side: Side, take: Take<'_, 't>) -> ControlFlow<()> {
    match class {
        Class::Separator => ControlFlow::Continue(()),
        Class::Letter => take(first_chars(run, MAX_WORD_CHARS)),
        Class::Symbol => chars(run).try_for_each(take),
        Class::Ideograph => {
            let mut pairs = run
                .char_indices()
                .zip(run.char_indices().skip(2).map(|(at, _)| at).chain([run.len()]));
            let is_single = run.chars().nth(1).is_none();
            if side == Side::Indexed || is_single {
                chars(run).try_for_each(&mut *take)?;
            }
            if is_single {
                return ControlFlow::Continue(());
            }
            pairs.try_for_each(|((at, _), end)| take(run.get(at..end).unwrap_or_default()))
        }
    }
}

/// Each character of a text, as a text.
fn chars(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().map(|(at, c)| text.get(at..at + c.len_utf8()).unwrap_or_default())
}

/// The beginning of a text, of this many characters at most.
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
    /// Of a script that puts no spaces between words.
    Ideograph,
    /// Between words.
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
        // Joiners and variation selectors inside emoji sequences carry no meaning of their own.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn text_is_cut_as_people_expect() {
        for (text, expected) in [
            ("", ""),
            ("  hello,  World! ", "hello World"),
            ("chitty-connect_v2.1", "chitty connect v2 1"),
            ("🚀launch🚀🚀", "🚀 launch 🚀 🚀"),
            ("👩‍🚀", "👩 🚀"),
            ("100% \"sure\" OR NOT (x*)", "100 sure OR NOT x"),
            ("naïve café", "naïve café"),
            ("5€", "5 €"),
            ("हिन्दी", "हिन्दी"),
            ("東京タ", "東京 京タ"),
            ("京", "京"),
        ] {
            assert_eq!(words(text, Side::Asked, 100).join(" "), expected, "{text}");
        }
        assert_eq!(words("東京タ", Side::Indexed, 100).join(" "), "東 京 タ 東京 京タ");
    }

    #[test]
    fn values_give_their_words_once() {
        let values = [json!({"repo": "chitty/repo", "n": [1.5, true, null]}), json!("a\nb")];
        let words: Vec<String> = Words::of(&values).0.into_iter().collect();
        assert_eq!(words, ["1", "5", "a", "b", "chitty", "n", "repo"]);
        let many: String = (0..9000).map(|n| format!("w{n} ")).collect();
        assert_eq!(Words::of(&[json!(many)]).0.len(), MAX_WORDS);
    }

    #[test]
    fn a_name_is_found_by_the_beginnings_of_its_words() {
        let key = Key::of("o", Status::Active);
        let column = name_column("Quart re", &key).replace(key.as_str(), "");
        assert_eq!(column, "z nQu nQua nQuar nQuart nre");
        let long = name_column(&"x".repeat(200), &key);
        assert_eq!(long.split(' ').count(), 1 + 19 + 1);
    }

    #[test]
    fn keys_differ_by_owner_and_status_and_hold_no_vowel() {
        let key = Key::of("o", Status::Active);
        assert_eq!(key.as_str().len(), 12);
        assert!(!key.as_str().contains(['a', 'e', 'i', 'o', 'u', 'y']));
        assert_ne!(key, Key::of("o", Status::Inactive));
        assert_ne!(key, Key::of("p", Status::Active));
    }

    #[test]
    fn queries() {
        assert!(matches!(Query::of(" ", "o", None), Query::All(_)));
        assert_eq!(Query::of("%", "o", None), Query::Nothing);
        let active = Some(Status::Active);
        let Query::Words(matches) = Query::of("a\" OR b", "o", active) else { panic!() };
        let key = Key::of("o", Status::Active);
        let plain = matches.in_name.replace(key.as_str(), "");
        assert_eq!(plain, "((\"na\" AND \"nOR\" AND \"nb\"))");
        let Query::Words(matches) = Query::of("a", "o", active) else { panic!() };
        let plain = matches.elsewhere.replace(key.as_str(), "");
        assert_eq!(plain, "(((\"wa\" OR \"na\"))) NOT ((\"na\"))");
    }

    proptest! {
        #[test]
        fn no_word_holds_a_quote_or_a_space_and_all_are_bounded(text in "\\PC{0,300}") {
            for side in [Side::Indexed, Side::Asked] {
                for word in words(&text, side, usize::MAX) {
                    prop_assert!(!word.contains(['"', ' ']));
                    prop_assert!((1..=MAX_WORD_CHARS).contains(&word.chars().count()));
                    let again = words(word, side, usize::MAX);
                    prop_assert_eq!(again.last(), Some(&word));
                }
            }
        }
    }
}
