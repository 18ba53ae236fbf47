//! Finds dangerous settings in the workflows of a repository.

use super::Rule;
use super::patch::Line;

const CHECKOUT: Rule = Rule {
    name: "pull-request-target",
    what: "`pull_request_target` runs with the secrets of this repository, and this workflow checks \
           code out: never run the code of a pull request here",
};
const CHECKOUT_OF_HEAD: Rule = Rule {
    name: "pull-request-target",
    what: "`pull_request_target` runs with the secrets of this repository, and this workflow checks \
           out the code of the pull request",
};
const WRITE_ALL: Rule = Rule {
    name: "write-all",
    what: "the workflow may change everything in this repository: name the permissions that it needs",
};
const UNPINNED: Rule = Rule {
    name: "unpinned-action",
    what: "an action of another owner at a branch, which may change at any time: pin it to a commit",
};

/// Whether a file is a workflow or an action.
pub(super) fn is_workflow(path: &str) -> bool {
    let is_yaml = path.ends_with(".yml") || path.ends_with(".yaml");
    let is_action = path.ends_with("/action.yml") || path.ends_with("/action.yaml");
    is_yaml && (path.starts_with(".github/workflows/") || is_action)
        || matches!(path, "action.yml" | "action.yaml")
}

/// Returns the rules that an added line breaks by itself.
pub(super) fn find(line: &str) -> Vec<Rule> {
    let line = bare(line);
    let mut found = Vec::new();
    if line.strip_prefix("permissions:").is_some_and(|value| unquoted(value) == "write-all") {
        found.push(WRITE_ALL);
    }
    let item = line.strip_prefix("- ").unwrap_or(line).trim_start();
    if item.strip_prefix("uses:").is_some_and(|value| is_unpinned(unquoted(value))) {
        found.push(UNPINNED);
    }
    found
}

/// Returns the line and the rule of a `pull_request_target` with a checkout, if the patch shows both and the
/// change added at least one of these lines.
pub(super) fn target(lines: &[Line<'_>]) -> Option<(u64, Rule)> {
    let has = |line: &Line<'_>, parts: &[&str]| {
        let text = bare(line.text);
        parts.iter().any(|part| text.contains(part))
    };
    let trigger: &[&str] = &["pull_request_target"];
    let checkout: &[&str] = &["actions/checkout", "gh pr checkout", "git checkout"];
    let head: &[&str] = &["pull_request.head", "github.head_ref", "refs/pull/", "gh pr checkout"];
    let seen = |parts: &[&str]| lines.iter().any(|line| has(line, parts));
    if !seen(trigger) || !seen(checkout) {
        return None;
    }
    let added = |parts: &[&str]| lines.iter().find(|line| line.is_added && has(line, parts));
    let rule = if seen(head) { CHECKOUT_OF_HEAD } else { CHECKOUT };
    let line = added(head).or_else(|| added(checkout)).or_else(|| added(trigger))?;
    Some((line.number, rule))
}

/// A line without its comment.
fn bare(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') {
        return "";
    }
    line.split_once(" #").map_or(line, |(before, _)| before.trim_end())
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches(['"', '\''])
}

/// Whether this is an action of another owner at a branch. A version tag can move too, but does not count,
/// because nearly everybody uses one.
fn is_unpinned(action: &str) -> bool {
    if action.starts_with("./") || action.starts_with("docker://") {
        return false;
    }
    let Some((name, version)) = action.split_once('@') else { return false };
    let owner = name.split('/').next().unwrap_or_default();
    let is_commit = version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let is_version = digits.starts_with(|c: char| c.is_ascii_digit());
    name.contains('/') && !matches!(owner, "actions" | "github") && !is_commit && !is_version
}
