//! Renders the comment and the texts of a check run. In Markdown, every text of a repository is escaped.

mod escape;

use crate::review::{AreaChange, Finding, FindingKind, MAX_FINDINGS, Reason, Report};
use crate::{PullFacts, settings};

/// The beginning of the comment, by which the App finds it again.
pub const MARKER: &str = "<!-- chittyconnect:review -->";

/// The most bytes, and therefore also the most characters, of a comment or a summary. GitHub takes 65,535
/// characters.
pub const MAX_BYTES: usize = 60_000;

/// The bytes that are reserved for the end of the text.
const END_BYTES: usize = 600;

/// The most characters of a path that are shown.
const MAX_PATH: usize = 200;

/// The most files of an area that are shown.
const MAX_FILES: usize = 40;

/// The most characters of a summary that are shown.
const MAX_SUMMARY: usize = 1500;

/// The texts of a check run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckText {
    /// One line.
    pub title: String,
    /// Markdown.
    pub summary: String,
    /// At most 50: GitHub takes no more in a request.
    pub annotations: Vec<AnnotationText>,
}

/// A remark at a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationText {
    /// The path of the file, not escaped.
    pub path: String,
    /// The line, from 1.
    pub line: u64,
    /// `notice`, `warning` or `failure`.
    pub level: &'static str,
    /// Plain text of one line.
    pub title: String,
    /// Plain text.
    pub message: String,
}

/// Returns the comment: Markdown of at most 60,000 bytes that begins with [`MARKER`]. `summary` is the text
/// that a model wrote, if there is one.
pub fn comment(report: &Report, pull: &PullFacts<'_>, summary: Option<&str>) -> String {
    let mut page = Page::new(MARKER);
    page.line(&format!("### Review: {}", headline(report)));
    if pull.is_draft {
        page.line("");
        page.line("This is a draft.");
    }
    if let Some(summary) = summary {
        page.line("");
        page.line(&format!("> {}", escape::text(summary, MAX_SUMMARY)));
        page.line(">");
        page.line(
            "> <sub>Written by a model from names and numbers; it has not seen the code.</sub>",
        );
    }
    reasons(&mut page, report);
    areas(&mut page, report);
    findings(&mut page, report);
    files(&mut page, report);
    page.end(report)
}

/// Returns the texts of the check run for a report.
pub fn check(report: &Report) -> CheckText {
    let mut page = Page::new("");
    reasons(&mut page, report);
    areas(&mut page, report);
    findings(&mut page, report);
    let annotations = report.findings.iter().take(MAX_FINDINGS).map(annotation).collect();
    CheckText { title: headline(report), summary: page.end(report), annotations }
}

/// Returns the texts of the check run, which is neutral, for settings that cannot be read. `error` is that of
/// [`settings::Settings::parse`].
pub fn settings_problem(error: &str) -> CheckText {
    let place = error.strip_prefix("line ").and_then(|rest| rest.split_once(':'));
    let line = place.and_then(|(line, _)| line.parse::<u64>().ok()).filter(|line| *line > 0);
    let plain: String = error.chars().filter(|c| !c.is_control()).take(500).collect();
    let annotation = line.map(|line| AnnotationText {
        path: settings::PATH.to_owned(),
        line,
        level: "warning",
        title: "This cannot be read".to_owned(),
        message: plain,
    });
    CheckText {
        title: "The settings cannot be read".to_owned(),
        summary: format!(
            "`{}`: {}.\n\nUntil this is fixed, the App ignores the pull requests and issues of this \
             repository.",
            settings::PATH,
            escape::text(error, 500)
        ),
        annotations: annotation.into_iter().collect(),
    }
}

fn annotation(finding: &Finding) -> AnnotationText {
    let (level, title) = match finding.kind {
        FindingKind::Secret => ("failure", "Possible secret"),
        FindingKind::Danger => ("warning", "Dangerous pattern"),
    };
    let title = format!("{title}: {}", finding.rule);
    let mut message = format!("{}.", finding.what);
    if finding.kind == FindingKind::Secret {
        message.push_str(" If it is real, revoke it: it stays in the history of the repository.");
    }
    AnnotationText { path: finding.path.clone(), line: finding.line, level, title, message }
}

/// A text of bounded size. It leaves out the lines that do not fit, and says so at its end.
struct Page {
    text: String,
    is_full: bool,
}

impl Page {
    fn new(first: &str) -> Self {
        let text = if first.is_empty() { String::new() } else { format!("{first}\n") };
        Page { text, is_full: false }
    }

    /// Adds a line, unless the page is full; then all that follows is left out too.
    fn line(&mut self, line: &str) {
        self.is_full |= self.text.len() + line.len() + 1 + END_BYTES > MAX_BYTES;
        if !self.is_full {
            self.text.push_str(line);
            self.text.push('\n');
        }
    }

    /// Adds a part that the reader can expand. Closes it even if some of its lines are left out.
    fn details(&mut self, title: &str, content: impl FnOnce(&mut Page)) {
        self.line("");
        let begun = self.text.len();
        self.line(&format!("<details><summary>{title}</summary>\n"));
        content(self);
        if self.text.len() > begun {
            self.text.push_str("\n</details>\n");
        }
    }

    fn end(mut self, report: &Report) -> String {
        if self.is_full {
            self.text.push_str("\nMore would not fit.\n");
        }
        let mut left_out = Vec::new();
        if report.is_truncated {
            left_out.push("files after the first ones that GitHub lists".to_owned());
        }
        if report.unseen > 0 {
            left_out.push(format!("{} too large for GitHub to show", count(report.unseen, "file")));
        }
        if report.ignored > 0 {
            left_out.push(format!("{} ignored by the settings", count(report.ignored, "file")));
        }
        self.text.push_str("\n<sub>Rules looked at the added lines only");
        if !left_out.is_empty() {
            self.text.push_str("; not looked at: ");
            self.text.push_str(&left_out.join(", "));
        }
        self.text.push_str(&format!(". Settings: <code>{}</code></sub>\n", settings::PATH));
        self.text
    }
}

/// The headline of a report, such as `high risk, large (5315 lines in 4 files)`.
fn headline(report: &Report) -> String {
    let (lines, files) = (report.changed_lines(), count(report.files, "file"));
    let lines = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
    let (risk, size) = (report.risk.as_str(), report.size.as_str());
    format!("{risk} risk, {size} ({lines} in {files})")
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn reasons(page: &mut Page, report: &Report) {
    page.line("");
    for reason in &report.reasons {
        page.line(&format!("- {}", say(reason)));
    }
    if report.is_missing_tests && !report.reasons.contains(&Reason::MissingTests) {
        page.line("- Code has changed and no test has.");
    }
    if report.is_undescribed {
        page.line("- There is no description.");
    }
    if report.reasons.is_empty() && !report.is_missing_tests {
        page.line("- No rule has found anything.");
    }
}

fn say(reason: &Reason) -> String {
    match reason {
        Reason::Secrets(number) => format!("**{}**", count(*number, "possible secret")),
        Reason::Dangers(number) => format!("**{}**", count(*number, "dangerous pattern")),
        Reason::Risky(1, first) => format!("It changes the risky file {}.", code(first)),
        Reason::Risky(number, first) => {
            format!("It changes {number} risky files, such as {}.", code(first))
        }
        Reason::Large(lines) => format!("It is large: {lines} changed lines."),
        Reason::MissingTests => "Code has changed and no test has.".to_owned(),
        Reason::Incomplete => "Not everything could be looked at.".to_owned(),
    }
}

/// Formats a text of the repository as code.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escape::text(text, MAX_PATH))
}

fn areas(page: &mut Page, report: &Report) {
    if report.areas.is_empty() {
        return;
    }
    page.line("");
    page.line("| Area | Files | Added | Removed |");
    page.line("|---|--:|--:|--:|");
    for area in &report.areas {
        let (name, files) = (escape::text(&area.name, 40), area.files.len());
        page.line(&format!("| {name} | {files} | {} | {} |", area.additions, area.deletions));
    }
}

fn findings(page: &mut Page, report: &Report) {
    for (kind, title, total) in [
        (FindingKind::Secret, "Possible secrets", report.secrets),
        (FindingKind::Danger, "Dangerous patterns", report.dangers),
    ] {
        let shown: Vec<&Finding> =
            report.findings.iter().filter(|finding| finding.kind == kind).collect();
        if total == 0 {
            continue;
        }
        page.line("");
        page.line(&format!("#### {title}"));
        page.line("");
        for finding in &shown {
            let (path, line) = (code(&finding.path), finding.line);
            page.line(&format!("- {path} line {line}: {} (`{}`)", finding.what, finding.rule));
        }
        if total > shown.len() {
            page.line(&format!("- and {} more", total - shown.len()));
        }
    }
}

fn files(page: &mut Page, report: &Report) {
    if report.areas.is_empty() {
        return;
    }
    page.details("Files", |page| report.areas.iter().for_each(|area| files_of(page, area)));
}

fn files_of(page: &mut Page, area: &AreaChange) {
    page.line(&format!("**{}**", escape::text(&area.name, 40)));
    for file in area.files.iter().take(MAX_FILES) {
        page.line(&format!("- {} +{} −{}", code(&file.path), file.additions, file.deletions));
    }
    if area.files.len() > MAX_FILES {
        page.line(&format!("- and {} more", area.files.len() - MAX_FILES));
    }
    page.line("");
}

#[cfg(test)]
mod tests;
