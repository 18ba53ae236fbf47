//! The stored credential of a connection. Each statement takes effect only with the change of the connection
//! whose batch it is in.

use seams::db::Statement;
use seams::time;

use crate::access::caller::Grant;
use crate::connections::SCHEDULE_REVOCATION;
use crate::store::event::Event;

/// A sealed credential on its way to the database.
#[derive(Clone)]
pub struct SealedCredential {
    /// Its type.
    pub kind: &'static str,
    /// The sealed text.
    pub text: String,
    /// When its access token expires (ISO-8601 UTC), if that is known.
    pub expires_at: Option<String>,
}

/// The statement that stores the credential of the connection that the event has created or changed, in place
/// of the one before.
pub(super) fn put_secret(
    event: &Event,
    sealed: &SealedCredential,
    grant: Option<&Grant>,
) -> Statement {
    let source = grant.map(Grant::source);
    Statement::new(
        "INSERT INTO connection_secrets (connection_id, sealed, expires_at, source_actor, \
         source_token, source_secret, source_scopes, key_expires_at) \
         SELECT connection_id, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM connections \
         WHERE connection_id = ?1 AND revision = ?2 \
         ON CONFLICT (connection_id) DO UPDATE SET sealed = excluded.sealed, \
          expires_at = excluded.expires_at, source_actor = excluded.source_actor, \
          source_token = excluded.source_token, source_secret = excluded.source_secret, \
          source_scopes = excluded.source_scopes, key_expires_at = excluded.key_expires_at, \
          version = version + 1, leased_until = '', in_doubt = 0, renew_after = ''",
    )
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
    .bind(sealed.text.as_str())
    .bind(sealed.expires_at.as_deref())
    .bind(source.map(|source| source.actor.as_str()))
    .bind(source.and_then(|source| source.token.as_deref()))
    .bind(source.and_then(|source| source.secret.as_deref()))
    .bind(source.map(|source| serde_json::json!(source.scopes).to_string()))
    .bind(grant.and_then(Grant::ends_ms).map(time::iso8601))
}

/// The statement that schedules the revocation of a credential: that of the connection that the event has
/// changed.
pub(super) fn give_up_secret(event: &Event) -> Statement {
    Statement::new(format!(
        "{SCHEDULE_REVOCATION} SELECT ?2, s.connection_id, s.sealed, ?3, ?3 FROM connection_secrets AS s \
         WHERE s.connection_id = ?1 AND EXISTS (SELECT 1 FROM connections AS c \
         WHERE c.connection_id = ?1 AND c.revision = ?2)"
    ))
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
    .bind(event.at.as_str())
}

/// The statement that deletes the credential of the connection that the event has changed.
pub(super) fn remove_secret(event: &Event) -> Statement {
    Statement::new(
        "DELETE FROM connection_secrets WHERE connection_id = ?1 AND EXISTS \
         (SELECT 1 FROM connections AS c WHERE c.connection_id = ?1 AND c.revision = ?2)",
    )
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
}
