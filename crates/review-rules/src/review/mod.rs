//! Reviews a pull request by rules. The same files always give the same report.

mod commands;
mod connection;
mod dangers;
mod findings;
mod language;
mod literal;
mod patch;
mod secrets;
mod sql;
mod workflows;

use crate::glob;
use crate::settings::{FailOn, PullRequests};
use crate::{FileFacts, PullFacts};
use findings::Findings;
use language::Language;

/// The most findings that are kept; the others are only counted.
pub const MAX_FINDINGS: usize = 50;

/// The area of a file that is in no area of the settings.
const OTHER: &str = "other";

/// The report about a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The areas with a change, the most changed lines first.
    pub areas: Vec<AreaChange>,
    /// How many files were looked at.
    pub files: usize,
    /// Lines added, in all of them.
    pub additions: u64,
    /// Lines removed, in all of them.
    pub deletions: u64,
    /// How many files the settings ignore.
    pub ignored: usize,
    /// How many files have added lines that GitHub did not show.
    pub unseen: usize,
    /// Whether the pull request has more files than these.
    pub is_truncated: bool,
    /// The size, by changed lines.
    pub size: Size,
    /// The risk, by the reasons.
    pub risk: Risk,
    /// Why the risk is not low.
    pub reasons: Vec<Reason>,
    /// Whether code has changed and no test has.
    pub is_missing_tests: bool,
    /// Whether the pull request has no description.
    pub is_undescribed: bool,
    /// At most [`MAX_FINDINGS`] findings: secrets first, and each kind in the order of the files.
    pub findings: Vec<Finding>,
    /// How many possible secrets there are in all.
    pub secrets: usize,
    /// How many dangerous patterns there are in all.
    pub dangers: usize,
}

/// The change of one area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AreaChange {
    /// The name of the area in the settings.
    pub name: String,
    /// Its files, the most changed lines first.
    pub files: Vec<FileChange>,
    /// Lines added.
    pub additions: u64,
    /// Lines removed.
    pub deletions: u64,
}

/// The change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The path of the file.
    pub path: String,
    /// Lines added.
    pub additions: u64,
    /// Lines removed.
    pub deletions: u64,
}

/// How large a pull request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// At most a quarter of `max_changed_lines`.
    Small,
    /// In between.
    Medium,
    /// More than `max_changed_lines`.
    Large,
}

/// How risky a pull request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// There is no [`Reason`].
    Low,
    /// There is a [`Reason`], but not enough for [`Risk::High`].
    Medium,
    /// A possible secret, or a risky file in a change that is large or has no tests.
    High,
}

/// Why the risk is not low.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Possible secrets, with their number.
    Secrets(usize),
    /// Dangerous patterns, with their number.
    Dangers(usize),
    /// Files that the settings call risky, with their number and the first of them.
    Risky(usize, String),
    /// A large change, with the number of changed lines.
    Large(u64),
    /// Code has changed and no test has.
    MissingTests,
    /// Not everything could be looked at.
    Incomplete,
}

/// A finding in a line. It never repeats the text of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind of the finding.
    pub kind: FindingKind,
    /// The name of the rule.
    pub rule: &'static str,
    /// The file.
    pub path: String,
    /// The line in the new file, from 1.
    pub line: u64,
    /// What the finding means.
    pub what: &'static str,
}

/// The kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// A possible secret.
    Secret,
    /// A dangerous pattern.
    Danger,
}

/// The conclusion of a check run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// There are no findings, and everything was looked at.
    Success,
    /// There are findings, or not everything was looked at.
    Neutral,
    /// There is something that the settings fail on.
    Failure,
}

impl Conclusion {
    /// GitHub's name for the conclusion.
    pub fn as_str(self) -> &'static str {
        match self {
            Conclusion::Success => "success",
            Conclusion::Neutral => "neutral",
            Conclusion::Failure => "failure",
        }
    }
}

/// A rule, and what it means if a line breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    name: &'static str,
    what: &'static str,
}

/// Reviews the files of a pull request. `is_truncated` says that it has more files than these. The review
/// takes time in proportion to the length of its input.
pub fn review(
    settings: &PullRequests,
    pull: &PullFacts<'_>,
    files: &[FileFacts<'_>],
    is_truncated: bool,
) -> Report {
    let (ignored, files): (Vec<&FileFacts<'_>>, Vec<&FileFacts<'_>>) =
        files.iter().partition(|file| glob::any(&settings.ignore, file.filename));
    let mut found = Findings::default();
    let mut tests = Tests::default();
    let mut unseen = 0;
    for file in &files {
        let is_test = glob::any(&settings.tests, file.filename);
        let inner_tests = found.look(file, is_test);
        tests.count(file, is_test || inner_tests);
        unseen += usize::from(file.patch.is_none() && file.additions > 0);
    }
    let additions = files.iter().map(|file| file.additions).fold(0, u64::saturating_add);
    let deletions = files.iter().map(|file| file.deletions).fold(0, u64::saturating_add);
    let mut report = Report {
        areas: areas(settings, &files),
        files: files.len(),
        additions,
        deletions,
        ignored: ignored.len(),
        unseen,
        is_truncated,
        size: Size::of(additions.saturating_add(deletions), settings.max_changed_lines),
        risk: Risk::Low,
        reasons: Vec::new(),
        // If there are more files, a test may be among them.
        is_missing_tests: tests.are_missing() && !is_truncated,
        is_undescribed: pull.body.is_none_or(|body| body.trim().is_empty()),
        secrets: found.secrets.total,
        dangers: found.dangers.total,
        findings: found.keep(),
    };
    let risky = files.iter().filter(|file| glob::any(&settings.risky, file.filename));
    let risky: Vec<&str> = risky.map(|file| file.filename).collect();
    report.reasons = reasons(&report, &risky);
    report.risk = risk(&report.reasons);
    report
}

impl Report {
    /// Lines added and removed.
    pub fn changed_lines(&self) -> u64 {
        self.additions.saturating_add(self.deletions)
    }

    /// Whether there is something that was not looked at.
    pub fn is_incomplete(&self) -> bool {
        self.is_truncated || self.unseen > 0
    }

    /// Returns the conclusion of the check run: failure if there is something that the settings fail on;
    /// neutral if there are other findings or not everything was looked at; success otherwise.
    pub fn conclusion(&self, settings: &PullRequests) -> Conclusion {
        let fails = |cause: &FailOn| match cause {
            FailOn::Secrets => self.secrets > 0,
            FailOn::Dangerous => self.dangers > 0,
            FailOn::MissingTests => self.is_missing_tests,
            FailOn::Size => self.size == Size::Large,
        };
        if settings.fail_on.iter().any(fails) {
            Conclusion::Failure
        } else if !self.findings.is_empty() || self.is_incomplete() {
            Conclusion::Neutral
        } else {
            Conclusion::Success
        }
    }
}

impl Risk {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Risk::Low => "low",
            Risk::Medium => "medium",
            Risk::High => "high",
        }
    }
}

impl Size {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Size::Small => "small",
            Size::Medium => "medium",
            Size::Large => "large",
        }
    }

    fn of(changed_lines: u64, max: u64) -> Self {
        match changed_lines {
            lines if lines > max => Size::Large,
            lines if lines > max / 4 => Size::Medium,
            _ => Size::Small,
        }
    }
}

/// Whether code and tests have changed.
#[derive(Default)]
struct Tests {
    has_code: bool,
    has_tests: bool,
}

impl Tests {
    fn count(&mut self, file: &FileFacts<'_>, is_test: bool) {
        let is_change = file.additions > 0 && file.status != "removed";
        self.has_tests |= is_test && is_change;
        self.has_code |= !is_test && is_change && Language::of(file.filename).is_code();
    }

    fn are_missing(&self) -> bool {
        self.has_code && !self.has_tests
    }
}

/// Groups the files by area. The order is always the same.
fn areas(settings: &PullRequests, files: &[&FileFacts<'_>]) -> Vec<AreaChange> {
    let names = settings.areas.iter().map(|area| area.name.as_str()).chain([OTHER]);
    let empty = |name: &str| AreaChange {
        name: name.to_owned(),
        files: Vec::new(),
        additions: 0,
        deletions: 0,
    };
    let mut areas: Vec<AreaChange> = names.map(empty).collect();
    for file in files {
        let mut known = settings.areas.iter();
        let place = known.position(|area| glob::any(&area.globs, file.filename));
        let Some(area) = areas.get_mut(place.unwrap_or(settings.areas.len())) else { continue };
        area.additions = area.additions.saturating_add(file.additions);
        area.deletions = area.deletions.saturating_add(file.deletions);
        area.files.push(FileChange {
            path: file.filename.to_owned(),
            additions: file.additions,
            deletions: file.deletions,
        });
    }
    areas.retain(|area| !area.files.is_empty());
    for area in &mut areas {
        area.files
            .sort_by_key(|file| std::cmp::Reverse(file.additions.saturating_add(file.deletions)));
    }
    // Both sorts are stable: equal entries stay in the order of the files and of the settings.
    areas.sort_by_key(|area| std::cmp::Reverse(area.additions.saturating_add(area.deletions)));
    areas
}

fn reasons(report: &Report, risky: &[&str]) -> Vec<Reason> {
    let first = risky.first().map(|first| (*first).to_owned()).unwrap_or_default();
    let is_large = report.size == Size::Large;
    let is_untested = report.is_missing_tests && report.size > Size::Small;
    [
        (report.secrets > 0).then_some(Reason::Secrets(report.secrets)),
        (report.dangers > 0).then_some(Reason::Dangers(report.dangers)),
        (!risky.is_empty()).then_some(Reason::Risky(risky.len(), first)),
        is_large.then(|| Reason::Large(report.changed_lines())),
        // The comment names a small change without a test, but that is no risk by itself.
        (is_untested || report.is_missing_tests && !risky.is_empty())
            .then_some(Reason::MissingTests),
        report.is_incomplete().then_some(Reason::Incomplete),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn risk(reasons: &[Reason]) -> Risk {
    let has = |is: fn(&Reason) -> bool| reasons.iter().any(is);
    let is_unguarded = has(|reason| matches!(reason, Reason::Large(_) | Reason::MissingTests));
    if has(|reason| matches!(reason, Reason::Secrets(_)))
        || (has(|reason| matches!(reason, Reason::Risky(..))) && is_unguarded)
    {
        Risk::High
    } else if reasons.is_empty() {
        Risk::Low
    } else {
        Risk::Medium
    }
}

#[cfg(test)]
mod tests;
