//! Check runs.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{ErrorKind, GithubError};
use crate::repository::{NumberAnswer, Repository};
use crate::request;

/// How many annotations GitHub accepts in one call; further ones are not sent.
pub const MAX_ANNOTATIONS: usize = 50;

/// The most bytes of an answer with runs of one name: ten runs, each with texts of 64 K characters.
const MAX_RUNS_BYTES: usize = 8 << 20;

/// A completed check run.
#[derive(Debug, Clone)]
pub struct CheckRun<'a> {
    /// Its name.
    pub name: &'a str,
    /// The commit that it is about, which never changes.
    pub head_sha: &'a str,
    /// `success`, `neutral` or `failure`.
    pub conclusion: &'a str,
    /// Its title, one line.
    pub title: &'a str,
    /// Its summary: Markdown, at most 65,535 characters.
    pub summary: &'a str,
    /// Its annotations. Only the first [`MAX_ANNOTATIONS`] are sent. GitHub adds them to those that the run
    /// has already.
    pub annotations: Vec<Annotation>,
}

/// A remark on lines of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Annotation {
    /// The file's path.
    pub path: String,
    /// The first line, from 1.
    pub start_line: u32,
    /// The last line.
    pub end_line: u32,
    /// `notice`, `warning` or `failure`.
    #[serde(rename = "annotation_level")]
    pub level: &'static str,
    /// Its text, at most 64 KB.
    pub message: String,
    /// Its title, at most 255 characters.
    pub title: String,
}

impl CheckRun<'_> {
    fn output(&self) -> Value {
        let annotations: Vec<&Annotation> = self.annotations.iter().take(MAX_ANNOTATIONS).collect();
        json!({ "title": self.title, "summary": self.summary, "annotations": annotations })
    }
}

#[derive(Deserialize)]
struct Runs {
    check_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    name: String,
    app: Option<AppOfRun>,
}

#[derive(Deserialize)]
struct AppOfRun {
    id: u64,
}

impl Repository<'_> {
    /// Returns the newest check run of this name that this App has created for a commit.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`] without an App.
    pub async fn find_check_run(&self, sha: &str, name: &str) -> Result<Option<u64>, GithubError> {
        let app = self.config().app.as_ref();
        let app_id = app.ok_or_else(|| GithubError::new(ErrorKind::NotConfigured))?.id;
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("check_name", name)
            .append_pair("app_id", &app_id.to_string())
            .append_pair("filter", "latest")
            .append_pair("per_page", "10")
            .finish();
        let commit = request::path(std::iter::once(sha))?;
        let path = self.path(&format!("/commits{commit}/check-runs?{query}"))?;
        let answer = self.send(&self.get(&path).up_to(MAX_RUNS_BYTES)).await?;
        let runs: Runs = request::read(&answer)?;
        let is_ours =
            |run: &Run| run.name == name && run.app.as_ref().is_some_and(|app| app.id == app_id);
        Ok(runs.check_runs.into_iter().find(is_ours).map(|run| run.id))
    }

    /// Creates a check run and returns its number.
    ///
    /// # Errors
    /// Any failure of the call; GitHub may have created the run even then.
    pub async fn create_check_run(&self, run: &CheckRun<'_>) -> Result<u64, GithubError> {
        let body = json!({
            "name": run.name, "head_sha": run.head_sha, "status": "completed",
            "conclusion": run.conclusion, "output": run.output(),
        });
        let answer = self.send(&self.change("POST", "/check-runs", &body)?).await?;
        Ok(request::read::<NumberAnswer>(&answer)?.id)
    }

    /// Replaces the conclusion and the texts of a check run. Its commit stays the same.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such run.
    pub async fn update_check_run(&self, id: u64, run: &CheckRun<'_>) -> Result<(), GithubError> {
        let body = json!({
            "name": run.name, "status": "completed", "conclusion": run.conclusion,
            "output": run.output(),
        });
        self.send(&self.change("PATCH", &format!("/check-runs/{id}"), &body)?).await.map(drop)
    }
}
