//! The renewed credentials that could not be written yet.
//!
//! The old refresh token of such a credential may be used up, so the isolate keeps the new one in memory and
//! tries again to write it: before each use of the connection, and in each run of the cron. It is written only
//! in place of the version that it replaces. If the row has another version by then, the kept credential
//! is revoked.

use std::cell::RefCell;
use std::collections::BTreeMap;

use seams::db::{DbError, Statement, first_row};
use seams::log;

use crate::app::{App, Slot};
use crate::connections::credential::Oauth;
use crate::connections::secrets::abandon;
use crate::connections::store::SealedCredential;
use crate::store::Ready;
use crate::store::ids::ConnectionId;

/// The most unwritten credentials that an isolate keeps.
const MAX_UNWRITTEN: usize = 64;

/// A renewed credential that is not in the database yet.
#[derive(Clone)]
pub(super) struct UnwrittenRenewal {
    /// The version that it replaces.
    pub(super) version: i64,
    pub(super) oauth: Oauth,
    pub(super) sealed: SealedCredential,
}

/// The credentials that this isolate has renewed and could not write, by connection.
#[derive(Default)]
pub struct UnwrittenRenewals(RefCell<BTreeMap<ConnectionId, UnwrittenRenewal>>);

impl Slot for UnwrittenRenewals {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl UnwrittenRenewals {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn put(&self, id: &ConnectionId, renewed: UnwrittenRenewal) {
        let mut held = self.0.borrow_mut();
        if held.len() < MAX_UNWRITTEN {
            held.insert(id.clone(), renewed);
        }
    }

    fn get(&self, id: &ConnectionId) -> Option<UnwrittenRenewal> {
        self.0.borrow().get(id).cloned()
    }

    fn remove(&self, id: &ConnectionId, version: i64) {
        let mut held = self.0.borrow_mut();
        if held.get(id).is_some_and(|unwritten| unwritten.version == version) {
            held.remove(id);
        }
    }
}

impl UnwrittenRenewal {
    /// Writes the credential in place of the version that it replaces. That may also happen after the end of
    /// the lease, as long as the row still has that version. Returns whether the row has the credential in
    /// the end, which is also true if an earlier write took place and its answer was lost.
    pub(super) async fn write(
        &self,
        app: &App,
        ready: Ready<'_>,
        id: &ConnectionId,
        pauses_ms: &[u64],
    ) -> Result<bool, DbError> {
        let put = Statement::new(
            "UPDATE connection_secrets SET sealed = ?3, expires_at = ?4, \
             version = version + 1, leased_until = '', in_doubt = 0 \
             WHERE connection_id = ?1 AND version = ?2",
        )
        .bind(id)
        .bind(self.version)
        .bind(self.sealed.text.as_str())
        .bind(self.sealed.expires_at.as_deref());
        let look = Statement::new(
            "SELECT 1 AS written FROM connection_secrets WHERE connection_id = ?1 AND sealed = ?2",
        )
        .bind(id)
        .bind(self.sealed.text.as_str());
        let mut pauses = pauses_ms.iter();
        loop {
            let error = match ready.db().batch(vec![put.clone(), look.clone()]).await {
                Ok(results) => return Ok(first_row(results.into_iter().nth(1)).is_some()),
                Err(error) => error,
            };
            let Some(pause_ms) = pauses.next() else { return Err(error) };
            app.sleep(*pause_ms).await;
        }
    }
}

/// Tries again to write the credential that this isolate has renewed for a connection and could not write.
/// Returns the credential if it still cannot be written.
pub(super) async fn write_again(
    app: &App,
    ready: Ready<'_>,
    id: &ConnectionId,
) -> Option<UnwrittenRenewal> {
    let unwritten = UnwrittenRenewals::of(app).get(id)?;
    match unwritten.write(app, ready, id, &[]).await {
        Ok(is_there) => {
            UnwrittenRenewals::of(app).remove(id, unwritten.version);
            if !is_there {
                abandon(app, ready, id, &unwritten.sealed.text).await;
            }
            None
        }
        Err(error) => {
            log::warn("renewed_credential_unwritten", &[("error", &error.to_string())]);
            Some(unwritten)
        }
    }
}

/// Tries again to write all unwritten credentials of this isolate; the cron runs it.
pub async fn write_all_again(app: &App, ready: Ready<'_>) {
    let ids: Vec<ConnectionId> = UnwrittenRenewals::of(app).0.borrow().keys().cloned().collect();
    for id in ids {
        write_again(app, ready, &id).await;
    }
}
