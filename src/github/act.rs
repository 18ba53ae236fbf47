//! Does a job at GitHub: publishes there what [`review_rules`] finds.
//!
//! A comment or check run is updated in place and never duplicated, even if a worker dies in between: a job
//! notes the number of what it has created, and searches GitHub before it creates anything without a number.

use github_client::{Annotation, ChangedFile, CheckRun, ErrorKind, GithubError, Pull, Repository};
use review_rules::render::{self, CheckText, MARKER};
use review_rules::review::{self, Conclusion, Report};
use review_rules::settings::{self, PullRequests, Settings};
use review_rules::{FileFacts, PullFacts, triage};
use seams::log;

use crate::app::App;
use crate::github::jobs::{Artifacts, Job, JobKind};
use crate::github::{as_installation, summary};
use crate::store::Ready;

/// The name of the check run, as people see it beside others.
const CHECK_NAME: &str = "ChittyConnect";

/// The most bytes of patches that are read: reading them takes CPU time, of which an event has 30 s.
const MAX_PATCH_BYTES: usize = 1 << 20;

/// Does a job. `made` says what has been created, even if the rest of the job failed.
///
/// # Errors
/// The error of a call to GitHub; a transient one is worth another attempt.
pub async fn perform(
    app: &App,
    ready: Ready<'_>,
    job: &Job,
    made: &mut Artifacts,
) -> Result<(), GithubError> {
    // 1. Read the settings of the repository.
    let repository = as_installation(app, ready, job.installation_id).repository(&job.repository);
    // A repository that has no settings file has not opted in.
    let Some(text) = repository.content(settings::PATH).await? else { return Ok(()) };
    let settings = Settings::parse(&text);
    // 2. Review the pull request, or label the issue, as far as the settings ask for that.
    match (job.kind, settings) {
        (JobKind::Review, Ok(Settings { pull_requests: Some(settings), .. })) => {
            Review { app, repository, number: job.number.into(), made }.perform(&settings).await
        }
        (JobKind::Review, Err(error)) => {
            Review { app, repository, number: job.number.into(), made }.complain(&error).await
        }
        (JobKind::Triage, Ok(Settings { issues: Some(settings), .. })) => {
            label(&repository, job.number.into(), &settings).await
        }
        (JobKind::Triage, Err(error)) => {
            // Only a pull request has a check run that can report it.
            log::info("settings_unreadable", &[("error", &error)]);
            Ok(())
        }
        (_, Ok(_)) => Ok(()),
    }
}

/// The review of one pull request.
struct Review<'a> {
    app: &'a App,
    repository: Repository<'a>,
    number: u64,
    made: &'a mut Artifacts,
}

impl Review<'_> {
    async fn perform(&mut self, settings: &PullRequests) -> Result<(), GithubError> {
        // 1. Read the pull request and its files.
        let pull = self.repository.pull(self.number).await?;
        if pull.state != "open" {
            return Ok(());
        }
        let listed = self.repository.pull_files(self.number).await?;
        // 2. Review them by the rules of the settings.
        let files = within_bounds(&listed.files);
        let facts = facts(&pull);
        let report = review::review(settings, &facts, &files, listed.is_truncated);
        // 3. Publish the report as a comment and as a check run.
        if settings.summary {
            self.comment(settings, &report, &facts).await?;
        }
        if settings.check {
            let conclusion = report.conclusion(settings);
            self.check(&pull.head_sha, conclusion, &render::check(&report)).await?;
        }
        Ok(())
    }

    /// Reports in the check run that the settings cannot be read.
    async fn complain(&mut self, error: &str) -> Result<(), GithubError> {
        let pull = self.repository.pull(self.number).await?;
        if pull.state != "open" {
            return Ok(());
        }
        self.check(&pull.head_sha, Conclusion::Neutral, &render::settings_problem(error)).await
    }

    async fn comment(
        &mut self,
        settings: &PullRequests,
        report: &Report,
        pull: &PullFacts<'_>,
    ) -> Result<(), GithubError> {
        let written = match settings.ai_summary {
            true => summary::write(self.app, report, pull).await,
            false => None,
        };
        let body = render::comment(report, pull, written.as_deref());
        let noted = self.made.comment_id.and_then(|id| u64::try_from(id).ok());
        let known = match noted {
            Some(id) => Some(id),
            None => self.repository.find_comment(self.number, MARKER).await?,
        };
        if let Some(id) = known {
            match self.repository.update_comment(id, &body).await {
                Ok(()) => {
                    self.made.comment_id = i64::try_from(id).ok();
                    return Ok(());
                }
                // Somebody has deleted it.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let id = self.repository.create_comment(self.number, &body).await?;
        self.made.comment_id = i64::try_from(id).ok();
        Ok(())
    }

    async fn check(
        &mut self,
        head_sha: &str,
        conclusion: Conclusion,
        text: &CheckText,
    ) -> Result<(), GithubError> {
        let noted = self.made.check_run.clone().filter(|(_, sha)| sha == head_sha);
        let known = match noted.and_then(|(id, _)| u64::try_from(id).ok()) {
            Some(id) => Some(id),
            None => self.repository.find_check_run(head_sha, CHECK_NAME).await?,
        };
        let run = |annotations: Vec<Annotation>| CheckRun {
            name: CHECK_NAME,
            head_sha,
            conclusion: conclusion.as_str(),
            title: &text.title,
            summary: &text.summary,
            annotations,
        };
        let id = match known {
            // GitHub appends annotations to the existing ones, and these are about the same commit.
            Some(id) => {
                self.repository.update_check_run(id, &run(Vec::new())).await.map(|()| id)?
            }
            None => self.repository.create_check_run(&run(annotations(text))).await?,
        };
        self.made.check_run = i64::try_from(id).ok().map(|id| (id, head_sha.to_owned()));
        Ok(())
    }
}

/// Returns the files with their patches, up to [`MAX_PATCH_BYTES`] in all. A file whose patch is left out
/// counts as not seen.
fn within_bounds(files: &[ChangedFile]) -> Vec<FileFacts<'_>> {
    let mut left = MAX_PATCH_BYTES;
    let mut facts = Vec::with_capacity(files.len());
    for file in files {
        let patch = file.patch.as_deref().filter(|patch| patch.len() <= left);
        left -= patch.map_or(0, str::len);
        facts.push(FileFacts {
            filename: &file.filename,
            status: &file.status,
            additions: file.additions,
            deletions: file.deletions,
            patch,
        });
    }
    facts
}

fn facts(pull: &Pull) -> PullFacts<'_> {
    PullFacts {
        number: pull.number,
        title: &pull.title,
        body: pull.body.as_deref(),
        author: &pull.author,
        is_draft: pull.draft,
    }
}

fn annotations(text: &CheckText) -> Vec<Annotation> {
    let annotation = |one: &render::AnnotationText| {
        let line = u32::try_from(one.line).unwrap_or(u32::MAX);
        Annotation {
            path: one.path.clone(),
            start_line: line,
            end_line: line,
            level: one.level,
            message: one.message.clone(),
            title: one.title.clone(),
        }
    };
    text.annotations.iter().map(annotation).collect()
}

/// Labels an issue by the rules in the repository's settings.
async fn label(
    repository: &Repository<'_>,
    number: u64,
    settings: &settings::Issues,
) -> Result<(), GithubError> {
    let issue = repository.issue(number).await?;
    let has = repository.issue_labels(number).await?;
    let body = issue.body.unwrap_or_default();
    let labels = triage::labels(settings, &issue.title, &body, &has);
    if labels.is_empty() { Ok(()) } else { repository.add_labels(number, &labels).await }
}
