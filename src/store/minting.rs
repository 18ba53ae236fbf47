//! Minting identities such that none is lost: the intent of each is recorded before ChittyID is called.
//!
//! A mint cannot be repeated safely, undone or looked up afterwards. So the steps are:
//! [`MintIntent::record`] in the same round trip as the checks → [`MintIntent::mint`] →
//! [`MintIntent::fulfil`] in the batch that stores the id, or [`MintIntent::report_orphan`]. If an intent is
//! still there after a while, ChittyID may have minted an identity that nobody knows:
//! [`report_unfulfilled`] reports it. The call to ChittyID carries the intent's id as the idempotency key
//! and in the metadata, so that the authority can find the identity.

use chitty_core::{ChittyId, EntityLabel, MintRequest, ServiceError, Session};
use seams::db::{DbError, Params, Row, Statement, first_row};
use seams::{ids, log, time};
use serde_json::{Value, json};

use crate::app::App;
use crate::store::event::{Event, EventKind};
use crate::store::{Ready, outbox};

/// The age at which an unfulfilled intent is reported, in ms: longer than any request lives.
const UNFULFILLED_MS: u64 = 10 * 60_000;

/// How many intents of each of two sorts one round of the cron reports (see [`UNFULFILLED`]).
const REPORT_LIMIT: i64 = 25;

/// The intent to mint an identity.
#[derive(Debug, Clone)]
pub struct MintIntent {
    id: String,
    purpose: &'static str,
    actor: String,
    at: String,
    /// Whether an earlier attempt may have minted too; then the row stays and is reported.
    is_repeat: bool,
    /// Whether several attempts may be open at once under this id; then the row counts them.
    is_counted: bool,
    /// How long the mint may take, in ms; `None` for the usual deadline of a call.
    timeout_ms: Option<u32>,
}

/// How many call deadlines a mint in the background may take: giving up on a mint that ChittyID would still
/// have answered costs an identity.
const PATIENCE: u32 = 3;

/// How much longer than [`UNFULFILLED_MS`] an intent of [`MintIntent::attempted`] stays unreported after its
/// last attempt, in ms: longer than the pauses between the attempts.
const ATTEMPTED_AGAIN_MS: u64 = 2 * 3_600_000;

impl MintIntent {
    /// An intent of an actor, made now, for one attempt. `purpose` names what the identity is for, such as
    /// `context`.
    pub fn new(app: &App, purpose: &'static str, actor: &str) -> Self {
        let now_ms = app.now_ms();
        let id = format!("mnt_{}", ids::uuid_v7(now_ms));
        let (actor, at) = (actor.to_owned(), time::iso8601(now_ms));
        MintIntent { id, purpose, actor, at, is_repeat: false, is_counted: false, timeout_ms: None }
    }

    /// An intent for a request with an idempotency key. Every request with the key is an attempt under one
    /// intent, so that an authority that recognises repeats answers all of them with the same identity. The
    /// row counts the open attempts: those whose result is not known.
    pub fn keyed(app: &App, purpose: &'static str, actor: &str, key: &str) -> Self {
        let of = ids::sha256_hex(&format!("{actor}\n{key}"));
        let id = format!("mnt_{purpose}_{}", of.get(..32).unwrap_or_default());
        MintIntent { id, is_counted: true, ..MintIntent::new(app, purpose, actor) }
    }

    /// An intent for work that is retried until it has its identity, such as a delivery. All attempts share
    /// one intent, named after `of`. This function records it, in one transaction after `guards`. If an
    /// earlier attempt may have minted, that is reported once, after the last attempt.
    ///
    /// # Errors
    /// When the database does not answer, or a guard fails; then the caller must not mint.
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
        let is_repeat = row.ok_or(DbError::Shape)?.integer("attempts")? > 1;
        let timeout_ms = Some(MintIntent::longest_attempt_ms(app));
        Ok(MintIntent { id, purpose, actor, at, is_repeat, is_counted: false, timeout_ms })
    }

    /// The longest time that a mint of [`MintIntent::attempted`] takes, in ms.
    pub fn longest_attempt_ms(app: &App) -> u32 {
        PATIENCE.saturating_mul(app.config.upstream_timeout_ms)
    }

    /// Inserts the row of the intent. It must be committed before [`MintIntent::mint`] is called.
    pub fn record(&self) -> Statement {
        self.record_if(Params::default(), "1")
    }

    /// Inserts the row of the intent if an SQL condition holds, whose placeholders are in `params`. The
    /// statement returns a row if it wrote one.
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

    /// Settles this attempt; for the batch that stores the id. The statement deletes the intent, unless other
    /// attempts are open, or an earlier one may have minted too: then the intent stays to be reported.
    pub fn fulfil(&self) -> Statement {
        let sql = match self.is_counted {
            // A trigger deletes the row when no attempt is open: see `migrations/0024…`.
            true => "UPDATE mint_intents SET attempts = attempts - 1 WHERE intent_id = ?1",
            false => "DELETE FROM mint_intents WHERE intent_id = ?1 AND attempts = 1",
        };
        Statement::new(sql).bind(self.id.as_str())
    }

    /// Has ChittyID mint the identity. `metadata` must be a JSON object without personal data. If it is
    /// certain that ChittyID minted nothing, this withdraws the intent, unless an earlier attempt may have
    /// minted.
    ///
    /// # Errors
    /// The failure of the call to ChittyID.
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

    /// Settles an attempt that minted nothing. If the database does not answer, the intent is reported
    /// although no identity is lost.
    pub async fn withdraw(&self, ready: Ready<'_>) {
        if let Err(error) = ready.db().batch(vec![self.fulfil()]).await {
            log::warn("mint_intent_kept", &[("error", &error.to_string())]);
        }
    }

    /// Reports that the minted id is not used, and settles this attempt.
    pub async fn report_orphan(&self, app: &App, ready: Ready<'_>, id: &ChittyId, reason: &str) {
        let actor = if self.actor.is_empty() { id.as_str() } else { &self.actor };
        outbox::report_orphan(app, ready, id, actor, reason, vec![self.fulfil()]).await;
    }
}

/// The intents that are older than `?1`, at most `?2` of each of two sorts: those whose ids begin with their
/// time, so that the lowest ids are the oldest, and those whose ids name their purpose (see
/// `migrations/0031…`).
const UNFULFILLED: &str = "SELECT * FROM (SELECT intent_id, purpose, actor_id, created_at \
     FROM mint_intents WHERE intent_id < 'mnt_1' ORDER BY intent_id LIMIT ?2) WHERE created_at <= ?1 \
     UNION ALL SELECT * FROM (SELECT intent_id, purpose, actor_id, created_at \
     FROM mint_intents WHERE intent_id >= 'mnt_1' AND created_at <= ?1 \
     ORDER BY created_at LIMIT ?2)";

/// Reports unfulfilled intents, for each of which ChittyID may have minted an identity that nobody knows,
/// and deletes them. Returns how many it reported. Bounded; the next round reports the rest.
///
/// # Errors
/// When the database does not answer; the next round tries again.
pub async fn report_unfulfilled(app: &App, ready: Ready<'_>) -> Result<usize, DbError> {
    // 1. Read the intents that are too old.
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
    // 2. Write the event of each intent and delete the intent, in one batch.
    let results = ready.db().batch(statements).await?;
    // Every other result is that of an event's insertion. It is empty if another isolate has reported the
    // intent; then the event is not announced.
    let written = results.into_iter().step_by(2).map(|rows| !rows.is_empty());
    let events: Vec<Event> =
        events.into_iter().zip(written).filter_map(|(event, is)| is.then_some(event)).collect();
    // 3. Announce the events that this isolate has written.
    let count = events.len();
    if count > 0 {
        log::warn("identities_in_doubt", &[("count", &count.to_string())]);
        outbox::announce(app, events).await;
    }
    Ok(count)
}

/// Returns the event that reports one intent, and the statements that write the event, if the intent is
/// still there, and delete the intent.
fn report(mut row: Row, now_ms: u64, overdue_ms: u64) -> Result<(Event, [Statement; 2]), DbError> {
    let (id, purpose) = (row.text("intent_id")?, row.text("purpose")?);
    let (actor, at) = (row.text("actor_id")?, row.text("created_at")?);
    let payload = json!({
        "reason": "mint_not_settled", "in_doubt": true, "intent": id, "purpose": purpose,
        "intended_at": at,
    });
    let actor = if actor.is_empty() { &id } else { &actor };
    let event = Event::new(now_ms, EventKind::IdentityOrphaned, &id, actor, payload, None);
    let insert = insert_report(&event, overdue_ms);
    let delete = Statement::new("DELETE FROM mint_intents WHERE intent_id = ?1").bind(id);
    Ok((event, [insert, delete]))
}

/// Inserts the event that reports an intent, if the intent is still there. The statement returns a row if it
/// wrote one.
fn insert_report(event: &Event, overdue_ms: u64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM mint_intents WHERE intent_id = ?4) RETURNING event_id";
    outbox::insert_if(event, overdue_ms, condition)
}
