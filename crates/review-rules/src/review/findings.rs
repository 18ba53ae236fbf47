//! Collects what the rules find in the added lines of the files.

use super::language::Language;
use super::patch::{self, Line};
use super::{Finding, FindingKind, MAX_FINDINGS, Rule, dangers, secrets, workflows};
use crate::FileFacts;

/// The findings of one kind: the first ones, and the total number.
#[derive(Default)]
pub(super) struct Tally {
    first: Vec<Finding>,
    pub(super) total: usize,
}

/// The findings so far.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) secrets: Tally,
    pub(super) dangers: Tally,
}

impl Tally {
    fn add(&mut self, kind: FindingKind, rule: Rule, path: &str, line: u64) {
        self.total += 1;
        if self.first.len() < MAX_FINDINGS {
            let path = path.to_owned();
            self.first.push(Finding { kind, rule: rule.name, path, line, what: rule.what });
        }
    }
}

impl Findings {
    /// Adds the findings in the added lines of a file. Returns whether these lines declare a test in a Rust
    /// file, because Rust has tests next to the code.
    pub(super) fn look(&mut self, file: &FileFacts<'_>, is_test: bool) -> bool {
        let Some(patch) = file.patch else { return false };
        let lines = patch::lines(patch);
        let language = Language::of(file.filename);
        let is_unquoted = has_bare_values(file.filename, language);
        let is_workflow = workflows::is_workflow(file.filename);
        let mut has_tests = false;
        for (n, line) in lines.iter().enumerate() {
            if !line.is_added {
                continue;
            }
            has_tests |= language == Language::Rust && declares_test(line.text);
            let below = lines.get(n + 1).filter(|next| is_below(line, next)).map(|next| next.text);
            for rule in secrets::find(line.text, below, is_test, is_unquoted) {
                self.secrets.add(FindingKind::Secret, rule, file.filename, line.number);
            }
            // In a Rust file, the lines from the first test on count as a file of tests.
            for rule in dangers::find(line.text, language, is_test || has_tests) {
                self.dangers.add(FindingKind::Danger, rule, file.filename, line.number);
            }
            if is_workflow {
                for rule in workflows::find(line.text) {
                    self.dangers.add(FindingKind::Danger, rule, file.filename, line.number);
                }
            }
        }
        if is_workflow && let Some((line, rule)) = workflows::target(&lines) {
            self.dangers.add(FindingKind::Danger, rule, file.filename, line);
        }
        has_tests
    }

    /// Returns the findings to keep. Secrets come first, so that dangerous patterns cannot displace them.
    pub(super) fn keep(self) -> Vec<Finding> {
        self.secrets.first.into_iter().chain(self.dangers.first).take(MAX_FINDINGS).collect()
    }
}

fn is_below(line: &Line<'_>, next: &Line<'_>) -> bool {
    next.number == line.number.saturating_add(1)
}

fn declares_test(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[test]") || line.starts_with("#[cfg(test)]") || line.contains("::test]")
}

/// Whether values in a file may have no quotes around them.
fn has_bare_values(path: &str, language: Language) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let endings = [".env", ".npmrc", ".properties", ".ini", ".cfg", ".conf", ".pypirc", ".netrc"];
    matches!(language, Language::Yaml | Language::Shell)
        || name.starts_with(".env")
        || endings.iter().any(|ending| name.ends_with(ending))
}
