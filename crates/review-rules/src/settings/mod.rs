//! The settings of a repository, from `.github/chittyconnect.yml`. A feature that the file does not name is
//! off.

mod defaults;
mod fields;
mod yaml;

use crate::glob::Glob;
use fields::Value;

/// The path of the file in a repository.
pub const PATH: &str = ".github/chittyconnect.yml";

/// The most globs in a file.
const MAX_GLOBS: usize = 100;

/// The most areas.
const MAX_AREAS: usize = 20;

/// The longest name of an area, in bytes.
const MAX_AREA_BYTES: usize = 40;

/// The most rules for labels.
const MAX_RULES: usize = 50;

/// The most words in one list of a rule.
const MAX_WORDS: usize = 20;

/// The longest word, in bytes: it may be a phrase.
const MAX_WORD_BYTES: usize = 60;

/// The longest name of a label, in bytes; GitHub takes 50 characters.
const MAX_LABEL_BYTES: usize = 50;

/// The default of `max_changed_lines`: a pull request with more changed lines is large.
const MAX_CHANGED_LINES: u64 = 800;

/// The name of the whole file in an error.
const TOP: &str = "the file";

/// The settings of a repository.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The settings for pull requests; if `None`, the App ignores them.
    pub pull_requests: Option<PullRequests>,
    /// The settings for issues; if `None`, the App ignores them.
    pub issues: Option<Issues>,
}

/// The settings for pull requests.
#[derive(Debug, Clone)]
pub struct PullRequests {
    /// Whether the App writes a comment.
    pub summary: bool,
    /// Whether the App makes a check run.
    pub check: bool,
    /// Whether a model writes a summary for the comment, if the deployment has a model.
    pub ai_summary: bool,
    /// Files that are not looked at.
    pub ignore: Vec<Glob>,
    /// The parts of the repository: a file belongs to the first one with a glob that matches it.
    pub areas: Vec<Area>,
    /// Files whose change is a risk.
    pub risky: Vec<Glob>,
    /// Files that are tests.
    pub tests: Vec<Glob>,
    /// A pull request with more changed lines than this is large.
    pub max_changed_lines: u64,
    /// The causes that fail the check run.
    pub fail_on: Vec<FailOn>,
}

/// A part of the repository.
#[derive(Debug, Clone)]
pub struct Area {
    /// The name of the area.
    pub name: String,
    /// The globs of its files.
    pub globs: Vec<Glob>,
}

/// A cause that may fail a check run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailOn {
    /// A possible secret.
    Secrets,
    /// A dangerous pattern.
    Dangerous,
    /// Code has changed and no test has.
    MissingTests,
    /// The pull request is large.
    Size,
}

/// The settings for issues.
#[derive(Debug, Clone)]
pub struct Issues {
    /// Whether the App labels issues.
    pub triage: bool,
    /// The rules for labels, in the order of the file.
    pub rules: Vec<Rule>,
}

/// Gives an issue a label if it has one of the words.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The name of the label.
    pub label: String,
    /// Words in the title.
    pub title: Vec<String>,
    /// Words in the body.
    pub body: Vec<String>,
    /// Words in title or body.
    pub any: Vec<String>,
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    /// One sentence for the author of the file: the line, what is wrong there, and what to do.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let begin = "it must begin with `version: 1`";
        let root = yaml::parse(yaml)?.ok_or_else(|| format!("the file is empty: {begin}"))?;
        let mut fields = Value::new(TOP, root).fields()?;
        let version = fields.take("version").ok_or_else(|| format!("line 1: {begin}"))?;
        version.number(1, 1).map_err(|_| version.error("must be 1"))?;
        let mut globs_left = MAX_GLOBS;
        let pull_requests = fields.take("pull_requests");
        let pull_requests =
            pull_requests.map(|value| PullRequests::read(value, &mut globs_left)).transpose()?;
        let issues = fields.take("issues").map(Issues::read).transpose()?;
        fields.finish()?;
        Ok(Settings { pull_requests, issues })
    }
}

impl Default for PullRequests {
    /// The settings of `pull_requests: {}`.
    fn default() -> Self {
        PullRequests {
            summary: true,
            check: true,
            ai_summary: false,
            ignore: defaults::ignore(),
            areas: defaults::areas(),
            risky: defaults::risky(),
            tests: defaults::tests(),
            max_changed_lines: MAX_CHANGED_LINES,
            fail_on: vec![FailOn::Secrets],
        }
    }
}

impl PullRequests {
    fn read(value: Value, globs_left: &mut usize) -> Result<Self, String> {
        let mut read = PullRequests::default();
        let mut fields = value.fields()?;
        for (name, flag) in [
            ("summary", &mut read.summary),
            ("check", &mut read.check),
            ("ai_summary", &mut read.ai_summary),
        ] {
            if let Some(value) = fields.take(name) {
                *flag = value.boolean()?;
            }
        }
        for (name, list) in
            [("ignore", &mut read.ignore), ("risky", &mut read.risky), ("tests", &mut read.tests)]
        {
            if let Some(value) = fields.take(name) {
                *list = globs(value, globs_left)?;
            }
        }
        if let Some(value) = fields.take("areas") {
            let areas = value.named(MAX_AREAS)?.into_iter();
            read.areas =
                areas.map(|named| Area::read(named, globs_left)).collect::<Result<_, _>>()?;
        }
        if let Some(value) = fields.take("max_changed_lines") {
            read.max_changed_lines = value.number(1, 1_000_000)?;
        }
        if let Some(value) = fields.take("fail_on") {
            let causes = value.list(20)?;
            read.fail_on = causes.iter().map(FailOn::read).collect::<Result<_, _>>()?;
        }
        fields.finish()?;
        Ok(read)
    }
}

impl Area {
    fn read((name, value): (String, Value), globs_left: &mut usize) -> Result<Self, String> {
        let is_good =
            (1..=MAX_AREA_BYTES).contains(&name.len()) && !name.chars().any(char::is_control);
        if !is_good {
            return Err(value.error(&format!("must have a name of 1 to {MAX_AREA_BYTES} bytes")));
        }
        Ok(Area { name, globs: globs(value, globs_left)? })
    }
}

impl FailOn {
    fn read(value: &Value) -> Result<Self, String> {
        match value.text(20) {
            Ok("secrets") => Ok(FailOn::Secrets),
            Ok("dangerous") => Ok(FailOn::Dangerous),
            Ok("missing_tests") => Ok(FailOn::MissingTests),
            Ok("size") => Ok(FailOn::Size),
            _ => Err(value.error("must be `secrets`, `dangerous`, `missing_tests` or `size`")),
        }
    }
}

impl Issues {
    fn read(value: Value) -> Result<Self, String> {
        let mut fields = value.fields()?;
        let triage = fields.take("triage").map_or(Ok(true), |value| value.boolean())?;
        let rules = match fields.take("rules") {
            Some(value) => {
                value.list(MAX_RULES)?.into_iter().map(Rule::read).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        fields.finish()?;
        Ok(Issues { triage, rules })
    }
}

impl Rule {
    fn read(value: Value) -> Result<Self, String> {
        let no_label = value.error("needs a `label`");
        let no_words = value.error("needs words: a list `title`, `body` or `any`");
        let mut fields = value.fields()?;
        let label = fields.take("label").ok_or(no_label)?;
        let label = label.text(MAX_LABEL_BYTES)?.to_owned();
        let mut lists = Vec::new();
        for name in ["title", "body", "any"] {
            let list = fields.take(name).map(words).transpose()?;
            lists.push(list.unwrap_or_default());
        }
        fields.finish()?;
        if lists.iter().all(Vec::is_empty) {
            return Err(no_words);
        }
        let mut lists = lists.into_iter();
        let mut next = || lists.next().unwrap_or_default();
        Ok(Rule { label, title: next(), body: next(), any: next() })
    }
}

fn words(value: Value) -> Result<Vec<String>, String> {
    let list = value.list(MAX_WORDS)?;
    list.iter().map(|word| word.text(MAX_WORD_BYTES).map(str::to_owned)).collect()
}

fn globs(value: Value, left: &mut usize) -> Result<Vec<Glob>, String> {
    let mut globs = Vec::new();
    for value in value.list(MAX_GLOBS)? {
        let too_many =
            || value.error(&format!("is one too many: there are {MAX_GLOBS} globs at most"));
        *left = left.checked_sub(1).ok_or_else(too_many)?;
        let text = value.text(crate::glob::MAX_BYTES)?;
        globs
            .push(Glob::parse(text).map_err(|error| value.error(&format!("is no glob: {error}")))?);
    }
    Ok(globs)
}

#[cfg(test)]
mod effort_tests;
#[cfg(test)]
mod tests;
