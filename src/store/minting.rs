//! Minting identities so that none is lost: each has its intent on record before ChittyID is asked.
//!
//! Minting cannot be repeated, taken back or asked about. So the way is: [`MintIntent::record`] with
//! what is read before → [`MintIntent::mint`] → [`MintIntent::fulfilled`] in the batch that puts the id
//! to use, or [`MintIntent::orphaned`]. An intent that is still there after a while was perhaps minted
//! for and nobody knows: [`report_unfulfilled`] tells so. Its id went to ChittyID as the idempotency key
//! and in the metadata, so that the authority finds the identity.

use chitty_core::{ChittyId, EntityLabel, MintRequest, ServiceError, Session};
use seams::db::{DbError, Params, Row, Statement, first_row};
use seams::{ids, log, time};
use serde_json::{Value, json};

use crate::app::App;
use crate::store::event::{Event, EventKind};
use crate::store::{Ready, outbox};

/// After what time an intent that is not fulfilled is reported, in ms: longer than any request lives.
const UNFULFILLED_MS: u64 = 10 * 60_000;

/// How many of them one round of the cron reports: of those that were attempted once, and of the others.
const REPORT_LIMIT: i64 = 25;

/// An identity that is to be minted.
#[derive(Debug, Clone)]
pub struct MintIntent {
    id: String,
    purpose: &'static str,
    actor: String,
    at: String,
    /// Whether an attempt before this one may have minted too, and stays to be reported.
    is_repeat: bool,
    /// Whether several attempts may be open at once under the same id, which the row counts.
    is_counted: bool,
    /// How long the mint may take, in ms, where that is not a call's deadline.
    timeout_ms: Option<u32>,
}

/// How many deadlines of a call a mint may take that nobody waits for: giving up on one that would have
/// been answered costs an identity.
const PATIENCE: u32 = 3;

/// How long after its last attempt an intent that is attempted again and again is left alone, in ms:
/// longer than the pauses between the attempts.
const ATTEMPTED_AGAIN_MS: u64 = 2 * 3_600_000;

impl MintIntent {
    /// For a purpose (such as `context`) of an actor, now.
    pub fn new(app: &App, purpose: &'static str, actor: &str) -> Self {
        let now_ms = app.now_ms();
        let id = format!("mnt_{}", ids::uuid_v7(now_ms));
        let (actor, at) = (actor.to_owned(), time::iso8601(now_ms));
        MintIntent { id, purpose, actor, at, is_repeat: false, is_counted: false, timeout_ms: None }
    }

    /// For what an actor asks for under an idempotency key: every request with the key is an attempt under
    /// one intent, so that an authority which recognises repeats answers all of them with one identity. The
    /// row counts the attempts of which nobody knows what has come.
    pub fn keyed(app: &App, purpose: &'static str, actor: &str, key: &str) -> Self {
        let of = ids::sha256_hex(&format!("{actor}\n{key}"));
        let id = format!("mnt_{purpose}_{}", of.get(..32).unwrap_or_default());
        MintIntent { id, is_counted: true, ..MintIntent::new(app, purpose, actor) }
    }

    /// For what is attempted again until it has its identity, such as a delivery: every attempt is under
    /// one intent, which goes on record here, in one transaction behind `guards`. If an attempt before this
    /// may have minted, that is reported once, after the last.
    ///
    /// # Errors
    /// When the database does not answer, or a guard fails; then nothing may be minted.
    pub async fn attempted(
        app: &App,
        ready: Ready<'_>,
        purpose: &'static str,
        of: &str,
        guards: Vec<Statement>,
    ) -> Result<Self, DbError> {
        let at = time::iso8601(app.now_ms() + ATTEMPTED_AGAIN_MS);
        let (id, actor) = (format!("mnt_{purpose}_{of}"), "github:app".to_owned());
        let record = Statement::new(
            "INSERT INTO mint_intents (intent_id, purpose, actor_id, created_at, attempts) \
             VALUES (?1, ?2, ?3, ?4, 1) ON CONFLICT (intent_id) DO UPDATE \
             SET created_at = excluded.created_at, attempts = attempts + 1 RETURNING attempts",
        )
        .bind(id.as_str())
        .bind(purpose)
        .bind(actor.as_str())
        .bind(at.as_str());
        let mut batch = guards;
        batch.push(record);
        let row = first_row(ready.db().batch(batch).await?.pop());
        let is_repeat = row.ok_or(DbError::Shape)?.integer(0)? > 1;
        let timeout_ms = Some(MintIntent::longest_attempt_ms(app));
        Ok(MintIntent { id, purpose, actor, at, is_repeat, is_counted: false, timeout_ms })
    }

    /// How long the mint of [`MintIntent::attempted`] takes at most, in ms.
    pub fn longest_attempt_ms(app: &App) -> u32 {
        PATIENCE.saturating_mul(app.config.upstream_timeout_ms)
    }

    /// The row of the intent, which must be there before anything is minted.
    pub fn record(&self) -> Statement {
        self.record_if(Params::default(), "1")
    }

    /// The same, where a condition holds whose placeholders are in `params`. Returns a row if it was
    /// written.
    pub fn record_if(&self, mut params: Params, condition: &str) -> Statement {
        let values = [self.id.as_str(), self.purpose, self.actor.as_str(), self.at.as_str()];
        let values = values.map(|value| params.add(value)).join(", ");
        let again = match self.is_counted {
            true => {
                "ON CONFLICT (intent_id) DO UPDATE SET created_at = excluded.created_at, \
                 attempts = attempts + 1"
            }
            false => "",
        };
        params.statement(format!(
            "INSERT INTO mint_intents (intent_id, purpose, actor_id, created_at) \
             SELECT {values} WHERE {condition} {again} RETURNING intent_id"
        ))
    }

    /// Forgets the intent; for the batch that puts the id to use. Where an attempt before this may have
    /// minted too it stays, to be reported.
    pub fn fulfilled(&self) -> Statement {
        let sql = match self.is_counted {
            // The last one of them takes the row with it: see `migrations/0024…`.
            true => "UPDATE mint_intents SET attempts = attempts - 1 WHERE intent_id = ?1",
            false => "DELETE FROM mint_intents WHERE intent_id = ?1 AND attempts = 1",
        };
        Statement::new(sql).bind(self.id.as_str())
    }

    /// Mints the identity. The metadata must be a JSON object without personal data. Where ChittyID
    /// certainly has minted nothing, the intent is forgotten.
    ///
    /// # Errors
    /// What ChittyID said.
    pub async fn mint(
        &self,
        app: &App,
        ready: Ready<'_>,
        session: &Session,
        label: EntityLabel,
        mut metadata: Value,
    ) -> Result<ChittyId, ServiceError> {
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("intent".to_owned(), self.id.as_str().into());
        }
        let wanted = MintRequest {
            label,
            metadata,
            timestamp: time::iso8601(app.now_ms()),
            idempotency_key: Some(self.id.clone()),
            timeout_ms: self.timeout_ms,
        };
        let minted = session.id().mint(&wanted).await;
        if !self.is_repeat && matches!(&minted, Err(error) if !error.may_have_had_its_effect()) {
            self.withdraw(ready).await;
        }
        minted
    }

    /// Forgets an intent for which nothing was minted. Where that fails it is reported in vain.
    pub async fn withdraw(&self, ready: Ready<'_>) {
        if let Err(error) = ready.db().batch(vec![self.fulfilled()]).await {
            log::warn("mint_intent_kept", &[("error", &error.to_string())]);
        }
    }

    /// Reports that the minted id is not used.
    pub async fn orphaned(&self, app: &App, ready: Ready<'_>, id: &ChittyId, reason: &str) {
        let actor = if self.actor.is_empty() { id.as_str() } else { &self.actor };
        outbox::report_orphan(app, ready, id, actor, reason, vec![self.fulfilled()]).await;
    }
}

/// The intents that are older than `?1`, at most `?2` of each of two sorts: those whose ids begin with their
/// time, where the first ids are the oldest, and those that are named after what they are for (see
/// `migrations/0032…`).
const UNFULFILLED: &str = "SELECT * FROM (SELECT intent_id, purpose, actor_id, created_at \
     FROM mint_intents WHERE intent_id < 'mnt_1' ORDER BY intent_id LIMIT ?2) WHERE created_at <= ?1 \
     UNION ALL SELECT * FROM (SELECT intent_id, purpose, actor_id, created_at \
     FROM mint_intents WHERE intent_id >= 'mnt_1' AND created_at <= ?1 \
     ORDER BY created_at LIMIT ?2)";

/// Reports the intents that nothing has come of: an identity may have been minted that nobody knows.
/// Bounded; what is left the next round reports.
///
/// # Errors
/// When the database does not answer; nothing is lost by that.
pub async fn report_unfulfilled(app: &App, ready: Ready<'_>) -> Result<usize, DbError> {
    let now_ms = app.now_ms();
    let query = Statement::new(UNFULFILLED)
        .bind(time::iso8601(now_ms.saturating_sub(UNFULFILLED_MS)))
        .bind(REPORT_LIMIT);
    let mut statements = Vec::new();
    let mut events = Vec::new();
    for row in ready.db().rows(query).await? {
        let (event, report) = report(row, now_ms, app.config.outbox_overdue_ms)?;
        statements.extend(report);
        events.push(event);
    }
    if events.is_empty() {
        return Ok(0);
    }
    let results = ready.db().batch(statements).await?;
    // What another isolate has reported is not told again: every other result is an event's.
    let written = results.into_iter().step_by(2).map(|rows| !rows.is_empty());
    let told: Vec<Event> =
        events.into_iter().zip(written).filter_map(|(event, is)| is.then_some(event)).collect();
    let count = told.len();
    if count > 0 {
        log::warn("identities_in_doubt", &[("count", &count.to_string())]);
        outbox::announce(app, told).await;
    }
    Ok(count)
}

/// The report of one intent: its event, written only while the intent is there, and its end.
fn report(mut row: Row, now_ms: u64, overdue_ms: u64) -> Result<(Event, [Statement; 2]), DbError> {
    let (id, purpose) = (row.text(0)?, row.text(1)?);
    let (actor, at) = (row.text(2)?, row.text(3)?);
    let payload = json!({
        "reason": "mint_not_settled", "in_doubt": true, "intent": id, "purpose": purpose,
        "intended_at": at,
    });
    let actor = if actor.is_empty() { &id } else { &actor };
    let event = Event::new(now_ms, EventKind::IdentityOrphaned, &id, actor, payload, None);
    let told = intended_row(&event, overdue_ms);
    let end = Statement::new("DELETE FROM mint_intents WHERE intent_id = ?1").bind(id);
    Ok((event, [told, end]))
}

/// The row of the event that an identity may have been minted that nobody knows, written only while its
/// intent is there. Returns a row if it was.
fn intended_row(event: &Event, overdue_ms: u64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM mint_intents WHERE intent_id = ?4) RETURNING event_id";
    outbox::insert_if(event, overdue_ms, condition)
}
