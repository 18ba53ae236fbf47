//! The conversion of text into words, for the index and for queries.
//!
//! **Words.** This module folds text (`fold`: case, compatibility forms, diacritics) and cuts it into words
//! (`cut`), so that the index (`contexts_fts`, SQLite FTS5) only stems English.
//!
//! **Keys.** In the index each word follows a key, which stands for the owner and the status of the context,
//! and a mark, which says whether the word is from the name. So a search touches only the caller's own
//! entries, and "in the name" is a different index word, not a condition to test on every match. The text of
//! a caller never reaches FTS5's query syntax: words contain no quote, and each word is quoted.
//!
//! **Ranking.** The context whose name is the query comes first, then those with every word in the name (or
//! at the beginning of a word of the name), then those with every word anywhere; within each group the
//! newest comes first. FTS5's own ranking (bm25) would have to visit every match before it could return the
//! best, so its cost grows with the owner's contexts. This order is that of the index, so a page costs the
//! same at a thousand contexts and at a hundred thousand.
//!
//! **Earlier versions.** A context whose words an earlier version wrote is found by the words of that
//! version (`former`). For ASCII text the words of both versions are the same.

mod cut;
mod fold;
mod former;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde_json::Value;
use sha2::{Digest, Sha256};

use self::cut::{Side, cut};
use self::fold::fold;
use crate::contexts::Status;

/// The most words of a query that are used; further words are ignored.
const MAX_QUERY_WORDS: usize = 16;

/// The most different words of one field that are indexed, so that the index row of a context stays below
/// the 2 MB that D1 allows.
const MAX_WORDS: usize = 5000;

/// The most different words of a name that are indexed, beginnings included. The 200 characters of a name
/// give fewer, unless they are ligatures of whole phrases.
const MAX_NAME_WORDS: usize = 2000;

/// The shortest and longest beginning of a name's word that is indexed, in characters.
const PREFIX_CHARS: std::ops::RangeInclusive<usize> = 2..=20;

/// The set of words of a text or of JSON values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words(BTreeSet<String>);

impl Words {
    /// Returns the words of all texts, numbers and member names in JSON values.
    pub fn of(values: &[Value]) -> Self {
        // One text for all values: each call of `fold` has a fixed cost, and there may be many values.
        let mut text = String::new();
        values.iter().for_each(|value| add_value(&mut text, value));
        let mut words = Words::default();
        words.add(&text);
        words
    }

    fn add(&mut self, text: &str) {
        cut(&fold(text), Side::Indexed, &mut |word| {
            if self.0.len() >= MAX_WORDS {
                return ControlFlow::Break(());
            }
            // Most words are repeated; this avoids their allocation.
            if !self.0.contains(word) {
                self.0.insert(word.to_owned());
            }
            ControlFlow::Continue(())
        });
    }

    /// Returns the content of an index column: the words, each behind the key.
    pub fn under(&self, key: &Key) -> String {
        key.column(ELSEWHERE, self.0.iter())
    }
}

/// Appends the texts, numbers and member names in a value to `text`, one line each. serde_json reads at most
/// 128 levels of nesting, so this recursion is bounded.
fn add_value(text: &mut String, value: &Value) {
    match value {
        Value::String(one) => add_line(text, one),
        Value::Number(number) => add_line(text, &number.to_string()),
        Value::Array(values) => values.iter().for_each(|value| add_value(text, value)),
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            add_line(text, name);
            add_value(text, value);
        }),
        Value::Null | Value::Bool(_) => {}
    }
}

fn add_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Returns the content of the index's `name` column: the words of the name; their beginnings, so that a
/// search finds the name before the caller has typed all of it; and a term that every context has.
pub fn name_column(name: &str, key: &Key) -> String {
    let mut found = BTreeSet::new();
    cut(&fold(name), Side::Indexed, &mut |word| {
        let length = word.chars().count();
        let ends = word.char_indices().map(|(at, _)| at).enumerate();
        let beginnings = ends
            .filter(|(chars, _)| PREFIX_CHARS.contains(chars) && *chars < length)
            .filter_map(|(_, at)| word.get(..at))
            .map(str::to_owned);
        found.extend(beginnings);
        found.insert(word.to_owned());
        if found.len() < MAX_NAME_WORDS {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    format!("{}{EVERY} {}", key.0, key.column(IN_NAME, found.iter()))
}

/// The marks between a key and a word: the word is in the name, or elsewhere; `EVERY` has no word, and every
/// context has it.
const IN_NAME: char = 'n';
const ELSEWHERE: char = 'w';
const EVERY: char = 'z';

/// The beginning of every index term of an owner's contexts of one status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Makes the key of 48 bits of a hash, in digits and consonants: the stemmer takes them for the beginning
    /// of a word and does not change them. Even if two owners had the same key, neither would find contexts
    /// of the other, because the query checks the owner of each row.
    pub fn of(owner: &str, status: Status) -> Self {
        const SYMBOLS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'b', 'c', 'd', 'f', 'g', 'h'];
        let hash = Sha256::new().chain_update(status.as_str()).chain_update(owner).finalize();
        let nibbles = hash.iter().take(6).flat_map(|byte| [byte >> 4, byte & 15]);
        Key(nibbles.filter_map(|nibble| SYMBOLS.get(usize::from(nibble))).collect())
    }

    /// The key as it is in the index.
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

/// A search, as FTS5 queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The text is blank: every context matches.
    All(String),
    /// The text is not blank, but has no word: no context matches.
    Nothing,
    /// The text has words.
    Words {
        /// The queries for the words as this version cuts them.
        now: Matches,
        /// The queries for these words or those of an earlier version; equal to `now` if those are the same.
        with_former: Matches,
    },
}

/// The two FTS5 queries of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matches {
    /// Matches contexts with every word in the name.
    pub in_name: String,
    /// Matches contexts with every word anywhere, but not all in the name.
    pub elsewhere: String,
}

impl Query {
    /// Makes the queries for the text of a caller, over the caller's contexts of one status, or of both.
    pub fn of(text: &str, owner: &str, status: Option<Status>) -> Self {
        let keys: Vec<Key> = match status {
            Some(status) => vec![Key::of(owner, status)],
            None => vec![Key::of(owner, Status::Active), Key::of(owner, Status::Inactive)],
        };
        if text.trim().is_empty() {
            return Query::All(any_key(&keys, &|key| key.term(EVERY, "")));
        }
        let words = asked(text);
        if words.is_empty() {
            return Query::Nothing;
        }
        let now = Matches::of(&keys, &words);
        // The case of ASCII letters makes no difference, because FTS5 folds it itself.
        let former = former::words(text, MAX_QUERY_WORDS);
        let is_same = former.len() == words.len()
            && former.iter().zip(&words).all(|(one, other)| one.eq_ignore_ascii_case(other));
        let with_former = match is_same || former.is_empty() {
            true => now.clone(),
            false => now.or(&Matches::of(&keys, &former)),
        };
        Query::Words { now, with_former }
    }
}

impl Matches {
    fn of(keys: &[Key], words: &[String]) -> Self {
        let every_word = |query: &dyn Fn(&str) -> String| {
            let queries: Vec<String> = words.iter().map(|word| query(word)).collect();
            format!("({})", queries.join(" AND "))
        };
        let in_name = any_key(keys, &|key| every_word(&|word| key.term(IN_NAME, word)));
        let anywhere = any_key(keys, &|key| {
            every_word(&|word| {
                format!("({} OR {})", key.term(ELSEWHERE, word), key.term(IN_NAME, word))
            })
        });
        Matches { elsewhere: format!("{anywhere} NOT {in_name}"), in_name }
    }

    fn or(&self, other: &Matches) -> Self {
        let either = |one: &str, other: &str| format!("({one}) OR ({other})");
        Matches {
            in_name: either(&self.in_name, &other.in_name),
            elsewhere: either(&self.elsewhere, &other.elsewhere),
        }
    }
}

/// Returns a query that matches what `query` matches under any of the keys.
fn any_key(keys: &[Key], query: &dyn Fn(&Key) -> String) -> String {
    let queries: Vec<String> = keys.iter().map(query).collect();
    format!("({})", queries.join(" OR "))
}

/// Returns the words of a caller's text, at most [`MAX_QUERY_WORDS`].
fn asked(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    cut(&fold(text), Side::Asked, &mut |word| {
        words.push(word.to_owned());
        if words.len() < MAX_QUERY_WORDS {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use unicode_segmentation::UnicodeSegmentation;

    fn indexed(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        cut(&fold(text), Side::Indexed, &mut |word| {
            words.push(word.to_owned());
            ControlFlow::Continue(())
        });
        words
    }

    #[test]
    fn text_is_cut_into_the_words_that_people_see() {
        for (text, expected) in [
            ("", ""),
            ("  hello,  World! ", "hello world"),
            ("chitty-connect_v2.1", "chitty connect v2 1"),
            ("100% \"sure\" OR NOT (x*)", "100 sure or not x"),
            ("naïve café", "naive cafe"),
            ("5€", "5 €"),
            ("⌈x⌉ 〈y〉 ❨z❩", "x y z"),
            ("हिन्दी", "हिन्दी"),
            ("東京タ", "東京 京タ"),
            ("京", "京"),
            ("고속도로", "고속 속도 도로"),
            ("ภาษาไทย", "ภาษ าษา ษาไ าไท ไทย"),
            ("ไท", "ไท"),
            ("می\u{200c}خواهم", "ميخواهم"),
            ("co\u{ad}op", "coop"),
        ] {
            assert_eq!(asked(text).join(" "), expected, "{text}");
        }
        assert_eq!(indexed("東京タ").join(" "), "東 京 タ 東京 京タ");
        assert_eq!(indexed("ไทย").join(" "), "ไ ท ย ไท ทย ไทย");
        assert_eq!(indexed("می\u{200c}خواهم").join(" "), "ميخواهم مي خواهم");
        assert_eq!(indexed("🚀launch🚀🚀").join(" "), "🚀 launch 🚀 🚀");
        assert_eq!(indexed("👩\u{200d}🚀").join(" "), "👩 🚀");
        assert_eq!(indexed("🇩🇪🇫🇷").join(" "), "🇩🇪 🇫🇷");
    }

    #[test]
    fn an_earlier_version_cut_other_words() {
        assert_eq!(former::words("Crème brûlée, twice", 2), ["Crème", "brûlée"]);
        for (text, expected) in [
            ("a-b_c 1.5", "a b c 1 5"),
            ("cafe\u{301}s x", "cafe\u{301}s x"),
            ("हिन्दी", "हिन्दी"),
            ("東京タ 京", "東京 京タ 京"),
            ("x🚀👩\u{200d}🚀€y", "x 🚀 👩 🚀 € y"),
            ("❤\u{fe0f}", "❤"),
            ("a«b»", "a b"),
        ] {
            assert_eq!(former::words(text, 9).join(" "), expected, "{text}");
        }
        let long = "x".repeat(41);
        assert_eq!(former::words(&long, 9), [&long[..40]]);
    }

    #[test]
    fn each_word_of_values_is_kept_once_and_their_number_is_bounded() {
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
        assert_eq!(column, "z nqu nqua nquar nquart nre");
        let long = name_column(&"x".repeat(200), &key);
        assert_eq!(long.split(' ').count(), 1 + 19 + 1);
    }

    #[test]
    fn the_number_of_words_of_any_name_is_bounded() {
        let key = Key::of("o", Status::Active);
        let thai: String = ('ก'..='ฮ').cycle().take(200).collect();
        assert!(name_column(&thai, &key).split(' ').count() < 200);
        let mixed: String = (0..200).map(|n| char::from_u32(0xe01 + n * 7 % 46).unwrap()).collect();
        assert!(name_column(&mixed, &key).split(' ').count() < 600);
        let phrases = "\u{fdfa}".repeat(200);
        assert!(name_column(&phrases, &key).split(' ').count() <= MAX_NAME_WORDS + 1);
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
        let key = Key::of("o", Status::Active);
        let of = |text: &str| {
            let Query::Words { now, with_former } = Query::of(text, "o", active) else { panic!() };
            (now, with_former)
        };
        let (now, with_former) = of("a\" OR b");
        let plain = now.in_name.replace(key.as_str(), "");
        assert_eq!(plain, "((\"na\" AND \"nor\" AND \"nb\"))");
        assert_eq!(with_former, now, "words of ASCII are found as before");
        let plain = of("a").0.elsewhere.replace(key.as_str(), "");
        assert_eq!(plain, "(((\"wa\" OR \"na\"))) NOT ((\"na\"))");
        let plain = of("Ά").1.in_name.replace(key.as_str(), "");
        assert_eq!(plain, "(((\"nα\"))) OR (((\"nΆ\")))");
    }

    proptest! {
        #[test]
        fn no_word_holds_a_quote_or_a_space_and_all_are_bounded(text in "\\PC{0,300}") {
            for word in indexed(&text).iter().chain(&asked(&text)) {
                prop_assert!(!word.contains(['"', ' ']));
                prop_assert!((1..=cut::MAX_WORD_CHARS).contains(&word.chars().count()));
            }
            let key = Key::of("o", Status::Active);
            prop_assert!(name_column(&text, &key).split(' ').count() <= MAX_NAME_WORDS + 20);
        }

        // A search for a word that UAX #29 finds in a text asks only for words that are indexed of the text.
        #[test]
        fn every_word_by_the_rules_of_unicode_is_found(text in "\\PC{0,60}|[a-zéα-ω0-9'.:_ -]{0,60}|[\u{e01}-\u{e4e}]{0,40}|[가-힣 ]{0,30}|[\u{621}-\u{6ff}\u{200c} ]{0,30}") {
            // `cut` leaves numerals other than ASCII digits in the word beside them, UAX #29 does not.
            let text = text.replace(|c: char| c.is_numeric() && !c.is_ascii(), " ");
            let there: BTreeSet<String> = indexed(&text).into_iter().collect();
            let text = fold(&text);
            for word in text.unicode_words() {
                for piece in asked(word) {
                    prop_assert!(there.contains(&piece), "{piece:?} of {word:?} in {text:?}: {there:?}");
                }
            }
        }
    }
}
