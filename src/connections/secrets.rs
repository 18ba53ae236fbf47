//! The credentials of connections at rest: each is sealed for its connection, and opens for no other. The keys of
//! contexts are sealed in the same way, each for its context.

use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Statement};
use seams::{ids, log, time};

use crate::app::App;
use crate::connections::SCHEDULE_REVOCATION;
use crate::connections::credential::Credential;
use crate::connections::store::SealedCredential;
use crate::store::Ready;
use crate::store::ids::ConnectionId;

/// The place that the credential of an entity, a connection or a context, is sealed for. It does not open in
/// any other place.
fn place(entity_id: &str) -> String {
    format!("connection/{entity_id}")
}

/// Seals a credential for its connection or context.
///
/// # Errors
/// 503 if there is no sealing key.
pub fn seal(
    app: &App,
    entity_id: &str,
    credential: &Credential,
) -> Result<SealedCredential, Problem> {
    let json = serde_json::to_string(credential).unwrap_or_default();
    let text = seal_text(app, entity_id, &json)?;
    let expires_at = credential.expires_at_ms().map(time::iso8601);
    Ok(SealedCredential { kind: credential.kind(), text, expires_at })
}

/// Seals a text that belongs to a connection or a context.
///
/// # Errors
/// 503 if there is no sealing key.
pub fn seal_text(app: &App, entity_id: &str, text: &str) -> Result<String, Problem> {
    app.config.sealer.seal(&place(entity_id), text).map_err(|error| {
        log::error("credential_not_sealed", &[("error", &error.to_string())]);
        Problem::new(
            Code::NotReady,
            "The gateway has no key to store a credential with; GET /health lists what is missing.",
        )
    })
}

/// Opens a text that [`seal_text`] has sealed. Logs an error and returns `None` if it does not open.
pub(super) fn open_text(app: &App, entity_id: &str, sealed: &str) -> Option<String> {
    let opened = app.config.sealer.open(&place(entity_id), sealed).ok();
    if opened.is_none() {
        log::error("credential_does_not_open", &[("connection_id", entity_id)]);
    }
    opened
}

fn open(app: &App, entity_id: &str, sealed: &str) -> Result<Credential, Problem> {
    let opened = open_text(app, entity_id, sealed);
    opened.and_then(|json| serde_json::from_str(&json).ok()).ok_or_else(|| {
        Problem::new(
            Code::CredentialUnavailable,
            "The stored credential was sealed with a key that the gateway no longer has. Hand it \
             in again with PATCH.",
        )
    })
}

/// A credential that was read from the database.
pub(super) struct CredentialRow {
    /// The credential.
    pub(super) credential: Credential,
    /// How often it has been replaced.
    pub(super) version: i64,
}

/// Returns the credential of a connection in the database, if it has one; 503 if it does not open.
pub(super) async fn credential_row(
    app: &App,
    ready: Ready<'_>,
    id: &ConnectionId,
) -> Result<Option<CredentialRow>, Problem> {
    let query =
        Statement::new("SELECT sealed, version FROM connection_secrets WHERE connection_id = ?1");
    let Some(mut row) = ready.db().rows(query.bind(id)).await?.into_iter().next() else {
        return Ok(None);
    };
    let (sealed, version) = (row.text("sealed")?, row.integer("version")?);
    Ok(Some(CredentialRow { credential: open(app, id.as_str(), &sealed)?, version }))
}

/// Returns the credential in the database of the connection with this id, if it has one that opens; `None` for
/// a context.
///
/// # Errors
/// Storage failures.
pub(super) async fn credential(
    app: &App,
    ready: Ready<'_>,
    entity_id: &str,
) -> Result<Option<Credential>, DbError> {
    let query = Statement::new("SELECT sealed FROM connection_secrets WHERE connection_id = ?1");
    let row = ready.db().rows(query.bind(entity_id)).await?.into_iter().next();
    let sealed = row.map(|mut row| row.text("sealed")).transpose()?;
    Ok(sealed.and_then(|sealed| open(app, entity_id, &sealed).ok()))
}

/// Schedules the revocation of a credential.
pub async fn abandon(app: &App, ready: Ready<'_>, id: &ConnectionId, sealed: &str) {
    let now = time::iso8601(app.now_ms());
    let put = Statement::new(format!("{SCHEDULE_REVOCATION} VALUES (?1, ?2, ?3, ?4, ?4)"))
        .bind(ids::event(app.now_ms()))
        .bind(id)
        .bind(sealed)
        .bind(now);
    if let Err(error) = ready.db().batch(vec![put]).await {
        let fields = [("connection_id", id.as_str()), ("error", &error.to_string())];
        log::error("credential_not_revoked", &fields);
    }
}
