use proptest::prelude::*;

use super::*;
use crate::settings::Settings;

fn pull() -> PullFacts<'static> {
    PullFacts { number: 1, title: "t", body: Some("b"), author: "octocat", is_draft: false }
}

fn file<'a>(filename: &'a str, patch: Option<&'a str>) -> FileFacts<'a> {
    let additions = patch.map_or(0, |patch| patch.matches("\n+").count() as u64);
    FileFacts { filename, status: "modified", additions, deletions: 0, patch }
}

fn report(files: &[FileFacts<'_>]) -> Report {
    review(&PullRequests::default(), &pull(), files, false)
}

fn patch(lines: &[&str]) -> String {
    format!("@@ -0,0 +1,{} @@\n+{}", lines.len(), lines.join("\n+"))
}

fn found(path: &str, lines: &[&str]) -> Vec<(&'static str, u64)> {
    let patch = patch(lines);
    report(&[file(path, Some(&patch))]).findings.iter().map(|f| (f.rule, f.line)).collect()
}

#[test]
fn findings_are_in_added_lines_of_the_new_file() {
    let patch = "@@ -5,3 +7,4 @@\n eval(a)\n-eval(b)\n+eval(c)\n ok()\n+eval(d)";
    let report = report(&[file("src/a.js", Some(patch))]);
    let lines: Vec<u64> = report.findings.iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [8, 10]);
    assert_eq!((report.dangers, report.secrets, report.risk), (2, 0, Risk::Medium));
}

#[test]
fn workflows_have_their_own_rules() {
    let path = ".github/workflows/a.yml";
    assert_eq!(
        found(
            path,
            &[
                "on: pull_request_target",
                "  - uses: actions/checkout@v4",
                "    with:",
                "      ref: ${{ github.event.pull_request.head.sha }}"
            ]
        ),
        [("pull-request-target", 4)]
    );
    assert_eq!(
        found(path, &["on:", "  pull_request_target:", "  - uses: actions/checkout@v4"]),
        [("pull-request-target", 3)]
    );
    assert_eq!(found(path, &["permissions: write-all # all"]), [("write-all", 1)]);
    assert_eq!(found(path, &["  - uses: acme/x@main"]), [("unpinned-action", 1)]);
    assert_eq!(found(path, &["    uses: \"acme/x/y@release\""]), [("unpinned-action", 1)]);
    for harmless in [
        "on: pull_request_target",
        "on: pull_request",
        "# pull_request_target with actions/checkout",
        "permissions: read-all",
        "  - uses: actions/checkout@main",
        "  - uses: acme/x@v2",
        "  - uses: acme/x@9f86d081884c7d659a2feaa0c55ad01500000000 # main",
        "  - uses: ./.github/actions/x",
        "  run: echo uses: acme/x@main",
    ] {
        assert_eq!(found(path, &[harmless]), [], "{harmless}");
    }
    assert_eq!(found("docs/a.yml", &["- uses: acme/x@main"]), []);
    // The lines around the change count, but the change has to add one.
    let around = "@@ -1,2 +1,3 @@\n on: pull_request_target\n+  - uses: actions/checkout@v4";
    assert_eq!(report(&[file(path, Some(around))]).dangers, 1);
    let before = "@@ -1,2 +1,3 @@\n on: pull_request_target\n   - uses: actions/checkout@v4\n+a: b";
    assert_eq!(report(&[file(path, Some(before))]).dangers, 0);
}

#[test]
fn tests_are_missing_if_only_code_has_changed() {
    let code = patch(&["let a = 1;"]);
    let with_test = patch(&["let a = 1;", "#[cfg(test)]", "mod tests {"]);
    let is_missing = |files: &[FileFacts<'_>]| report(files).is_missing_tests;
    assert!(is_missing(&[file("src/a.rs", Some(&code))]));
    assert!(!is_missing(&[file("src/a.rs", Some(&with_test))]));
    assert!(!is_missing(&[file("src/a.rs", Some(&code)), file("tests/a.rs", Some(&code))]));
    assert!(!is_missing(&[file("README.md", Some(&code))]));
    assert!(!is_missing(&[FileFacts { status: "removed", ..file("src/a.rs", Some(&code)) }]));
    let renamed = FileFacts { status: "renamed", additions: 0, ..file("src/a.rs", None) };
    assert!(!is_missing(&[renamed]));
    let some = [file("src/a.rs", Some(&code))];
    assert!(!review(&PullRequests::default(), &pull(), &some, true).is_missing_tests);
    // A removed test does not count.
    let removed = FileFacts { additions: 0, ..file("tests/a.rs", None) };
    assert!(is_missing(&[some[0], removed]));
}

#[test]
fn risk_has_reasons() {
    let settings = PullRequests { max_changed_lines: 100, ..PullRequests::default() };
    let changed = |path: &'static str, additions: u64| FileFacts {
        filename: path,
        status: "modified",
        additions,
        deletions: 0,
        patch: Some(""),
    };
    let of = |files: &[FileFacts<'_>]| {
        let report = review(&settings, &pull(), files, false);
        (report.risk, report.size, report.reasons)
    };
    let workflow = || ".github/workflows/a.yml".to_owned();
    assert_eq!(of(&[]), (Risk::Low, Size::Small, vec![]));
    assert_eq!(of(&[changed("src/a.rs", 25)]), (Risk::Low, Size::Small, vec![]));
    let untested = (Risk::Medium, Size::Medium, vec![Reason::MissingTests]);
    assert_eq!(of(&[changed("src/a.rs", 100)]), untested);
    let large = (Risk::Medium, Size::Large, vec![Reason::Large(101)]);
    assert_eq!(of(&[changed("a.md", 101)]), large);
    let risky = (Risk::Medium, Size::Small, vec![Reason::Risky(1, workflow())]);
    assert_eq!(of(&[changed(".github/workflows/a.yml", 1)]), risky);
    let reasons = vec![Reason::Risky(1, workflow()), Reason::MissingTests];
    let both = (Risk::High, Size::Small, reasons);
    assert_eq!(of(&[changed(".github/workflows/a.yml", 1), changed("src/a.rs", 1)]), both);
    let unseen = FileFacts { patch: None, ..changed("a.md", 1) };
    assert_eq!(of(&[unseen]), (Risk::Medium, Size::Small, vec![Reason::Incomplete]));
}

#[test]
fn the_conclusion_is_what_the_settings_fail_on() {
    let all = Settings::parse(
        "version: 1\npull_requests: { fail_on: [dangerous, missing_tests, size], \
         max_changed_lines: 2 }",
    );
    let all = all.unwrap().pull_requests.unwrap();
    let none = PullRequests { fail_on: vec![], ..all.clone() };
    let code = patch(&["let a = 1;"]);
    let danger = patch(&["eval(a)"]);
    let large = patch(&["a", "b", "c"]);
    for (path, patch, expected) in [
        ("src/a.rs", &code, Conclusion::Success),
        ("src/a.js", &danger, Conclusion::Neutral),
        ("a.md", &large, Conclusion::Success),
    ] {
        let additions = 1 + patch.matches("\n+").count() as u64 - 1;
        let report =
            review(&none, &pull(), &[FileFacts { additions, ..file(path, Some(patch)) }], false);
        assert_eq!(report.conclusion(&none), expected, "{path}");
        assert_eq!(report.conclusion(&all), Conclusion::Failure, "{path}");
    }
    let key = format!("k = \"{}IQ3XR7PN5WKL2ZTM\"", "AKIA");
    let secret = patch(&[&key]);
    let report = report(&[file("a.md", Some(&secret))]);
    assert_eq!(report.conclusion(&PullRequests::default()), Conclusion::Failure);
    assert_eq!((report.risk, report.conclusion(&all)), (Risk::High, Conclusion::Neutral));
    let truncated = review(&none, &pull(), &[], true);
    assert_eq!(truncated.conclusion(&none), Conclusion::Neutral);
}

#[test]
fn an_ignored_file_is_counted_but_not_looked_at() {
    let danger = patch(&["eval(a)"]);
    let settings = "version: 1\npull_requests: { ignore: [\"dist/**\"] }";
    let settings = Settings::parse(settings).unwrap().pull_requests.unwrap();
    let files = [file("dist/a.js", Some(&danger)), file("Cargo.lock", None)];
    let report = review(&settings, &pull(), &files, false);
    assert_eq!((report.ignored, report.files, report.dangers), (1, 1, 0));
}

#[test]
fn dangerous_patterns_do_not_displace_secrets() {
    let many = patch(&vec!["eval(a)"; 200]);
    let key = format!("{}IQ3XR7PN5WKL2ZTM", "AKIA");
    let secret = patch(&[&key]);
    let report = report(&[file("a.js", Some(&many)), file("b.md", Some(&secret))]);
    assert_eq!((report.findings.len(), report.dangers, report.secrets), (50, 200, 1));
    assert_eq!(
        (report.findings[0].kind, report.findings[1].kind),
        (FindingKind::Secret, FindingKind::Danger)
    );
}

#[test]
fn areas_are_in_order_of_size() {
    let changed = |filename, additions| FileFacts {
        filename,
        status: "added",
        additions,
        deletions: 1,
        patch: Some(""),
    };
    let files = [changed("x", 1), changed("src/a.rs", 2), changed("src/b.rs", 3), changed("y", 1)];
    let report = report(&files);
    let areas: Vec<_> = report
        .areas
        .iter()
        .map(|area| {
            let paths: Vec<&str> = area.files.iter().map(|file| file.path.as_str()).collect();
            (area.name.as_str(), area.additions, area.deletions, paths)
        })
        .collect();
    assert_eq!(
        areas,
        [("source", 5, 2, vec!["src/b.rs", "src/a.rs"]), ("other", 2, 2, vec!["x", "y"])]
    );
}

/// The files of this folder are ordinary code, but full of the patterns that the rules look for.
#[test]
fn this_code_is_harmless() {
    for (path, text) in [
        ("src/secrets.rs", include_str!("secrets.rs")),
        ("src/dangers.rs", include_str!("dangers.rs")),
        ("src/commands.rs", include_str!("commands.rs")),
        ("src/workflows.rs", include_str!("workflows.rs")),
        ("src/sql.rs", include_str!("sql.rs")),
        ("src/literal.rs", include_str!("literal.rs")),
        ("src/secrets_tests.rs", include_str!("secrets_tests.rs")),
        ("src/private_key.rs", include_str!("../../../github-client/src/private_key.rs")),
        ("src/app.rs", include_str!("../../../../src/app.rs")),
        ("src/secrets.rs", include_str!("../../../../src/connections/secrets.rs")),
        ("src/jwt.rs", include_str!("../../../../src/access/caller/jwt.rs")),
        ("src/store.rs", include_str!("../../../../src/connections/store/mod.rs")),
        ("src/outbox.rs", include_str!("../../../../src/store/outbox.rs")),
        ("package.json", include_str!("../../../../package.json")),
        ("Cargo.toml", include_str!("../../../../Cargo.toml")),
    ] {
        let lines: Vec<&str> = text.lines().collect();
        let found = found(path, &lines);
        let own: &[&str] = if path.ends_with("literal.rs") { &["assigned-secret"] } else { &[] };
        assert!(found.iter().all(|(rule, _)| own.contains(rule)), "{path} {found:?}");
    }
}

fn any_patch() -> impl Strategy<Value = String> {
    let part = "(@@ -1,2 \\+[1-9],4 @@|\n[-+ ]|password|token|=|:|\"|eval\\(|ghp_|AKIA|eyJ|://|@|;|SELECT|\
                 FROM|curl|rm|chmod|é|[a-zA-Z0-9]{1,40}| |-----BEGIN |PRIVATE KEY|'|\\\\){0,60}";
    part.prop_map(|lines| format!("@@ -1 +1 @@\n+{lines}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_patch_makes_it_panic_and_each_always_has_the_same_report(
        patches in proptest::collection::vec(any_patch(), 0..4),
        names in proptest::collection::vec("[a-z/.]{1,8}\\.(js|py|rs|sh|yml|go|php|md|tsx)", 4),
        truncated: bool,
    ) {
        let files: Vec<FileFacts<'_>> = patches
            .iter()
            .zip(&names)
            .map(|(patch, name)| file(name, Some(patch)))
            .collect();
        let settings = PullRequests::default();
        let one = review(&settings, &pull(), &files, truncated);
        prop_assert!(one.findings.len() <= MAX_FINDINGS);
        prop_assert_eq!(&one, &review(&settings, &pull(), &files, truncated));
    }
}
