//! What the handlers need of a webhook's payload, and nothing else of it.
//!
//! A payload may have 25 MB and come from a GitHub that is newer than this program. So each member is
//! read for itself: one that is missing, or of another form than expected, is not there, and never makes
//! the rest unreadable. Titles, messages, names and addresses of people are not taken over.

use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// How many repositories of an installation are kept.
const MAX_REPOSITORIES: usize = 1000;

/// What is kept of a payload. Its JSON is stored, so members may be added and not changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// What has happened to the subject of the event.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Which installation of the App hears of it; whole where the event is about it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub installation: Option<Installation>,
    /// Of an account that was renamed: what it is called now.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub account: Option<NamedItem>,
    /// The same of an organization, where GitHub tells of it as that.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub organization: Option<NamedItem>,
    /// What it was called before.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Where it has happened.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// Who has done it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// Of an installation that was made: which repositories it has.
    #[serde(deserialize_with = "repositories", skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<Repository>,
    /// Which repositories were added to an installation.
    #[serde(deserialize_with = "repositories", skip_serializing_if = "Vec::is_empty")]
    pub repositories_added: Vec<Repository>,
    /// Which were taken away.
    #[serde(deserialize_with = "repositories", skip_serializing_if = "Vec::is_empty")]
    pub repositories_removed: Vec<Repository>,
    /// `all` or `selected`, where that has changed.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub repository_selection: Option<String>,
    /// Of a push: which branch or tag.
    #[serde(rename = "ref", deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Of a push: the commit before.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Of a push: the commit after.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Of a push: whether it has thrown commits away.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub forced: Option<bool>,
    /// Of a push: how many commits the payload lists.
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

/// An installation. Most events name only its number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Installation {
    /// Its number.
    pub id: i64,
    /// On whose account it is.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// `all` or `selected`.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub repository_selection: Option<String>,
    /// What it may, by the name of a permission.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Value>,
    /// What it hears of.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub events: Option<Value>,
    /// When it was made: ISO-8601.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When it was last changed: ISO-8601.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Since when it may do nothing: ISO-8601.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<String>,
}

/// A user or an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its number.
    pub id: i64,
    /// Its name in addresses.
    pub login: String,
    /// `User` or `Organization`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its picture.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// A user or an organization, by its number and its name in addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedItem {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub login: String,
}

/// What an event says of how something was before, as far as that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The name of an account.
    pub login: FormerName,
}

/// What something was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerName {
    /// Before.
    pub from: String,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its number, which stays when it is renamed.
    pub id: i64,
    /// `owner/name`.
    pub full_name: String,
    /// Whether it is not public.
    #[serde(default)]
    pub private: bool,
}

/// Who has done something, as far as that is kept.
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
    /// Whether it is not ready for review.
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

/// Something of which only the number is kept.
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
    /// Whether it is none to be used generally.
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
    /// What it is called.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far it is.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How it ended.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<String>,
    /// Of which commit.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub head_sha: Option<String>,
}

/// How many there are in a list, or the number itself.
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

/// A member of the expected form; of any other form it is not there.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}

/// The first [`MAX_REPOSITORIES`] of a list that can be read.
fn repositories<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Repository>, D::Error> {
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    let items: Vec<&RawValue> =
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let read = |item: &RawValue| serde_json::from_str(item.get()).ok();
    Ok(items.into_iter().filter_map(read).take(MAX_REPOSITORIES).collect())
}

/// Whether something is there: an object, or the `true` of facts that were stored.
fn presence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    Ok(raw.is_some_and(|raw| !matches!(raw.get(), "false" | "null")))
}

impl Facts {
    /// Reads a payload.
    ///
    /// # Errors
    /// When it is no JSON object: what is wrong with it, in words and without a part of it.
    pub fn read(payload: &[u8]) -> Result<Self, String> {
        // A list would be taken for the members in their order.
        let first = payload.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'[') {
            return Err("the payload is no JSON object".to_owned());
        }
        serde_json::from_slice(payload).map_err(|error| {
            let what = if error.is_data() { "is no JSON object" } else { "is no JSON" };
            format!("the payload {what}: line {}, column {}", error.line(), error.column())
        })
    }

    /// What an event has at GitHub and this one has not, or not in the expected form: JSON pointers. Only
    /// what the App cannot do without, so that GitHub may change the rest.
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

    /// The account that a rename is about, its name and the one before; `None` where it is none.
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

    /// The number of the installation that hears of it.
    pub fn installation_id(&self) -> Option<i64> {
        self.installation.as_ref().map(|installation| installation.id).filter(|id| *id > 0)
    }

    /// What this must stay in order with: its repository, or else its installation.
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
    fn a_push_is_its_commits_and_its_place() {
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
    fn members_of_another_form_are_not_there_and_spoil_nothing() {
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
    fn what_is_no_object_is_said_so_without_its_content() {
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
        fn no_bytes_are_an_accident(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Facts::read(&bytes);
        }
    }
}
