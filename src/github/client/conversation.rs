//! Labels and comments of issues and pull requests.

use serde::Deserialize;
use serde_json::json;

use super::error::{ErrorKind, GithubError};
use super::repository::{NumberAnswer, Repository};
use super::{link, request};
use crate::app::Settings as _;
use crate::github::settings::Settings;

/// How many comments a page has. Few: each may have 64 K characters.
const COMMENTS_PER_PAGE: u32 = 30;

/// How many pages of comments are looked through: about a thousand comments.
const MAX_PAGES: u32 = 34;

/// The most bytes of a page of comments, all of them as long as can be, and every character escaped.
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
    /// Whether the App of this name has made it, with the marker. What others write that looks alike is
    /// not taken for it.
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
    /// An issue, or a pull request as one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no issue of this number.
    pub async fn issue(&self, number: u64) -> Result<Issue, GithubError> {
        let path = self.path(&format!("/issues/{number}"))?;
        request::read(&self.send(&self.get(&path)).await?)
    }

    /// The names of the labels of an issue or pull request: at most a hundred, which is all that GitHub
    /// allows.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no issue of this number.
    pub async fn issue_labels(&self, number: u64) -> Result<Vec<String>, GithubError> {
        let path = self.path(&format!("/issues/{number}/labels?per_page=100"))?;
        let labels: Vec<Label> = request::read(&self.send(&self.get(&path)).await?)?;
        Ok(labels.into_iter().map(|label| label.name).collect())
    }

    /// Adds labels to an issue or pull request; those that it has already stay as they are. The
    /// repository gets those that it does not have.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no issue of this number.
    pub async fn add_labels(&self, number: u64, labels: &[String]) -> Result<(), GithubError> {
        let below = format!("/issues/{number}/labels");
        self.send(&self.change("POST", &below, &json!({ "labels": labels }))?).await.map(drop)
    }

    /// The first comment of ours that begins with a marker; of the first thousand comments.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`] where the App's name is not known.
    pub async fn find_comment(
        &self,
        number: u64,
        marker: &str,
    ) -> Result<Option<u64>, GithubError> {
        let client = Settings::of(self.app).client.as_ref();
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

    /// Comments on an issue or pull request and returns the comment's number. GitHub takes at most
    /// 65,536 characters.
    ///
    /// # Errors
    /// Whatever GitHub answers, or does not: the comment may be there even then.
    pub async fn create_comment(&self, number: u64, body: &str) -> Result<u64, GithubError> {
        let below = format!("/issues/{number}/comments");
        let answer = self.send(&self.change("POST", &below, &json!({ "body": body }))?).await?;
        Ok(request::read::<NumberAnswer>(&answer)?.id)
    }

    /// Puts another text in place of a comment's.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when somebody has deleted it.
    pub async fn update_comment(&self, id: u64, body: &str) -> Result<(), GithubError> {
        let below = format!("/issues/comments/{id}");
        self.send(&self.change("PATCH", &below, &json!({ "body": body }))?).await.map(drop)
    }
}
