//! What a credential stands on: the conditions under which what was made by another credential is
//! good, and what of it is. They are read with each request, so the end of a source holds from the
//! next request on.
//!
//! Every table of such credentials names its source in the same columns: `source_actor` (by whose
//! authority it was made), `source_secret` (the secret of the API key, where it was one) and
//! `source_scopes` (what that credential carries, as far as is known).

use std::collections::BTreeSet;

use seams::db::{DbError, Row, Statement};
use seams::time;
use serde::{Deserialize, Serialize};

use super::scopes::{intersection, list};

/// What something stands on that was made by a credential shown here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// By whose authority it was made.
    pub actor: String,
    /// The ChittyAuth token by which it was made (SHA-256, hex), if it was one.
    pub token: Option<String>,
    /// The secret of the API key by which it was made (SHA-256, hex), if it was one.
    pub secret: Option<String>,
    /// What that carried.
    pub scopes: Vec<String>,
}

/// How long after ChittyAuth last vouched for a scope of an actor's the actor's credentials may still
/// use it although a later token came without it, in ms. Tokens of different width that are in use at
/// the same time are each asked about at least once in this time.
pub const VOUCHED_MS: u64 = 120_000;

/// How long the same word of ChittyAuth about an actor is not noted again, in ms: a burst of requests
/// by a new token writes once.
pub const NOTED_MS: u64 = 20_000;

/// Puts on record what a credential stands on that ChittyAuth has made for another identity at the request
/// of a caller: from then on it is judged by that here. `token_sha256` is in hex, `until` ISO-8601 UTC.
pub fn made(
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

/// Has what an identity does count against the limits of the actor that had it made.
pub fn sponsored(chitty_id: &str, by: &str) -> Statement {
    Statement::new(
        "INSERT INTO sponsors (chitty_id, sponsor_chitty_id) \
         SELECT ?1, ifnull((SELECT sponsor_chitty_id FROM sponsors WHERE chitty_id = ?2), ?2) \
         WHERE 1 ON CONFLICT DO NOTHING",
    )
    .bind(chitty_id)
    .bind(by)
}

/// Until which a scope that a later token does not carry has been said too long ago.
pub fn cutoff(now_ms: u64) -> String {
    time::iso8601(now_ms.saturating_sub(VOUCHED_MS))
}

/// Notes what ChittyAuth says of an actor now.
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

/// SQL for whether a list of scopes has one of `needs`.
pub fn among(scopes: &str, needs: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM json_each({scopes}) \
         WHERE value IN (SELECT value FROM json_each({needs})))"
    )
}

/// SQL for whether ChittyAuth, as far as it has said anything of these actors, vouches for one of
/// `needs` for each of them.
pub fn vouched(actors: &str, needs: &str, cutoff: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM vouchers AS v WHERE v.chitty_id IN ({actors}) AND NOT EXISTS \
         (SELECT 1 FROM json_each(v.said) AS w WHERE (w.value >= v.said_at OR w.value > {cutoff}) \
         AND w.key IN (SELECT value FROM json_each({needs}))))"
    )
}

/// SQL for a JSON array of what ChittyAuth vouches for of an actor; NULL where it has said nothing.
pub fn vouched_list(actor: &str, cutoff: &str) -> String {
    format!(
        "(SELECT (SELECT json_group_array(w.key) FROM json_each(v.said) AS w \
         WHERE w.value >= v.said_at OR w.value > {cutoff}) FROM vouchers AS v \
         WHERE v.chitty_id = {actor})"
    )
}

/// SQL for whether an actor may do anything at all.
pub fn active(actor: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM actors AS b WHERE b.chitty_id = {actor} \
         AND b.status <> 'active')"
    )
}

/// SQL for whether the source of the row `k` is there: its actor is active, and the secret of the API
/// key by which it was made, if it was made by one, is good. Whether `judged`, an actor, is active is
/// left to the caller.
pub fn source_is_good(now: &str, judged: &str) -> String {
    format!(
        "(k.source_actor = {judged} OR {}) AND (k.source_secret IS NULL OR EXISTS (SELECT 1 FROM key_secrets AS x \
         JOIN keys AS y USING (key_id) WHERE x.secret_sha256 = k.source_secret \
         AND ifnull(x.valid_until, '9999') > {now} AND y.revoked_at IS NULL \
         AND ifnull(y.expires_at, '9999') > {now}))",
        active("k.source_actor")
    )
}

/// SQL for whether the credentials above the row `k` carry one of `needs`: the token that was made for
/// another caller, and the API key, by which it was made.
pub fn carried_above(needs: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM made_tokens AS m WHERE m.token_sha256 = k.source_token \
         AND NOT {}) AND NOT EXISTS (SELECT 1 FROM key_secrets AS x JOIN keys AS y USING (key_id) \
         WHERE x.secret_sha256 = k.source_secret AND NOT {})",
        among("m.source_scopes", needs),
        among("y.source_scopes", needs)
    )
}

/// SQL for the same as two JSON arrays; NULL where there is no such credential.
const ABOVE: [&str; 2] = [
    "(SELECT m.source_scopes FROM made_tokens AS m WHERE m.token_sha256 = k.source_token)",
    "(SELECT y.source_scopes FROM key_secrets AS x JOIN keys AS y USING (key_id) \
     WHERE x.secret_sha256 = k.source_secret)",
];

/// What a credential that is kept here has to stand on, as JSON arrays.
#[derive(Debug)]
pub struct Backing {
    /// What it was made for.
    pub scopes: String,
    /// What the credential by which it was made carries.
    pub source: String,
    /// What bounds that: what ChittyAuth vouches for of its actor and of the actor by whose authority
    /// it was made, and what the credentials above it carry; as far as there is any of it.
    pub bounds: [Option<String>; 4],
    /// What an administrator has granted its actor.
    pub granted: Option<String>,
}

/// Which credential a [`Backing`] is read of.
#[derive(Debug, Clone, Copy)]
pub enum Standing {
    /// A row of `delegations`.
    Delegation,
    /// A row of `keys`.
    Key,
    /// A row of `made_tokens`.
    Made,
}

impl Backing {
    /// How many columns [`Backing::read`] reads.
    pub const COLUMNS: usize = 7;

    /// Reads it from the columns that begin with `first`.
    ///
    /// # Errors
    /// [`DbError::Shape`].
    pub fn read(row: &mut Row, first: usize) -> Result<Self, DbError> {
        let mut bound = |index: usize| row.optional_text(first + index);
        let bounds = [bound(2)?, bound(3)?, bound(4)?, bound(5)?];
        Ok(Backing {
            scopes: row.text(first)?,
            source: row.text(first + 1)?,
            bounds,
            granted: row.optional_text(first + 6)?,
        })
    }

    /// SQL for the columns of [`Backing::read`], over the row `k`. `cutoff` is that of [`cutoff`].
    pub fn columns(standing: Standing, cutoff: &str) -> String {
        let (owner, source_actor, above) = match standing {
            Standing::Delegation => ("k.delegator_chitty_id", "k.source_actor", ABOVE),
            Standing::Key => ("k.owner_chitty_id", "k.created_by", ["NULL", "NULL"]),
            Standing::Made => ("k.chitty_id", "k.source_actor", ABOVE),
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

    /// What of its scopes still has something to stand on.
    pub fn held(&self) -> Vec<String> {
        let mut backing = list(&self.source);
        for bound in self.bounds.iter().flatten() {
            backing = intersection(&backing, &list(bound));
        }
        backing.extend(self.granted.iter().flat_map(|granted| list(granted)));
        intersection(&list(&self.scopes), &backing)
    }
}
