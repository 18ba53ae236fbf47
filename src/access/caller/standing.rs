//! What a credential depends on: whether a credential that was made by another credential is still
//! valid, and which of its scopes are. Each request reads this, so the end of a source takes effect
//! with the next request.
//!
//! Every table of such credentials names the source in these columns: `source_actor` (the actor by
//! whose authority the credential was made; `created_by` in `keys`), `source_secret` (the secret of
//! the API key that made it, if one did; not in `keys`) and `source_scopes` (the scopes that the
//! source carries, as far as is known).

use std::collections::BTreeSet;

use seams::db::{DbError, Row, Statement};
use seams::time;
use serde::{Deserialize, Serialize};

use super::scopes::{intersection, list};
use crate::store::work::{Due, Prune};

/// The source of a credential: the credential that made it, and the authority behind that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The actor by whose authority it was made.
    pub actor: String,
    /// The ChittyAuth token that made it (SHA-256, hex), if one did.
    pub token: Option<String>,
    /// The secret of the API key that made it (SHA-256, hex), if one did.
    pub secret: Option<String>,
    /// The scopes that the source carried.
    pub scopes: Vec<String>,
}

/// How long an actor's credentials may use a scope after ChittyAuth last vouched for it, although a
/// later token of the actor came without it, in ms. An actor may use a wide and a narrow token at
/// the same time: ChittyAuth is asked about each of them at least once in this time.
pub const VOUCHED_MS: u64 = 120_000;

/// How long an isolate does not write the same scopes of a token again, in ms: a burst of requests
/// with a new token writes once.
pub const NOTED_MS: u64 = 20_000;

/// Returns the statement that records the source of a token that ChittyAuth has made for another
/// identity at the request of a caller. From then on this gateway judges the token by that source.
/// `token_sha256` is in hex, `until` is ISO-8601 UTC.
pub fn record_token(
    token_sha256: &str,
    chitty_id: &str,
    scopes: &[impl serde::Serialize],
    source: &Source,
    until: &str,
) -> Statement {
    Statement::new(
        "INSERT INTO made_tokens (token_sha256, chitty_id, scopes, source_actor, source_token, \
         source_secret, source_scopes, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT DO NOTHING",
    )
    .bind(token_sha256)
    .bind(chitty_id)
    .bind(serde_json::json!(scopes).to_string())
    .bind(source.actor.as_str())
    .bind(source.token.as_deref())
    .bind(source.secret.as_deref())
    .bind(serde_json::json!(source.scopes).to_string())
    .bind(until)
}

/// Returns the statement that ends tokens at the instant in `?3`. `tokens` selects their SHA-256; its
/// placeholders are the caller's to bind.
pub fn end_tokens(tokens: &str) -> Statement {
    Statement::new(format!(
        "UPDATE made_tokens SET expires_at = min(expires_at, ?3) WHERE token_sha256 = ({tokens})"
    ))
}

/// How long a token is on record after its end, in ms: 30 days, so that the gateway still refuses it if
/// ChittyAuth lets it live longer than it was asked to.
const KEEP_TOKENS_MS: u64 = 30 * 24 * 3_600_000;

/// The tokens of identities that ended 30 days ago.
pub fn prune_tokens(now_ms: u64) -> Prune {
    Due::all("made_tokens", &["token_sha256"], "expires_at").prune(now_ms, KEEP_TOKENS_MS, 500)
}

/// Returns the statement that makes the requests of an identity count against the limits of the
/// actor `by`, which had it made, or of that actor's own sponsor.
pub fn record_sponsor(chitty_id: &str, by: &str) -> Statement {
    Statement::new(
        "INSERT INTO sponsors (chitty_id, sponsor_chitty_id) \
         SELECT ?1, ifnull((SELECT sponsor_chitty_id FROM sponsors WHERE chitty_id = ?2), ?2) \
         WHERE 1 ON CONFLICT DO NOTHING",
    )
    .bind(chitty_id)
    .bind(by)
}

/// Returns the time (ISO-8601 UTC) that is [`VOUCHED_MS`] before `now_ms`: a scope that ChittyAuth
/// last vouched for before it, and that a later token did not carry, no longer counts.
pub fn cutoff(now_ms: u64) -> String {
    time::iso8601(now_ms.saturating_sub(VOUCHED_MS))
}

/// Returns the statement that records the scopes for which ChittyAuth vouches for an actor now.
pub fn note(actor: &str, scopes: &[String], now_ms: u64) -> Statement {
    let scopes: BTreeSet<&String> = scopes.iter().collect();
    Statement::new(
        "INSERT INTO vouchers (chitty_id, said, said_at) SELECT ?1, \
         (SELECT json_group_object(value, ?3) FROM json_each(?2)), ?3 \
         WHERE 1 ON CONFLICT (chitty_id) DO UPDATE SET said_at = max(said_at, excluded.said_at), \
         said = (SELECT json_group_object(scope, at) FROM \
         (SELECT key AS scope, value AS at FROM json_each(vouchers.said) WHERE value > ?4 \
         AND key NOT IN (SELECT value FROM json_each(?2)) \
         UNION ALL SELECT value, ?3 FROM json_each(?2)))",
    )
    .bind(actor)
    .bind(serde_json::json!(scopes).to_string())
    .bind(time::iso8601(now_ms))
    .bind(cutoff(now_ms))
}

/// SQL for whether a list of scopes contains one of `needs`.
pub fn among(scopes: &str, needs: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM json_each({scopes}) \
         WHERE value IN (SELECT value FROM json_each({needs})))"
    )
}

/// SQL for whether ChittyAuth vouches for one of `needs` for each of these actors. An actor of
/// which it has said nothing passes.
pub fn vouched(actors: &str, needs: &str, cutoff: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM vouchers AS v WHERE v.chitty_id IN ({actors}) AND NOT EXISTS \
         (SELECT 1 FROM json_each(v.said) AS w WHERE (w.value >= v.said_at OR w.value > {cutoff}) \
         AND w.key IN (SELECT value FROM json_each({needs}))))"
    )
}

/// SQL for a JSON array of the scopes for which ChittyAuth vouches for an actor; NULL if it has
/// said nothing of the actor.
pub fn vouched_list(actor: &str, cutoff: &str) -> String {
    format!(
        "(SELECT (SELECT json_group_array(w.key) FROM json_each(v.said) AS w \
         WHERE w.value >= v.said_at OR w.value > {cutoff}) FROM vouchers AS v \
         WHERE v.chitty_id = {actor})"
    )
}

/// SQL for whether an actor is active; one without a row is.
pub fn active(actor: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM actors AS b WHERE b.chitty_id = {actor} \
         AND b.status <> 'active')"
    )
}

/// SQL for whether the source of the row `k` is valid: its actor is active, and the secret of the
/// API key that made the row, if one did, is valid. If its actor is `judged`, the caller of this
/// function must check whether that actor is active.
pub fn source_is_good(now: &str, judged: &str) -> String {
    format!(
        "(k.source_actor = {judged} OR {}) AND (k.source_secret IS NULL OR EXISTS (SELECT 1 FROM key_secrets AS x \
         JOIN keys AS y USING (key_id) WHERE x.secret_sha256 = k.source_secret \
         AND ifnull(x.valid_until, '9999') > {now} AND y.revoked_at IS NULL \
         AND ifnull(y.expires_at, '9999') > {now}))",
        active("k.source_actor")
    )
}

/// SQL for whether the credential above the row `k` carries one of `needs`: the token made for
/// another caller, or the API key, on which the row depends. A row that depends on neither passes.
pub fn carried_above(needs: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM made_tokens AS m WHERE m.token_sha256 = k.source_token \
         AND NOT {}) AND NOT EXISTS (SELECT 1 FROM key_secrets AS x JOIN keys AS y USING (key_id) \
         WHERE x.secret_sha256 = k.source_secret AND NOT {})",
        among("m.source_scopes", needs),
        among("y.source_scopes", needs)
    )
}

/// SQL for the scopes of these two credentials as JSON arrays; NULL if there is no such credential.
const ABOVE: [&str; 2] = [
    "(SELECT m.source_scopes FROM made_tokens AS m WHERE m.token_sha256 = k.source_token)",
    "(SELECT y.source_scopes FROM key_secrets AS x JOIN keys AS y USING (key_id) \
     WHERE x.secret_sha256 = k.source_secret)",
];

/// The scopes that back a stored credential, as JSON arrays.
#[derive(Debug)]
pub struct Backing {
    /// The scopes that it was made with.
    pub scopes: String,
    /// The scopes that its source carries.
    pub source: String,
    /// The bounds of `source`, each `None` if it does not exist: the scopes for which ChittyAuth
    /// vouches for the credential's actor and for the actor by whose authority it was made, and the
    /// scopes of the two kinds of credentials above it.
    pub bounds: [Option<String>; 4],
    /// The scopes that an administrator has granted its actor.
    pub granted: Option<String>,
}

/// The table of the credential whose [`Backing`] is read.
#[derive(Debug, Clone, Copy)]
pub enum CredentialTable {
    /// A row of `delegations`.
    Delegation,
    /// A row of `keys`.
    Key,
    /// A row of `made_tokens`.
    Made,
}

impl Backing {
    /// Reads it from a row with the columns of [`Backing::columns`].
    ///
    /// # Errors
    /// [`DbError::Shape`].
    pub fn read(row: &mut Row) -> Result<Self, DbError> {
        Ok(Backing {
            scopes: row.text("scopes")?,
            source: row.text("source_scopes")?,
            bounds: [
                row.optional_text("owner_vouched")?,
                row.optional_text("source_vouched")?,
                row.optional_text("made_carries")?,
                row.optional_text("key_carries")?,
            ],
            granted: row.optional_text("granted")?,
        })
    }

    /// SQL for the columns of [`Backing::read`], over the row `k`. `cutoff` is a placeholder for
    /// the result of [`cutoff`].
    pub fn columns(table: CredentialTable, cutoff: &str) -> String {
        let (owner, source_actor, above) = match table {
            CredentialTable::Delegation => ("k.delegator_chitty_id", "k.source_actor", ABOVE),
            CredentialTable::Key => ("k.owner_chitty_id", "k.created_by", ["NULL", "NULL"]),
            CredentialTable::Made => ("k.chitty_id", "k.source_actor", ABOVE),
        };
        let [made, key] = above;
        format!(
            "k.scopes, k.source_scopes, {} AS owner_vouched, {} AS source_vouched, \
             {made} AS made_carries, {key} AS key_carries, \
             (SELECT capabilities FROM actors WHERE chitty_id = {owner}) AS granted",
            vouched_list(owner, cutoff),
            vouched_list(source_actor, cutoff)
        )
    }

    /// Returns those of its scopes that are still backed.
    pub fn held_scopes(&self) -> Vec<String> {
        let mut backing = list(&self.source);
        for bound in self.bounds.iter().flatten() {
            backing = intersection(&backing, &list(bound));
        }
        backing.extend(self.granted.iter().flat_map(|granted| list(granted)));
        intersection(&list(&self.scopes), &backing)
    }
}
