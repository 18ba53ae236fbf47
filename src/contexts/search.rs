//! How text becomes words, on both sides: what is indexed and what is asked for.
//!
//! The index (`contexts_fts`, SQLite FTS5) folds case and diacritics and stems. Before that, text is
//! cut here so that words are found as people expect: at everything that is neither letter nor
//! digit; each symbol (an emoji, `€`) is a word, and each character of a script that puts no spaces
//! between words.
//!
//! What a caller asks for never meets FTS5's query syntax: words hold no quote, and each is quoted.
//!
//! **Ranking.** Contexts whose name is the query come first, then those with every word in the name
//! (or at the beginning of a word of it), then those with every word anywhere; within each, the
//! newest first. FTS5's own ranking (bm25) would have to visit every match before it could return
//! the best, so it grows with the owner's contexts; this order is the index's own, so a page costs
//! the same at a thousand contexts and at a hundred thousand.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::contexts::Status;
use crate::platform::ids;

/// The most words of a query that count.
const MAX_QUERY_WORDS: usize = 16;

/// The shortest and longest beginning of a name's word that is indexed, in characters.
const PREFIX_CHARS: std::ops::RangeInclusive<usize> = 2..=20;

/// The words of a text, separated by single spaces.
pub fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    append_words(&mut words, text);
    words
}

/// The words of all texts, numbers and member names in JSON values.
pub fn words_of(values: &[Value]) -> String {
    let mut words = String::new();
    values.iter().for_each(|value| append_value(&mut words, value));
    words
}

// serde_json bounds the nesting of what it reads at 128, so this recursion is bounded.
fn append_value(words: &mut String, value: &Value) {
    match value {
        Value::String(text) => append_words(words, text),
        Value::Number(number) => append_words(words, &number.to_string()),
        Value::Array(values) => values.iter().for_each(|value| append_value(words, value)),
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            append_words(words, name);
            append_value(words, value);
        }),
        Value::Null | Value::Bool(_) => {}
    }
}

fn append_words(words: &mut String, text: &str) {
    let mut within = false;
    for c in text.chars() {
        let class = class(c);
        let continues = within && class == Class::Letter;
        if class != Class::Separator {
            if !continues && !words.is_empty() {
                words.push(' ');
            }
            words.push(c);
        }
        within = class == Class::Letter;
    }
}

#[derive(PartialEq, Eq)]
enum Class {
    /// Part of a word.
    Letter,
    /// A word by itself.
    Alone,
    /// Between words.
    Separator,
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Class::Letter,
        '\0'..='\u{7f}' => Class::Separator,
        // Kana, CJK ideographs: written without spaces.
        '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}' => Class::Alone,
        // Joiners and variation selectors inside emoji sequences carry no meaning of their own.
        '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => Class::Separator,
        // Currency, arrows, technical and other symbols, emoji.
        '\u{20a0}'..='\u{20cf}' | '\u{2100}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' => {
            Class::Alone
        }
        c if c.is_alphanumeric() => Class::Letter,
        // Combining marks belong to their letter; is_alphanumeric does not know them all.
        '\u{0300}'..='\u{036f}' | '\u{0900}'..='\u{0dff}' => Class::Letter,
        _ => Class::Separator,
    }
}

/// The beginnings of a name's words, for finding it before it is typed out.
pub fn prefixes(name: &str) -> String {
    let words = words(name);
    let mut prefixes: Vec<&str> = Vec::new();
    for word in words.split(' ') {
        let length = word.chars().count();
        let ends = word.char_indices().map(|(at, _)| at).enumerate();
        prefixes.extend(
            ends.filter(|(chars, _)| PREFIX_CHARS.contains(chars) && *chars < length)
                .filter_map(|(_, at)| word.get(..at)),
        );
    }
    prefixes.join(" ")
}

/// The content of the index's `scope` column: a word for the owner, and one for the owner with the
/// status.
pub fn scope_words(owner: &str, status: Status) -> String {
    format!("{} {}", scope_word(owner, None), scope_word(owner, Some(status)))
}

/// One word that stands for an owner, or an owner's contexts of one status. Hashed, because an id
/// is several words to the index; with a digit at its end, so that no stemming changes it.
fn scope_word(owner: &str, status: Option<Status>) -> String {
    let hash = ids::hex(&Sha256::digest(owner.as_bytes()));
    let suffix = status.map_or("", Status::as_str);
    let hash = hash.get(..32).unwrap_or(&hash);
    format!("o{hash}{suffix}0")
}

/// The two FTS5 queries of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matches {
    /// Every word in the name.
    pub in_name: String,
    /// Every word somewhere, but not all in the name.
    pub elsewhere: String,
}

/// What to look for, among an owner's contexts of a status or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Nothing was asked for: everything matches.
    All(String),
    /// Something was asked for that holds no word: nothing matches.
    Nothing,
    /// These words.
    Words(Matches),
}

impl Query {
    /// Makes the FTS5 queries of what a caller typed.
    pub fn of(text: &str, owner: &str, status: Option<Status>) -> Self {
        let scope = format!("scope : \"{}\"", scope_word(owner, status));
        if text.trim().is_empty() {
            return Query::All(scope);
        }
        let words = words(text);
        let quoted: Vec<String> = words
            .split(' ')
            .filter(|word| !word.is_empty())
            .take(MAX_QUERY_WORDS)
            .map(|word| format!("\"{word}\""))
            .collect();
        if quoted.is_empty() {
            return Query::Nothing;
        }
        let all = quoted.join(" AND ");
        let in_name = format!("{{name prefixes}} : ({all})");
        Query::Words(Matches {
            in_name: format!("{scope} AND {in_name}"),
            elsewhere: format!("({scope} AND - scope : ({all})) NOT ({in_name})"),
        })
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
            ("🚀launch🚀", "🚀 launch 🚀"),
            ("👩‍🚀", "👩 🚀"),
            ("100% \"sure\" OR NOT (x*)", "100 sure OR NOT x"),
            ("東京タワー", "東 京 タ ワ ー"),
            ("naïve café", "naïve café"),
            ("5€", "5 €"),
            ("हिन्दी", "हिन्दी"),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
        let values = [json!({"repo": "chitty/connect", "n": [1.5, true, null]}), json!("a\nb")];
        assert_eq!(words_of(&values), "n 1 5 repo chitty connect a b");
    }

    #[test]
    fn beginnings_of_a_names_words() {
        assert_eq!(prefixes("Quart rep"), "Qu Qua Quar re");
        assert_eq!(prefixes("a é 東京"), "");
        assert_eq!(prefixes("éèê"), "éè");
        assert_eq!(prefixes(&"x".repeat(200)).split(' ').count(), 19);
    }

    #[test]
    fn queries() {
        assert!(matches!(Query::of(" ", "o", None), Query::All(_)));
        assert_eq!(Query::of("%", "o", None), Query::Nothing);
        let Query::Words(matches) = Query::of("a\" OR b", "o", None) else { panic!() };
        assert!(matches.in_name.ends_with("{name prefixes} : (\"a\" AND \"OR\" AND \"b\")"));
        let scopes = |status| format!("{:?}", Query::of("", "owner", status));
        assert_ne!(scopes(None), scopes(Some(Status::Active)));
        assert_ne!(scopes(Some(Status::Inactive)), scopes(Some(Status::Active)));
    }

    proptest! {
        #[test]
        fn no_word_holds_a_quote_and_words_of_words_are_the_same(text in "\\PC{0,60}") {
            let once = words(&text);
            prop_assert!(!once.contains('"'));
            prop_assert!(!once.contains("  "));
            prop_assert_eq!(words(&once), once);
        }
    }
}
