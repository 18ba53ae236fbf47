//! Pull requests and their files.

use serde::Deserialize;

use crate::error::GithubError;
use crate::repository::Repository;
use crate::{link, request};

/// How many pages of a hundred files are read.
const MAX_PAGES: u32 = 10;

/// The most bytes of one page of files, and of all pages together before another page is read: patches may
/// be large.
const MAX_PAGE_BYTES: usize = 4 << 20;
const MAX_TOTAL_BYTES: usize = 8 << 20;

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Its number in the repository.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its description.
    pub body: Option<String>,
    /// Whether it is a draft.
    pub draft: bool,
    /// `open` or `closed`.
    pub state: String,
    /// The commit that it would merge.
    pub head_sha: String,
    /// The branch that it would merge into.
    pub base_ref: String,
    /// The name of its author; `ghost` where the account is gone.
    pub author: String,
    /// How many files it changes.
    pub changed_files: u64,
    /// How many lines it adds.
    pub additions: u64,
    /// How many lines it removes.
    pub deletions: u64,
}

/// A pull request, as GitHub sends it.
#[derive(Deserialize)]
struct RawPull {
    number: u64,
    title: String,
    body: Option<String>,
    #[serde(default)]
    draft: bool,
    state: String,
    head: Head,
    base: Base,
    user: Option<User>,
    #[serde(default)]
    changed_files: u64,
    #[serde(default)]
    additions: u64,
    #[serde(default)]
    deletions: u64,
}

#[derive(Deserialize)]
struct Head {
    sha: String,
}

#[derive(Deserialize)]
struct Base {
    #[serde(rename = "ref")]
    name: String,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

/// A file that a pull request changes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ChangedFile {
    /// Its path.
    pub filename: String,
    /// `added`, `removed`, `modified`, `renamed`, `copied`, `changed` or `unchanged`.
    pub status: String,
    /// How many lines are added.
    #[serde(default)]
    pub additions: u64,
    /// How many lines are removed.
    #[serde(default)]
    pub deletions: u64,
    /// The hunks of the change; `None` for a file that is binary or too large.
    #[serde(default)]
    pub patch: Option<String>,
    /// Its former path, if it was renamed or copied.
    #[serde(default)]
    pub previous_filename: Option<String>,
}

/// The files of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// At most a thousand, in GitHub's order.
    pub files: Vec<ChangedFile>,
    /// Whether there are further files, which were not read.
    pub is_truncated: bool,
}

impl Repository<'_> {
    /// Returns a pull request.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if there is no pull request of this number.
    pub async fn pull(&self, number: u64) -> Result<Pull, GithubError> {
        let path = self.path(&format!("/pulls/{number}"))?;
        let raw: RawPull = request::read(&self.send(&self.get(&path)).await?)?;
        Ok(Pull {
            number: raw.number,
            title: raw.title,
            body: raw.body,
            draft: raw.draft,
            state: raw.state,
            head_sha: raw.head.sha,
            base_ref: raw.base.name,
            author: raw.user.map_or_else(|| "ghost".to_owned(), |user| user.login),
            changed_files: raw.changed_files,
            additions: raw.additions,
            deletions: raw.deletions,
        })
    }

    /// Returns the files that a pull request changes: the first thousand, or fewer if patches are large.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if there is no pull request of this number.
    pub async fn pull_files(&self, number: u64) -> Result<Files, GithubError> {
        let path = self.path(&format!("/pulls/{number}/files"))?;
        let mut files: Vec<ChangedFile> = Vec::new();
        let mut bytes = 0;
        for page in 1..=MAX_PAGES {
            let call = self.get(&format!("{path}?per_page=100&page={page}"));
            let answer = match self.send(&call.up_to(MAX_PAGE_BYTES)).await {
                Err(error) if error.is_too_large() => break,
                answered => answered?,
            };
            files.extend(request::read::<Vec<ChangedFile>>(&answer)?);
            bytes += answer.body.len();
            if !link::has_next(&answer) {
                return Ok(Files { files, is_truncated: false });
            }
            if bytes > MAX_TOTAL_BYTES {
                break;
            }
        }
        Ok(Files { files, is_truncated: true })
    }
}
