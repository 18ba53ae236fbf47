//! Deliveries that GitHub made and that never arrived: after an outage, or where a queue has lost what it
//! was handed. GitHub keeps a list of what it delivered; what is on that and not on record here is asked
//! for again.

use crate::app::App;
use crate::github::client::{self, GithubError, HookDelivery};
use crate::github::deliveries;
use crate::init::Ready;
use crate::platform::db::{DbError, Statement, first_row};
use crate::platform::{log, time};

/// How far back GitHub's list is read at most, in ms: as long as GitHub delivers again (three days).
const REACH_MS: u64 = 3 * 24 * 3_600_000;

/// How many pages of 100 one round reads, and how many deliveries it asks for again.
const MAX_PAGES: usize = 20;
const MAX_AGAIN: usize = 100;

/// How often a delivery is made before it is not asked for any more: what is refused five times is
/// refused for a reason, such as a secret that the two sides do not share.
const MAX_ATTEMPTS: usize = 5;

/// How long a round may take, in ms: nobody else begins one meanwhile.
const LEASE_MS: u64 = 300_000;

/// One delivery, with all the attempts at it on GitHub's list.
struct Seen {
    guid: String,
    attempts: usize,
    /// The newest attempt: the one that is repeated.
    id: u64,
    newest_ms: u64,
    oldest_ms: u64,
}

/// Makes a round, when one is due: once a minute at most, in one isolate at a time.
pub async fn round(app: &App, ready: Ready<'_>) {
    if app.config.github.app.is_none() {
        return;
    }
    let from_ms = match begin(app, ready).await {
        Ok(Some(from_ms)) => from_ms,
        Ok(None) => return,
        Err(error) => return log::warn("recovery_not_begun", &[("error", &error.to_string())]),
    };
    let complete_ms = match look(app, ready, from_ms).await {
        Ok(complete_ms) => complete_ms,
        Err(error) => {
            log::warn("recovery_failed", &[("error", &error.to_string())]);
            from_ms
        }
    };
    let end = Statement::new(
        "UPDATE github_recovery SET complete_until = ?1, leased_until = '' WHERE id = 1",
    )
    .bind(time::iso8601(complete_ms));
    if let Err(error) = ready.db().batch(vec![end]).await {
        log::warn("recovery_not_noted", &[("error", &error.to_string())]);
    }
}

/// Takes the turn; from which instant on deliveries may be missing.
async fn begin(app: &App, ready: Ready<'_>) -> Result<Option<u64>, DbError> {
    let now_ms = app.now_ms();
    let first = Statement::new(
        "INSERT INTO github_recovery (id, complete_until) VALUES (1, ?1) ON CONFLICT DO NOTHING",
    )
    .bind(time::iso8601(now_ms.saturating_sub(REACH_MS)));
    let take = Statement::new(
        "UPDATE github_recovery SET leased_until = ?2, next_at = ?3 \
         WHERE id = 1 AND leased_until <= ?1 AND next_at <= ?1 RETURNING complete_until",
    )
    .bind(time::iso8601(now_ms))
    .bind(time::iso8601(now_ms + LEASE_MS))
    .bind(time::iso8601(now_ms + app.config.github_recovery_ms));
    let taken = ready.db().batch(vec![first, take]).await?.pop();
    let Some(mut row) = first_row(taken) else { return Ok(None) };
    let until_ms = time::parse(&row.text(0)?).ok_or(DbError::Shape)?;
    Ok(Some(until_ms.max(now_ms.saturating_sub(REACH_MS))))
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Github(#[from] GithubError),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Compares GitHub's list with the record, and asks for what is missing. Until when nothing is.
async fn look(app: &App, ready: Ready<'_>, from_ms: u64) -> Result<u64, Trouble> {
    // What is younger may be on its way.
    let settled_ms = app.now_ms().saturating_sub(app.config.github_recovery_ms);
    let (list, is_whole) = listed(app, from_ms).await?;
    let ids: Vec<&str> = list.iter().map(|seen| seen.guid.as_str()).collect();
    let on_record = deliveries::on_record(ready, &ids).await?;
    let missing = |seen: &&Seen| !on_record.contains(&seen.guid) && seen.oldest_ms <= settled_ms;
    let mut missing: Vec<&Seen> = list.iter().filter(missing).collect();
    // The oldest first: it is the next to leave GitHub's list.
    missing.sort_by_key(|seen| seen.oldest_ms);
    let (mut complete_ms, mut asked) = (settled_ms, 0);
    for seen in missing {
        if seen.attempts >= MAX_ATTEMPTS {
            let fields = [("delivery_id", seen.guid.as_str())];
            log::error("delivery_never_arrives", &fields);
            continue;
        }
        complete_ms = complete_ms.min(seen.oldest_ms.saturating_sub(1));
        // One that was asked for a moment ago is still on its way.
        if seen.newest_ms > settled_ms || asked >= MAX_AGAIN {
            continue;
        }
        asked += 1;
        log::info("delivery_asked_again", &[("delivery_id", &seen.guid)]);
        client::redeliver(app, seen.id).await?;
    }
    // A list that was cut says nothing of what is older than its end.
    Ok(if is_whole { complete_ms } else { from_ms })
}

/// GitHub's list from an instant on, and whether it was read to that instant.
async fn listed(app: &App, from_ms: u64) -> Result<(Vec<Seen>, bool), GithubError> {
    let mut list: Vec<Seen> = Vec::new();
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let page = client::deliveries(app, cursor.as_deref()).await?;
        for delivery in page.items {
            let at_ms = time::parse(&delivery.delivered_at).unwrap_or_default();
            if at_ms < from_ms {
                return Ok((list, true));
            }
            note(&mut list, delivery, at_ms);
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok((list, true)),
        }
    }
    log::warn("deliveries_list_too_long", &[("kept", &list.len().to_string())]);
    Ok((list, false))
}

fn note(list: &mut Vec<Seen>, delivery: HookDelivery, at_ms: u64) {
    match list.iter_mut().find(|seen| seen.guid == delivery.guid) {
        Some(seen) => {
            seen.attempts += 1;
            seen.oldest_ms = seen.oldest_ms.min(at_ms);
            if at_ms > seen.newest_ms {
                (seen.id, seen.newest_ms) = (delivery.id, at_ms);
            }
        }
        None => list.push(Seen {
            guid: delivery.guid,
            attempts: 1,
            id: delivery.id,
            newest_ms: at_ms,
            oldest_ms: at_ms,
        }),
    }
}
