//! Labels and comments of issues and pull requests.

use serde::Deserialize;
use serde_json::json;

use crate::error::{ErrorKind, GithubError};
use crate::repository::{NumberAnswer, Repository};
use crate::{link, request};

/// How many comments a page has. Few, because each may have 64 K characters.
const COMMENTS_PER_PAGE: u32 = 30;

/// The most pages of comments that are searched: about a thousand comments.
const MAX_PAGES: u32 = 34;

/// The most bytes of a page of comments: each of the greatest length, with every character escaped.
const MAX_PAGE_BYTES: usize = 12 << 20;

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    user: Option<Author>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
struct Author {
    login: String,
    #[serde(rename = "type", default)]
    kind: String,
}

impl Comment {
    /// Whether the App of this name wrote it, with the marker. A comment of another author does not count,
    /// even if it looks alike.
    fn is_ours(&self, slug: &str, marker: &str) -> bool {
        let is_by_us = self.user.as_ref().is_some_and(|user| {
            let name = user.login.strip_suffix("[bot]");
            user.kind == "Bot" && name.is_some_and(|name| name.eq_ignore_ascii_case(slug))
        });
        is_by_us && self.body.as_ref().is_some_and(|body| body.starts_with(marker))
    }
}

/// An issue, as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Issue {
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: Option<String>,
}

impl Repository<'_> {
    /// Returns an issue. A pull request is an issue too.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no issue of this number.
    pub async fn issue(&self, number: u64) -> Result<Issue, GithubError> {
        let path = self.path(&format!("/issues/{number}"))?;
        request::read(&self.send(&self.get(&path)).await?)
    }

    /// Returns the names of the labels of an issue or pull request: at most a hundred, GitHub's limit.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no issue of this number.
    pub async fn issue_labels(&self, number: u64) -> Result<Vec<String>, GithubError> {
        let path = self.path(&format!("/issues/{number}/labels?per_page=100"))?;
        let labels: Vec<Label> = request::read(&self.send(&self.get(&path)).await?)?;
        Ok(labels.into_iter().map(|label| label.name).collect())
    }

    /// Adds labels to an issue or pull request; the labels that it has already stay. GitHub creates labels
    /// that the repository does not have.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no issue of this number.
    pub async fn add_labels(&self, number: u64, labels: &[String]) -> Result<(), GithubError> {
        let below = format!("/issues/{number}/labels");
        self.send(&self.change("POST", &below, &json!({ "labels": labels }))?).await.map(drop)
    }

    /// Returns the first comment of this App that begins with a marker, among the first thousand comments.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`] if the App's name is not configured.
    pub async fn find_comment(
        &self,
        number: u64,
        marker: &str,
    ) -> Result<Option<u64>, GithubError> {
        let client = self.config().client.as_ref();
        let slug = &client.ok_or_else(|| GithubError::new(ErrorKind::NotConfigured))?.slug;
        let path = self.path(&format!("/issues/{number}/comments"))?;
        for page in 1..=MAX_PAGES {
            let path = format!("{path}?per_page={COMMENTS_PER_PAGE}&page={page}");
            let answer = self.send(&self.get(&path).up_to(MAX_PAGE_BYTES)).await?;
            let comments: Vec<Comment> = request::read(&answer)?;
            let ours = comments.into_iter().find(|comment| comment.is_ours(slug, marker));
            if let Some(comment) = ours {
                return Ok(Some(comment.id));
            }
            if !link::has_next(&answer) {
                break;
            }
        }
        Ok(None)
    }

    /// Comments on an issue or pull request and returns the comment's number. GitHub accepts at most 65,536
    /// characters.
    ///
    /// # Errors
    /// Any failure of the call; GitHub may have created the comment even then.
    pub async fn create_comment(&self, number: u64, body: &str) -> Result<u64, GithubError> {
        let below = format!("/issues/{number}/comments");
        let answer = self.send(&self.change("POST", &below, &json!({ "body": body }))?).await?;
        Ok(request::read::<NumberAnswer>(&answer)?.id)
    }

    /// Replaces the text of a comment.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when somebody has deleted it.
    pub async fn update_comment(&self, id: u64, body: &str) -> Result<(), GithubError> {
        let below = format!("/issues/comments/{id}");
        self.send(&self.change("PATCH", &below, &json!({ "body": body }))?).await.map(drop)
    }
}
