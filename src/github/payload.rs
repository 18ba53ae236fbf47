//! The facts that the handlers need of a webhook's payload; the rest of it is dropped.
//!
//! A payload may have 25 MB and come from a GitHub that is newer than this program. So each member is
//! read on its own: a member that is missing or has an unexpected type counts as absent, and never makes
//! the rest unreadable. Titles, messages, and the names and addresses of authors and senders are dropped.

use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The most repositories of an installation that are kept.
const MAX_REPOSITORIES: usize = 1000;

/// The facts that are kept of a payload. They are stored as JSON, so members may be added but not changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// What happened to the subject of the event, such as `opened`.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The installation of the App that receives the event; with all members if the event is about it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub installation: Option<Installation>,
    /// Of a renamed account: its new name.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub account: Option<NamedItem>,
    /// Of a renamed organization: its new name. GitHub sends it with the event `organization`.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub organization: Option<NamedItem>,
    /// Of a renamed account or organization: its former name.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// The repository in which the event happened.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// Who triggered the event.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// Of a new installation: its repositories.
    #[serde(deserialize_with = "repositories", skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<Repository>,
    /// The repositories that were added to an installation.
    #[serde(deserialize_with = "repositories", skip_serializing_if = "Vec::is_empty")]
    pub repositories_added: Vec<Repository>,
    /// The repositories that were removed from an installation.
    #[serde(deserialize_with = "repositories", skip_serializing_if = "Vec::is_empty")]
    pub repositories_removed: Vec<Repository>,
    /// Of a change of repositories: whether the installation now has `all` or `selected` ones.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub repository_selection: Option<String>,
    /// Of a push: the branch or tag.
    #[serde(rename = "ref", deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Of a push: the commit before.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Of a push: the commit after.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Of a push: whether it discarded commits.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub forced: Option<bool>,
    /// Of a push: the number of commits that the payload lists.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub commits: Option<Count>,
    /// The pull request.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<Pull>,
    /// The issue, or the pull request that a comment is on.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub issue: Option<Issue>,
    /// The comment.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub comment: Option<IdOnly>,
    /// The release.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// The check run.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub check_run: Option<Run>,
    /// The workflow run.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub workflow_run: Option<Run>,
}

/// An installation. Most events have only its number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Installation {
    /// Its number.
    pub id: i64,
    /// The account that it is on.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// `all` or `selected`.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub repository_selection: Option<String>,
    /// Its permissions, such as `{"issues": "write"}`.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Value>,
    /// The names of the events that it receives.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub events: Option<Value>,
    /// When it was created: ISO-8601.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When it was last changed: ISO-8601.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Since when it is suspended: ISO-8601.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<String>,
}

/// A user or an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its number.
    pub id: i64,
    /// Its name, as in URLs.
    pub login: String,
    /// `User` or `Organization`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The URL of its picture.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// A user or an organization: its number and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedItem {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub login: String,
}

/// The former values that are kept of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The former name of an account.
    pub login: FormerName,
}

/// A former name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerName {
    /// The name before the change.
    pub from: String,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its number, which a rename does not change.
    pub id: i64,
    /// `owner/name`.
    pub full_name: String,
    /// Whether it is not public.
    #[serde(default)]
    pub private: bool,
}

/// Who triggered an event, without the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The number of the account.
    pub id: i64,
    /// `User`, `Bot` or `Organization`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Its number in the repository.
    pub number: u32,
    /// `open` or `closed`.
    #[serde(default)]
    pub state: String,
    /// Whether it was merged.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub merged: Option<bool>,
    /// Whether it is a draft, not ready for review.
    #[serde(default)]
    pub draft: bool,
    /// Its last commit.
    pub head: Head,
}

/// The end of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The commit.
    pub sha: String,
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Its number in the repository.
    pub number: u32,
    /// `open` or `closed`.
    #[serde(default)]
    pub state: String,
    /// Whether it is a pull request.
    #[serde(default, rename = "pull_request", deserialize_with = "presence")]
    pub is_pull_request: bool,
}

/// An object of which only the number is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdOnly {
    /// Its number.
    pub id: i64,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its number.
    pub id: i64,
    /// Its tag.
    #[serde(default)]
    pub tag_name: String,
    /// Whether it is not meant for general use.
    #[serde(default)]
    pub prerelease: bool,
    /// Whether it is not published.
    #[serde(default)]
    pub draft: bool,
}

/// A run of checks or of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// Its name.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its state, such as `in_progress`.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Its result, once it has ended.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<String>,
    /// The commit that it ran on.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub head_sha: Option<String>,
}

/// The number of items of a list. A payload has the list, stored facts have the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count(pub u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counting;
        impl<'de> Visitor<'de> for Counting {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or a number")
            }

            fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
                Ok(Count(count))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_any(Counting)
    }
}

/// Reads a member of the expected type; a member of any other type counts as absent.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}

/// Reads the first [`MAX_REPOSITORIES`] items of a list that can be read.
fn repositories<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Repository>, D::Error> {
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    let items: Vec<&RawValue> =
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let read = |item: &RawValue| serde_json::from_str(item.get()).ok();
    Ok(items.into_iter().filter_map(read).take(MAX_REPOSITORIES).collect())
}

/// Whether a member is present: an object in a payload, or `true` in stored facts.
fn presence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    Ok(raw.is_some_and(|raw| !matches!(raw.get(), "false" | "null")))
}

impl Facts {
    /// Reads a payload, or stored facts.
    ///
    /// # Errors
    /// If it is no JSON object: a sentence that says what is wrong and quotes nothing of the payload.
    pub fn read(payload: &[u8]) -> Result<Self, String> {
        // Serde would read a list as the members in their order.
        let first = payload.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'[') {
            return Err("the payload is no JSON object".to_owned());
        }
        serde_json::from_slice(payload).map_err(|error| {
            let what = if error.is_data() { "is no JSON object" } else { "is no JSON" };
            format!("the payload {what}: line {}, column {}", error.line(), error.column())
        })
    }

    /// Returns JSON pointers to the members that this event always has at GitHub but that are missing here or
    /// have an unexpected type. Checks only members that the App needs, so that GitHub may change the rest.
    pub fn missing(&self, event: &str) -> Vec<&'static str> {
        let members = [
            ("/installation", self.installation_id().is_some()),
            ("/repository", self.repository.is_some()),
            ("/pull_request", self.pull_request.is_some()),
            ("/issue", self.issue.is_some()),
            ("/account", self.account.is_some()),
        ];
        let needed: &[&str] = match event {
            "installation" | "installation_repositories" => &["/installation"],
            "installation_target" => &["/installation", "/account"],
            "pull_request" => &["/repository", "/pull_request"],
            "issues" | "issue_comment" => &["/repository", "/issue"],
            "push" | "release" | "check_run" | "workflow_run" => &["/repository"],
            _ => &[],
        };
        let lacking =
            members.into_iter().filter(|(name, is_there)| !is_there && needed.contains(name));
        lacking.map(|(name, _)| name).collect()
    }

    /// Returns the renamed account with its new name, and its former name. `None` if the event is no rename.
    pub fn renamed(&self, event: &str) -> Option<(&NamedItem, Option<&str>)> {
        if self.action.as_deref() != Some("renamed") {
            return None;
        }
        let account = match event {
            "installation_target" => self.account.as_ref(),
            "organization" => self.organization.as_ref(),
            _ => None,
        };
        let from = self.changes.as_ref().map(|changes| changes.login.from.as_str());
        account.map(|account| (account, from))
    }

    /// Returns the number of the installation that receives the event.
    pub fn installation_id(&self) -> Option<i64> {
        self.installation.as_ref().map(|installation| installation.id).filter(|id| *id > 0)
    }

    /// Returns the lane, whose deliveries are processed in order: the repository, or else the installation.
    pub fn lane(&self) -> String {
        match (&self.repository, self.installation_id()) {
            (Some(repository), _) => format!("github:repository:{}", repository.id),
            (None, Some(id)) => format!("github:installation:{id}"),
            (None, None) => "github:app".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Facts {
        Facts::read(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_push_keeps_its_commit_count_and_its_repository() {
        let facts = read(&json!({
            "ref": "refs/heads/main", "before": "a", "after": "b", "forced": false,
            "commits": [{"message": "hello"}, {"author": {"email": "a@b.c"}}],
            "repository": {"id": 7, "full_name": "o/r", "private": true, "owner": {}},
            "installation": {"id": 3, "node_id": "x"},
            "sender": {"id": 1, "login": "octo", "type": "User"},
        }));
        assert_eq!(facts.commits, Some(Count(2)));
        assert_eq!(
            (facts.installation_id(), facts.lane().as_str()),
            (Some(3), "github:repository:7")
        );
        let stored = serde_json::to_string(&facts).unwrap();
        assert!(!stored.contains("octo") && !stored.contains("hello"), "{stored}");
        assert_eq!(Facts::read(stored.as_bytes()).unwrap(), facts);
    }

    #[test]
    fn a_comment_says_whether_it_is_on_a_pull_request() {
        let issue = |value: Value| read(&json!({"issue": value})).issue.unwrap();
        assert!(issue(json!({"number": 1, "pull_request": {"url": "x"}})).is_pull_request);
        assert!(!issue(json!({"number": 1, "state": "open"})).is_pull_request);
        let facts = read(&json!({"issue": {"number": 1, "pull_request": {}}}));
        let stored = serde_json::to_string(&facts).unwrap();
        assert_eq!(Facts::read(stored.as_bytes()).unwrap(), facts);
    }

    #[test]
    fn members_of_another_type_count_as_absent_and_spoil_nothing() {
        let facts = read(&json!({
            "action": {"not": "text"}, "installation": "x", "repository": null, "commits": "many",
            "pull_request": {"number": -1}, "sender": [], "repositories": [1, {"id": 2, "full_name": "o/r"}],
            "ref": "kept",
        }));
        let kept = Repository { id: 2, full_name: "o/r".to_owned(), private: false };
        let reference = Some("kept".to_owned());
        assert_eq!(facts, Facts { reference, repositories: vec![kept], ..Facts::default() });
        assert_eq!(facts.lane(), "github:app");
    }

    #[test]
    fn a_payload_that_is_no_object_is_an_error_without_its_content() {
        for text in ["", "secret", "[\"secret\"]", "{\"secret\":", "1"] {
            let error = Facts::read(text.as_bytes()).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let one = json!({"id": 1, "full_name": "o/r"});
        let facts = read(&json!({"repositories_added": vec![one; MAX_REPOSITORIES + 5]}));
        assert_eq!(facts.repositories_added.len(), MAX_REPOSITORIES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Facts::read(&bytes);
        }
    }
}
