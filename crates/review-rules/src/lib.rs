//! Repository intelligence: the comments, check runs and labels that the App gives to pull requests and
//! issues of a repository that asks for them in [`settings::PATH`].
//!
//! Everything here is computed from its arguments: this crate fetches and posts nothing, and the same input
//! always gives the same output.

pub mod glob;
pub mod render;
pub mod review;
pub mod settings;
pub mod triage;

/// The facts about a pull request. Title and description are untrusted text of its author.
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
    /// Whether it is a draft.
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

/// Returns the beginning of a text: at most `max` bytes, and only whole characters.
pub fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}
