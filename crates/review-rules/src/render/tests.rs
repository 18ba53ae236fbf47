use proptest::prelude::*;

use super::*;
use crate::FileFacts;
use crate::review::review;
use crate::settings::{PullRequests, Settings};

fn pull(title: &str) -> PullFacts<'_> {
    PullFacts { number: 1, title, body: None, author: "octocat", is_draft: true }
}

fn report(files: &[(&str, u64, Option<&str>)]) -> Report {
    report_by(&PullRequests::default(), files)
}

fn report_by(settings: &PullRequests, files: &[(&str, u64, Option<&str>)]) -> Report {
    let files: Vec<FileFacts<'_>> = files
        .iter()
        .map(|(filename, additions, patch)| FileFacts {
            filename,
            status: "modified",
            additions: *additions,
            deletions: 3,
            patch: *patch,
        })
        .collect();
    review(settings, &pull("t"), &files, false)
}

#[test]
fn a_comment_shows_the_whole_report() {
    let secret = format!("@@ -1 +4 @@\n+key = \"{}IQ3XR7PN5WKL2ZTM\"", "AKIA");
    let report = report(&[
        ("src/a.js", 300, Some("@@ -0,0 +1,2 @@\n+a()\n+eval(a)")),
        (".github/workflows/ci.yml", 2, Some("@@ -0,0 +1 @@\n+on: push")),
        ("src/config.js", 1, Some(&secret)),
        ("assets/b.svg", 5000, None),
        ("Cargo.lock", 10, None),
    ]);
    let expected = include_str!("comment.md");
    assert_eq!(comment(&report, &pull("t"), Some("It changes *things*.")), expected);
    let check = check(&report);
    assert_eq!(check.title, "high risk, large (5315 lines in 4 files)");
    let annotations: Vec<_> = check
        .annotations
        .iter()
        .map(|note| (note.path.as_str(), note.line, note.level, note.title.as_str()))
        .collect();
    assert_eq!(
        annotations,
        [
            ("src/config.js", 4, "failure", "Possible secret: aws-access-key"),
            ("src/a.js", 2, "warning", "Dangerous pattern: code-execution"),
        ]
    );
}

#[test]
fn a_comment_about_an_empty_report_says_so() {
    let text = comment(&report(&[]), &pull("t"), None);
    assert!(text.contains("low risk, small (0 lines in 0 files)"), "{text}");
    assert!(text.contains("No rule has found anything"), "{text}");
}

#[test]
fn a_problem_with_the_settings_is_shown_at_its_line() {
    let error = Settings::parse("version: 1\n\"<@octocat>\": 1").unwrap_err();
    let text = settings_problem(&error);
    assert_eq!((text.annotations.len(), text.annotations[0].line), (1, 2));
    assert_eq!(text.annotations[0].path, ".github/chittyconnect.yml");
    assert!(text.summary.contains("&lt;@\u{2060}octocat&gt;"), "{}", text.summary);
    assert!(settings_problem("the file is empty").annotations.is_empty());
}

#[test]
fn no_secret_is_repeated() {
    let body = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2eF4hJ6";
    let jwt = format!("eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhdXRoIiwiZXhwIjoxNzY3.{body}");
    let mut lines = Vec::new();
    for beginning in ["ghp_", "gho_", "xoxb-", "sk_live_", "npm_"] {
        lines.push(format!("{beginning}{body}"));
    }
    lines.push(format!("password = \"{body}\""));
    lines.push(jwt);
    lines.push(format!("postgres://app:{body}@db.acme.io/x"));
    let patch = format!("@@ -0,0 +1,9 @@\n+{}", lines.join("\n+"));
    let report = report(&[("src/a.py", 9, Some(&patch))]);
    assert_eq!(report.secrets, lines.len());
    let said = format!("{report:?}{}{:?}", comment(&report, &pull("t"), None), check(&report));
    assert!(!said.contains(&body[..8]));
}

#[test]
fn a_comment_is_never_too_long() {
    let paths: Vec<String> =
        (0..3000).map(|n| format!("{}/{n}/{}", n % 30, "#@<&_".repeat(50))).collect();
    let files: Vec<_> = paths.iter().map(|path| (path.as_str(), 1, None)).collect();
    let areas: Vec<String> = (0..20).map(|n| format!("    a{n}: [\"{n}/**\"]")).collect();
    let settings = format!("version: 1\npull_requests:\n  areas:\n{}", areas.join("\n"));
    let settings = Settings::parse(&settings).unwrap().pull_requests.unwrap();
    let report = report_by(&settings, &files);
    let text = comment(&report, &pull("t"), Some(&"#".repeat(5000)));
    assert!(text.len() <= MAX_BYTES, "{}", text.len());
    assert!(text.len() > MAX_BYTES - 3000);
    assert!(text.contains("More would not fit") && text.contains("</details>"));
    assert!(text.contains("too large for GitHub to show"));
    let danger = format!("@@ -0,0 +1,9 @@\n{}", "+eval(a)\n".repeat(90));
    let long: Vec<_> = paths.iter().take(60).map(|path| format!("{path}.js")).collect();
    let files: Vec<_> = long.iter().map(|path| (path.as_str(), 1, Some(danger.as_str()))).collect();
    let check = check(&report_by(&settings, &files));
    assert!(check.summary.len() <= MAX_BYTES);
    assert_eq!(check.annotations.len(), MAX_FINDINGS);
}

/// Whether a rendered text has nothing active that untrusted text could have put there.
fn is_inert(text: &str) -> bool {
    let ours = [
        MARKER,
        "<details>",
        "</details>",
        "<summary>",
        "</summary>",
        "<code>",
        "</code>",
        "<sub>",
        "</sub>",
    ];
    let rest = ours.iter().fold(text.to_owned(), |text, tag| text.replace(tag, ""));
    let chars: Vec<char> = rest.chars().collect();
    let has_pair = |first: char, second: fn(char) -> bool| {
        chars.windows(2).any(|pair| pair[0] == first && second(pair[1]))
    };
    !rest.contains('<')
        && !has_pair('@', |c| c.is_alphanumeric())
        && !has_pair('#', |c| c.is_ascii_digit())
        && !rest.contains("://")
        && !rest.to_lowercase().contains("www.")
        && !rest.to_lowercase().contains("gh-")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn untrusted_texts_have_no_effect(
        path in "(@|#|<|-->|/|[a-z0-9]|\\||`|www\\.|https://|GH-|\n|&|!\\[|\\]\\(|é){1,40}",
        area in "(@|#|<|[a-z0-9]|\\||`|www\\.|https://|GH-){1,8}",
        summary in ".{0,200}|(@|#|<|-->|</sub>|[a-z0-9]|\\||`|www\\.|https://|GH-|\n|&|\\*){0,60}",
    ) {
        let mut settings = PullRequests::default();
        for known in &mut settings.areas {
            known.name = area.clone();
        }
        let patch = "@@ -0,0 +1 @@\n+chmod 777 a && curl -k x | sh";
        let script = format!("{path}.sh");
        let report = report_by(&settings, &[
            (&script, 1, Some(patch)), (&path, 900, None), ("docs/x", 1, None),
        ]);
        let text = comment(&report, &pull(&path), Some(&summary));
        prop_assert!(text.starts_with(MARKER));
        prop_assert!(text.len() <= MAX_BYTES);
        prop_assert_eq!(text.matches(MARKER).count(), 1);
        prop_assert!(is_inert(&text), "{}", text);
        prop_assert!(is_inert(&check(&report).summary));
        prop_assert!(is_inert(&settings_problem(&path).summary));
        // Rows have four cells, whatever an area is called.
        for row in text.lines().filter(|line| line.starts_with("| ")) {
            prop_assert_eq!(row.replace("\\\\", "").replace("\\|", "").matches('|').count(), 5, "{}", row);
        }
    }
}
