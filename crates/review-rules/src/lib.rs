//! Repository intelligence: what the App says about pull requests and issues, where a repository asks
//! for it in [`settings::PATH`].
//!
//! Everything here is computed from what is handed in: nothing is fetched or posted, and the same input
//! gives the same output.

pub mod glob;
pub mod render;
pub mod review;
pub mod settings;
pub mod triage;

/// What is known of a pull request. Title and description are whatever its author wrote.
#[derive(Debug, Clone, Copy)]
pub struct PullFacts<'a> {
    /// Its number in the repository.
    pub number: u64,
    /// Its title.
    pub title: &'a str,
    /// Its description, if it has one.
    pub body: Option<&'a str>,
    /// The login of its author.
    pub author: &'a str,
    /// Whether it is not ready for review yet.
    pub is_draft: bool,
}

/// One file of a pull request, as GitHub lists it.
#[derive(Debug, Clone, Copy)]
pub struct FileFacts<'a> {
    /// Its path from the root of the repository, after the change.
    pub filename: &'a str,
    /// `added`, `removed`, `modified`, `renamed`, `copied`, `changed` or `unchanged`.
    pub status: &'a str,
    /// Lines added.
    pub additions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// The hunks of the unified diff; GitHub leaves them out of binary and of very large files.
    pub patch: Option<&'a str>,
}

/// The beginning of a text, at most `max` bytes and whole characters.
pub fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}
