use super::*;

const WHOLE: &str = r#"
version: 1
pull_requests:            # absent = off
  summary: true
  check: false
  ai_summary: true
  ignore: ["**/*.lock", "dist/**"]
  areas:
    backend: ["src/**"]
    all: ["**"]
  risky: ["migrations/**", ".github/workflows/**"]
  tests: ["tests/**", "**/*_test.*"]
  max_changed_lines: 300
  fail_on: [secrets, size]
issues:
  triage: true
  rules:
    - label: bug
      title: ["crash", "panic"]
      body: ["stack trace"]
    - label: docs
      any: ["readme", "typo"]
"#;

#[test]
fn the_whole_file_is_read() {
    let settings = Settings::parse(WHOLE).unwrap();
    let pulls = settings.pull_requests.unwrap();
    assert!(pulls.summary && !pulls.check && pulls.ai_summary);
    assert_eq!(pulls.max_changed_lines, 300);
    assert_eq!(pulls.fail_on, [FailOn::Secrets, FailOn::Size]);
    let areas: Vec<&str> = pulls.areas.iter().map(|area| area.name.as_str()).collect();
    assert_eq!(areas, ["backend", "all"]);
    assert_eq!((pulls.ignore.len(), pulls.risky.len(), pulls.tests.len()), (2, 2, 2));
    let issues = settings.issues.unwrap();
    assert!(issues.triage);
    assert_eq!(issues.rules[0].title, ["crash", "panic"]);
    assert_eq!(issues.rules[0].body, ["stack trace"]);
    assert_eq!(issues.rules[1].any, ["readme", "typo"]);
}

#[test]
fn a_feature_that_is_not_named_is_off_and_others_have_defaults() {
    let none = Settings::parse("version: 1").unwrap();
    assert!(none.pull_requests.is_none() && none.issues.is_none());
    let some = Settings::parse("version: 1\npull_requests: {}\nissues: {}\n").unwrap();
    let pulls = some.pull_requests.unwrap();
    assert!(pulls.summary && pulls.check && !pulls.ai_summary);
    assert_eq!((pulls.max_changed_lines, pulls.fail_on), (800, vec![FailOn::Secrets]));
    assert!(pulls.tests.len() > 5 && pulls.areas.len() > 5);
    let issues = some.issues.unwrap();
    assert!(issues.triage && issues.rules.is_empty());
    let off = Settings::parse("version: 1\npull_requests: { fail_on: [], ignore: [] }").unwrap();
    let pulls = off.pull_requests.unwrap();
    assert!(pulls.fail_on.is_empty() && pulls.ignore.is_empty());
}

#[test]
fn an_error_says_where_and_what_to_do() {
    for (yaml, expected) in [
        ("", "the file is empty: it must begin with `version: 1`"),
        ("# nothing", "the file is empty: it must begin with `version: 1`"),
        ("issues: {}", "line 1: it must begin with `version: 1`"),
        ("version: 2", "line 1: `version` must be 1"),
        ("version: \"1\"", "line 1: `version` must be 1"),
        ("- 1", "line 1: `the file` must have fields below it"),
        (
            "version: 1\npull_request: {}",
            "line 2: `pull_request` is not known in the file: the known fields are `version`, \
             `pull_requests`, `issues`",
        ),
        (
            "version: 1\npull_requests:\n",
            "line 2: `pull_requests` is empty: write `{}` after it for the defaults, or remove it",
        ),
        (
            "version: 1\npull_requests:\n  summary: yes",
            "line 3: `pull_requests.summary` must be true or false",
        ),
        (
            "version: 1\npull_requests:\n  max_changed_lines: 0",
            "line 3: `pull_requests.max_changed_lines` must be a whole number from 1 to 1000000",
        ),
        (
            "version: 1\npull_requests:\n  fail_on: [secrets, everything]",
            "line 3: `pull_requests.fail_on[1]` must be `secrets`, `dangerous`, `missing_tests` \
             or `size`",
        ),
        (
            "version: 1\npull_requests:\n  risky: [\"*.{js,ts}\"]",
            "line 3: `pull_requests.risky[0]` is no glob: a glob knows `*`, `**` and `?` only: \
             remove `{`",
        ),
        (
            "version: 1\npull_requests:\n  ignore: dist",
            "line 3: `pull_requests.ignore` must be a list, such as [\"one\", \"two\"]",
        ),
        (
            "version: 1\nissues:\n  rules:\n    - title: [a]",
            "line 4: `issues.rules[0]` needs a `label`",
        ),
        (
            "version: 1\nissues:\n  rules:\n    - label: bug\n      title: []",
            "line 4: `issues.rules[0]` needs words: a list `title`, `body` or `any`",
        ),
        ("version: 1\nversion: 1", "line 2: `version` is there twice: remove one"),
    ] {
        assert_eq!(Settings::parse(yaml).unwrap_err(), expected, "{yaml}");
    }
    assert!(Settings::parse("version: 1\n\tissues: {}").unwrap_err().contains("found a tab"));
}

#[test]
fn everything_is_bounded() {
    let globs = |count: usize| format!("[{}]", "\"a\", ".repeat(count));
    let pulls = |ignore: usize, risky: usize| {
        let (ignore, risky) = (globs(ignore), globs(risky));
        Settings::parse(&format!(
            "version: 1\npull_requests:\n  ignore: {ignore}\n  risky: {risky}"
        ))
    };
    assert!(pulls(50, 50).is_ok());
    assert!(pulls(50, 51).unwrap_err().contains("100 globs at most"));
    assert!(pulls(101, 0).unwrap_err().contains("more than 100 entries"));
    let rules = |count: usize, word: &str| {
        let rules = format!("    - {{ label: a, any: [\"{word}\"] }}\n").repeat(count);
        Settings::parse(&format!("version: 1\nissues:\n  rules:\n{rules}"))
    };
    assert!(rules(50, "word").is_ok());
    assert!(rules(51, "word").is_err());
    assert!(rules(1, &"w".repeat(61)).is_err());
    assert!(rules(1, " ").is_err());
}

#[test]
fn areas_are_of_well_known_directories() {
    let pulls = PullRequests::default();
    for (path, expected) in [
        ("src/main.rs", "source"),
        ("src/main_test.go", "tests"),
        ("crates/core/src/lib.rs", "source"),
        (".github/workflows/ci.yml", "automation"),
        ("migrations/1.sql", "database"),
        ("README.md", "documentation"),
        ("package.json", "dependencies"),
        ("app/page.tsx", "frontend"),
        ("server/index.js", "backend"),
    ] {
        let area = pulls.areas.iter().find(|area| crate::glob::any(&area.globs, path));
        assert_eq!(area.map(|area| area.name.as_str()), Some(expected), "{path}");
    }
}
