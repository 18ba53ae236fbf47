//! The settings of a repository that says nothing else.

use super::Area;
use crate::glob::Glob;

const LOCKS: &[&str] = &[
    "**/*.lock",
    "**/package-lock.json",
    "**/npm-shrinkwrap.json",
    "**/pnpm-lock.yaml",
    "**/go.sum",
];

const RISKY: &[&str] =
    &["**/migrations/**", ".github/workflows/**", ".github/actions/**", "**/Dockerfile", "**/*.tf"];

const TESTS: &[&str] = &[
    "**/test/**",
    "**/tests/**",
    "**/__tests__/**",
    "**/spec/**",
    "**/e2e/**",
    "**/*_test.*",
    "**/*_tests.*",
    "**/*.test.*",
    "**/*.spec.*",
    "**/*_spec.rb",
    "**/test_*.py",
    "**/conftest.py",
    "**/tests.rs",
    "**/*Test.java",
    "**/*Test.kt",
    "**/*Tests.cs",
];

/// A file belongs to the first area that matches it, so the narrow ones come first.
const AREAS: &[(&str, &[&str])] = &[
    ("tests", TESTS),
    ("automation", &[".github/**", ".gitlab-ci.yml", ".circleci/**", "**/Jenkinsfile"]),
    ("database", &["**/migrations/**", "**/*.sql", "**/schema.prisma"]),
    ("documentation", &["docs/**", "doc/**", "**/*.md", "**/*.mdx", "**/*.rst"]),
    (
        "infrastructure",
        &[
            "infra/**",
            "terraform/**",
            "deploy/**",
            "helm/**",
            "k8s/**",
            "**/*.tf",
            "**/Dockerfile",
            "docker-compose*.yml",
            "**/wrangler.toml",
        ],
    ),
    (
        "dependencies",
        &[
            "**/package.json",
            "**/Cargo.toml",
            "**/go.mod",
            "**/requirements*.txt",
            "**/pyproject.toml",
            "**/Gemfile",
            "**/pom.xml",
        ],
    ),
    (
        "frontend",
        &[
            "frontend/**",
            "client/**",
            "web/**",
            "ui/**",
            "public/**",
            "static/**",
            "**/components/**",
            "**/*.css",
            "**/*.scss",
            "**/*.html",
            "**/*.tsx",
            "**/*.jsx",
            "**/*.vue",
            "**/*.svelte",
        ],
    ),
    ("backend", &["backend/**", "server/**", "api/**", "workers/**", "services/**"]),
    (
        "source",
        &[
            "**/src/**",
            "lib/**",
            "app/**",
            "apps/**",
            "crates/**",
            "packages/**",
            "cmd/**",
            "internal/**",
            "pkg/**",
        ],
    ),
    ("scripts", &["scripts/**", "bin/**", "tools/**"]),
];

fn globs(texts: &[&str]) -> Vec<Glob> {
    texts.iter().filter_map(|text| Glob::parse(text).ok()).collect()
}

pub(super) fn ignore() -> Vec<Glob> {
    globs(LOCKS)
}

pub(super) fn risky() -> Vec<Glob> {
    globs(RISKY)
}

pub(super) fn tests() -> Vec<Glob> {
    globs(TESTS)
}

pub(super) fn areas() -> Vec<Area> {
    let area = |(name, texts): &(&str, &[&str])| Area { name: (*name).into(), globs: globs(texts) };
    AREAS.iter().map(area).collect()
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn every_default_is_a_glob() {
        let areas = AREAS.iter().flat_map(|(_, globs)| globs.iter());
        for text in areas.chain(LOCKS).chain(RISKY).chain(TESTS) {
            Glob::parse(text).unwrap();
        }
    }
}
