//! The SQL of installations.

use http_kit::problem::Problem;
use seams::db::{DbError, Params, Row, Statement};
use seams::time;
use serde_json::{Value, json};

use crate::access::caller::Scope;
use crate::access::listing::{Newest, Page, PageRequest};
use crate::actors::store::{is_inactive_sql, name_sql};
use crate::github::deliveries::InstallationRecord;
use crate::github::page::{InstallationFacts, Person};
use crate::github::payload::{Installation, NamedItem, Repository};
use crate::store::Ready;

/// The SQL of the JSON object that callers get of an installation. Some names come in two spellings,
/// because callers of the predecessor know both.
const DOCUMENT: &str = "json_insert(json_object('installation_id', installation_id, \
     'installationId', installation_id, 'chitty_id', chitty_id, 'chittyId', chitty_id, \
     'account', account_login, 'account_id', account_id, 'account_type', account_type, \
     'accountType', account_type, 'account_avatar_url', account_avatar_url, \
     'owner_chitty_id', owner_chitty_id), '$.repository_selection', repository_selection, \
     '$.repositorySelection', repository_selection, '$.permissions', json(permissions), \
     '$.events', json(events), '$.suspended_at', suspended_at, \
     '$.uninstalled_at', uninstalled_at, '$.installed_at', installed_at, \
     '$.updated_at', updated_at, '$.status', iif(uninstalled_at IS NOT NULL, 'uninstalled', \
     iif(suspended_at IS NOT NULL, 'suspended', 'active')))";

/// Returns an instant of GitHub's with milliseconds, which GitHub leaves out and every instant here has.
/// Returns `otherwise` if there is none or it cannot be read.
fn instant(text: Option<&str>, otherwise: &str) -> String {
    text.and_then(time::parse).map_or_else(|| otherwise.to_owned(), time::iso8601)
}

/// Inserts or updates the row of an installation as GitHub describes it. A description that is older than
/// the recorded one changes nothing, and an uninstalled installation stays uninstalled.
pub fn upsert(
    installation: &Installation,
    chitty_id: &str,
    revision: &str,
    now_ms: u64,
) -> Statement {
    let now = time::iso8601(now_ms);
    let account = installation.account.clone().unwrap_or_default();
    let list = |value: &Option<Value>, otherwise: Value| {
        let same = |value: &&Value| value.is_array() == otherwise.is_array();
        value.as_ref().filter(same).unwrap_or(&otherwise).to_string()
    };
    // GitHub has had other kinds of accounts; every account that is not a user's counts as an organization.
    let kind = if account.kind == "User" { "User" } else { "Organization" };
    let all = installation.repository_selection.as_deref() == Some("all");
    Statement::new(
        "INSERT INTO installations (installation_id, chitty_id, account_id, account_login, \
         account_type, account_avatar_url, repository_selection, permissions, events, \
         suspended_at, installed_at, updated_at, github_updated_at, revision) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
         ON CONFLICT (installation_id) DO UPDATE SET account_id = excluded.account_id, \
         account_login = excluded.account_login, account_type = excluded.account_type, \
         account_avatar_url = excluded.account_avatar_url, \
         repository_selection = excluded.repository_selection, \
         permissions = excluded.permissions, events = excluded.events, \
         suspended_at = excluded.suspended_at, updated_at = excluded.updated_at, \
         github_updated_at = excluded.github_updated_at, revision = excluded.revision \
         WHERE excluded.github_updated_at >= installations.github_updated_at",
    )
    .bind(installation.id)
    .bind(chitty_id)
    .bind(account.id)
    .bind(account.login)
    .bind(kind)
    .bind(account.avatar_url)
    .bind(if all { "all" } else { "selected" })
    .bind(list(&installation.permissions, json!({})))
    .bind(list(&installation.events, json!([])))
    .bind(installation.suspended_at.as_deref().map(|at| instant(Some(at), &now)))
    .bind(instant(installation.created_at.as_deref(), &now))
    .bind(now.as_str())
    .bind(instant(installation.updated_at.as_deref(), ""))
    .bind(revision)
}

/// Gives the account of an installation its new name. A rename that arrives after the rename that followed
/// it changes nothing.
pub fn rename_account(
    id: i64,
    account: &NamedItem,
    from: Option<&str>,
    revision: &str,
    now_ms: u64,
) -> Statement {
    Statement::new(
        "UPDATE installations SET account_login = ?3, account_former_login = ?4, revision = ?5, \
         updated_at = ?6 WHERE installation_id = ?1 AND account_id = ?2 AND account_login <> ?3 \
         AND (account_login = ?4 OR account_former_login IS NOT ?3)",
    )
    .bind(id)
    .bind(account.id)
    .bind(account.login.as_str())
    .bind(from)
    .bind(revision)
    .bind(time::iso8601(now_ms))
}

/// Marks an installation uninstalled.
pub fn uninstall(id: i64, at: &str, revision: &str) -> Statement {
    Statement::new(
        "UPDATE installations SET uninstalled_at = ?2, updated_at = ?2, revision = ?3 \
         WHERE installation_id = ?1 AND uninstalled_at IS NULL",
    )
    .bind(id)
    .bind(at)
    .bind(revision)
}

/// Deletes the token of an installation if it is suspended or uninstalled, in the batch that marks it so.
pub fn forget_token_unless_live(id: i64) -> Statement {
    Statement::new(
        "DELETE FROM github_tokens WHERE installation_id = ?1 \
         AND EXISTS (SELECT 1 FROM installations WHERE installation_id = ?1 \
         AND (suspended_at IS NOT NULL OR uninstalled_at IS NOT NULL))",
    )
    .bind(id)
}

/// Adds repositories to the recorded ones of an installation, and removes others.
pub fn change_repositories(id: i64, added: &[Repository], removed: &[Repository]) -> Statement {
    let gone: Vec<i64> = removed.iter().chain(added).map(|repository| repository.id).collect();
    Statement::new(
        "UPDATE installations SET selected_repositories = (SELECT json_group_array(json(item)) \
         FROM (SELECT value AS item FROM json_each(selected_repositories) \
         WHERE json_extract(value, '$.id') NOT IN (SELECT value FROM json_each(?3)) \
         UNION ALL SELECT value FROM json_each(?2) LIMIT 1000)) WHERE installation_id = ?1",
    )
    .bind(id)
    .bind(json!(added).to_string())
    .bind(json!(gone).to_string())
}

/// Selects the record of an installation, for [`read_record`].
pub fn select_record(id: i64) -> Statement {
    Statement::new(
        "SELECT chitty_id, suspended_at IS NULL AND uninstalled_at IS NULL AS is_live \
         FROM installations WHERE installation_id = ?1",
    )
    .bind(id)
}

/// Reads the row of [`select_record`].
///
/// # Errors
/// [`DbError::Shape`].
pub fn read_record(mut row: Row) -> Result<InstallationRecord, DbError> {
    Ok(InstallationRecord { chitty_id: row.text("chitty_id")?, is_live: row.flag("is_live")? })
}

/// Selects the owner of an installation, for [`read_owner`].
pub fn owner(id: i64) -> Statement {
    Statement::new("SELECT owner_chitty_id FROM installations WHERE installation_id = ?1").bind(id)
}

/// Reads the row of [`owner`], if there is one.
///
/// # Errors
/// [`DbError::Shape`].
pub fn read_owner(rows: Vec<Row>) -> Result<Option<String>, DbError> {
    let row = rows.into_iter().next();
    let owner = row.map(|mut row| row.optional_text("owner_chitty_id")).transpose()?;
    Ok(owner.flatten())
}

/// An installation as pages show it.
#[derive(Debug, Clone)]
pub struct ShownInstallation {
    /// The facts that pages show.
    pub shown: InstallationFacts,
    /// The name of the actor who asks for the installation.
    asker_name: Option<String>,
}

impl ShownInstallation {
    /// Returns the actor who asks for the installation, with their name.
    pub fn asks(&self, actor: &str) -> Person {
        Person { id: actor.to_owned(), name: self.asker_name.clone() }
    }
}

/// Returns an installation as pages show it, if it is on record, with the name of the actor `asker`. An
/// owner who has no name here is shown by their name at GitHub.
///
/// # Errors
/// When the database does not answer.
pub async fn shown_installation(
    ready: Ready<'_>,
    id: i64,
    asker: Option<&str>,
) -> Result<Option<ShownInstallation>, DbError> {
    let (owner_name, asker_name) = (name_sql("i.owner_chitty_id"), name_sql("?2"));
    let query = Statement::new(format!(
        "SELECT i.account_login, i.chitty_id, i.repository_selection, i.owner_chitty_id, \
         ifnull({owner_name}, \
         ifnull(i.owner_github_login, iif(i.owner_github_id = i.account_id, i.account_login, NULL))) \
         AS owner_name, {asker_name} AS asker_name \
         FROM installations AS i WHERE i.installation_id = ?1"
    ))
    .bind(id)
    .bind(asker);
    let Some(mut row) = ready.db().rows(query).await?.into_iter().next() else { return Ok(None) };
    let owner = row.optional_text("owner_chitty_id")?;
    let name = row.optional_text("owner_name")?;
    let shown = InstallationFacts {
        account: row.text("account_login")?,
        chitty_id: row.text("chitty_id")?,
        repository_selection: row.text("repository_selection")?,
        owner: owner.map(|id| Person { id, name }),
    };
    Ok(Some(ShownInstallation { shown, asker_name: row.optional_text("asker_name")? }))
}

/// The claim of an actor who has proved at GitHub that they own the account of an installation.
#[derive(Debug)]
pub struct Claim<'a> {
    /// The number of the installation.
    pub id: i64,
    /// The actor.
    pub actor: &'a str,
    /// The owner at the time when the actor asked; no other owner loses the installation.
    pub from: Option<&'a str>,
    /// The actor's account at GitHub: its number, and its name if the actor claims as an owner of an
    /// organization.
    pub github: (i64, Option<&'a str>),
}

/// Gives an installation to an actor, unless the actor is suspended or the owner is no longer the one that
/// the claim names. Returns a row if that changes anything.
pub fn claim(claim: &Claim<'_>, revision: &str, now_ms: u64) -> Statement {
    let (github_id, github_login) = claim.github;
    let is_inactive = is_inactive_sql("?2");
    Statement::new(format!(
        "UPDATE installations SET owner_chitty_id = ?2, owner_github_id = ?4, \
         owner_github_login = ?5, revision = ?6, updated_at = ?7 \
         WHERE installation_id = ?1 AND owner_chitty_id IS ?3 \
         AND (owner_chitty_id IS NOT ?2 OR owner_github_id IS NOT ?4 OR owner_github_login IS NOT ?5) \
         AND NOT {is_inactive} RETURNING 1 AS claimed"
    ))
    .bind(claim.id)
    .bind(claim.actor)
    .bind(claim.from)
    .bind(github_id)
    .bind(github_login)
    .bind(revision)
    .bind(time::iso8601(now_ms))
}

/// Removes the owner of an installation. Returns a row if `owner` was its owner.
pub fn release(id: i64, owner: &str, revision: &str, now_ms: u64) -> Statement {
    Statement::new(
        "UPDATE installations SET owner_chitty_id = NULL, owner_github_id = NULL, \
         owner_github_login = NULL, revision = ?3, updated_at = ?4 \
         WHERE installation_id = ?1 AND owner_chitty_id = ?2 RETURNING 1 AS released",
    )
    .bind(id)
    .bind(owner)
    .bind(revision)
    .bind(time::iso8601(now_ms))
}

/// Returns the SQL condition for the caller's own installations, or with `of_all` for all of them, which
/// only administrators may read.
fn condition(scope: &Scope, of_all: bool, params: &mut Params) -> String {
    if of_all {
        return scope.is_admin_sql(params);
    }
    format!("owner_chitty_id = {}", params.add(scope.actor()))
}

/// Returns a page of installations, newest first, including uninstalled ones.
///
/// # Errors
/// When the caller may not read them; storage failures.
pub async fn list(
    ready: Ready<'_>,
    scope: &Scope,
    of_all: bool,
    asked: PageRequest,
) -> Result<Page, Problem> {
    let mut params = Params::default();
    let condition = condition(scope, of_all, &mut params);
    let keys = ["installed_at", "chitty_id"];
    let list = Newest { from: "installations", keys, item: DOCUMENT, condition };
    list.read(ready, scope, params, asked).await
}

/// One installation, by its number or its ChittyID, that the caller owns or administers.
pub struct InstallationRow {
    /// The JSON object that callers get.
    pub document: String,
    /// Its number.
    pub id: i64,
    /// Its ChittyID.
    pub chitty_id: String,
    /// Whether it is neither suspended nor uninstalled.
    pub is_live: bool,
    /// The ChittyID of its owner.
    pub owner: Option<String>,
    /// The owner's account at GitHub: its number, and its name if they claimed the installation as an owner
    /// of an organization rather than on their own account.
    pub github: Option<(i64, Option<String>)>,
    /// The name of the organization that it is on; `None` if it is on a user's account.
    pub organization: Option<String>,
    /// Whether the caller is an administrator of this gateway.
    pub by_admin: bool,
}

/// Returns an installation, if the caller owns it or is an administrator.
///
/// # Errors
/// When the caller may not read it; storage failures.
pub async fn get(
    ready: Ready<'_>,
    scope: &Scope,
    id: &str,
) -> Result<Option<InstallationRow>, Problem> {
    let mut params = Params::default();
    let (key, value) = match id.parse::<i64>() {
        Ok(number) => ("installation_id", params.add(number)),
        Err(_) => ("chitty_id", params.add(id)),
    };
    let (own, admin) = (params.add(scope.actor()), scope.is_admin_sql(&mut params));
    let query = params.statement(format!(
        "SELECT {DOCUMENT} AS document, installation_id, chitty_id, \
         suspended_at IS NULL AND uninstalled_at IS NULL AS is_live, owner_chitty_id, \
         owner_github_id, owner_github_login, \
         iif(account_type = 'Organization', account_login, NULL) AS organization, \
         {admin} AS by_admin FROM installations \
         WHERE {key} = {value} AND (owner_chitty_id = {own} OR {admin})"
    ));
    let Some(mut row) = scope.rows(ready, query).await?.into_iter().next() else {
        return Ok(None);
    };
    let github_id = row.integer("owner_github_id").ok();
    Ok(Some(InstallationRow {
        document: row.text("document")?,
        id: row.integer("installation_id")?,
        chitty_id: row.text("chitty_id")?,
        is_live: row.flag("is_live")?,
        owner: row.optional_text("owner_chitty_id")?,
        github: github_id.zip(Some(row.optional_text("owner_github_login")?)),
        organization: row.optional_text("organization")?,
        by_admin: row.flag("by_admin")?,
    }))
}
