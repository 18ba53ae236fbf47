//! Chooses the labels of an issue by the rules of its repository.

use crate::cut;
use crate::settings::{Issues, Rule};

/// The most labels that an issue gets at once.
const MAX_LABELS: usize = 20;

/// The most bytes of a title or a body that are read. GitHub takes a body of as many characters.
const MAX_BYTES: usize = 64 << 10;

/// Returns the labels that the rules give and the issue does not have yet: in the order of the rules, each
/// once, at most 20. Labels that differ only in case are the same, as they are at GitHub.
pub fn labels(settings: &Issues, title: &str, body: &str, has: &[String]) -> Vec<String> {
    let mut given: Vec<String> = Vec::new();
    if !settings.triage {
        return given;
    }
    let (title, body) = (normal(title), normal(body));
    for rule in &settings.rules {
        let is_there = |label: &String| label.to_lowercase() == rule.label.to_lowercase();
        if given.len() < MAX_LABELS
            && !has.iter().chain(&given).any(is_there)
            && applies(rule, &title, &body)
        {
            given.push(rule.label.clone());
        }
    }
    given
}

fn applies(rule: &Rule, title: &str, body: &str) -> bool {
    let in_any = |words: &[String], texts: &[&str]| {
        words.iter().any(|word| {
            let word = normal(word);
            texts.iter().any(|text| has_word(text, &word))
        })
    };
    in_any(&rule.title, &[title])
        || in_any(&rule.body, &[body])
        || in_any(&rule.any, &[title, body])
}

/// Returns a text in lower case with one space between words, because a phrase may be broken over lines.
fn normal(text: &str) -> String {
    let words: Vec<&str> = cut(text, MAX_BYTES).split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// Whether a text has this word, and not only as a part of another word.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    // Anything may stand next to an end of the word that is punctuation, as in `c++`.
    let begins = word.starts_with(is_part);
    let ends = word.ends_with(is_part);
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let before = text.get(..at).unwrap_or_default();
            let after = text.get(at + word.len()..).unwrap_or_default();
            let is_longer =
                begins && before.ends_with(is_part) || ends && after.starts_with(is_part);
            !is_longer
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(label: &str, title: &[&str], body: &[&str], any: &[&str]) -> Rule {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Rule { label: label.into(), title: owned(title), body: owned(body), any: owned(any) }
    }

    fn issues(rules: Vec<Rule>) -> Issues {
        Issues { triage: true, rules }
    }

    #[test]
    fn a_word_matches_as_a_whole_and_in_any_case() {
        for (word, text, expected) in [
            ("crash", "A CRASH at start", true),
            ("crash", "crash", true),
            ("crash", "(crash!)", true),
            ("crash", "crashes", false),
            ("crash", "a_crash", false),
            ("stack trace", "the stack\n  trace:", true),
            ("c++", "in C++ code", true),
            ("c++", "C++17", true),
            ("größe", "Die GRÖSSE GRÖßE", true),
            ("crash", "", false),
            ("バグ", "これは バグ です", true),
        ] {
            let settings = issues(vec![rule("bug", &[word], &[], &[])]);
            assert_eq!(!labels(&settings, text, "", &[]).is_empty(), expected, "{word}: {text}");
        }
    }

    #[test]
    fn each_list_applies_to_its_own_text() {
        let settings = issues(vec![
            rule("bug", &["crash"], &["stack trace"], &[]),
            rule("docs", &[], &[], &["typo"]),
        ]);
        let given = |title: &str, body: &str| labels(&settings, title, body, &[]);
        assert_eq!(given("a crash", ""), ["bug"]);
        assert_eq!(given("", "a crash"), [""; 0]);
        assert_eq!(given("", "with a stack trace"), ["bug"]);
        assert_eq!(given("typo", "stack trace"), ["bug", "docs"]);
        assert_eq!(given("", "typo"), ["docs"]);
    }

    #[test]
    fn a_label_is_given_once_and_only_if_it_is_missing() {
        let settings = issues(vec![
            rule("Bug", &["a"], &[], &[]),
            rule("two", &["a"], &[], &[]),
            rule("TWO", &["a"], &[], &[]),
        ]);
        assert_eq!(labels(&settings, "a", "", &["bug".into()]), ["two"]);
        assert!(labels(&Issues { triage: false, ..settings }, "a", "", &[]).is_empty());
        let many = (0..50).map(|n| rule(&format!("l{n}"), &["a"], &[], &[])).collect();
        assert_eq!(labels(&issues(many), "a", "", &[]).len(), MAX_LABELS);
    }
}
