//! Quotas: how many things of a kind one actor may have at a time.
//!
//! The transaction that makes a thing asserts that there is room for it ([`Quota::assertion`]), so two
//! requests cannot both take the last place. A creation that has effects elsewhere also asks before those
//! effects ([`Quota::question`]), in a round trip that it makes anyway. Reads do not check quotas.

use http_kit::problem::Problem;
use seams::db::{DbError, Params, Row, Statement};

use crate::access::caller::Scope;
pub use crate::access::quota_kind::QuotaKind;
use crate::access::quota_kind::{Count, QuotaRules};
use crate::app::Settings;
use crate::config::{Config, Reader};
use crate::store::ids::ConnectionId;

/// The usual quotas of an actor, in the order of [`QuotaKind::ALL`]; 0 is no quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas([u32; QuotaKind::ALL.len()]);

impl Settings for Quotas {
    fn read(_: &Config, reader: &mut Reader) -> Self {
        let mut quotas = [0; QuotaKind::ALL.len()];
        for (quota, kind) in quotas.iter_mut().zip(QuotaKind::ALL) {
            let QuotaRules { setting, usual, .. } = kind.rules();
            *quota = reader.small_number(setting, usual, 0, 1_000_000);
        }
        Quotas(quotas)
    }
}

impl Quotas {
    /// The caller's quota at the instant `now` (ISO-8601 UTC).
    pub fn of_caller(&self, kind: QuotaKind, scope: &Scope, now: &str) -> Quota {
        self.quota(kind, scope.actor(), scope.overrides().quota(kind), now)
    }

    /// The quota of `owner`, for whom the caller makes something, at the instant `now` (ISO-8601
    /// UTC). The limits that an operator has set apply only if `owner` is the caller.
    pub fn of_owner(&self, kind: QuotaKind, owner: &str, scope: &Scope, now: &str) -> Quota {
        match owner == scope.actor() {
            true => self.of_caller(kind, scope, now),
            false => self.quota(kind, owner, None, now),
        }
    }

    fn quota(&self, kind: QuotaKind, owner: &str, set: Option<u32>, now: &str) -> Quota {
        let usual = self.0.get(kind as usize).copied().unwrap_or_default();
        let most = i64::from(set.unwrap_or(usual));
        Quota { kind, owner: owner.to_owned(), most, now: now.to_owned(), except: None }
    }
}

/// The quota of one actor for one kind.
#[derive(Debug, Clone)]
pub struct Quota {
    kind: QuotaKind,
    owner: String,
    most: i64,
    now: String,
    except: Option<ConnectionId>,
}

impl Quota {
    /// The same quota for a change of the existing connection `id`, which needs no room if the cron
    /// checks that connection already.
    #[must_use]
    pub fn for_connection(self, id: &ConnectionId) -> Self {
        Quota { except: Some(id.clone()), ..self }
    }

    /// SQL for whether the owner has more than `most`; adds its placeholders to `params`.
    fn more_than(&self, most: i64, params: &mut Params) -> String {
        let (owner, most) = (params.add(self.owner.as_str()), params.add(most));
        let mut of_owner = |rows: &str| {
            let rows = rows.replace("{owner}", &owner);
            match rows.contains("{now}") {
                true => rows.replace("{now}", &params.add(self.now.as_str())),
                false => rows,
            }
        };
        match self.kind.rules().count {
            Count::Total(column, rows) => {
                format!("ifnull((SELECT {column} FROM {}), 0) > {most}", of_owner(rows))
            }
            // Counts no further than `most + 1`.
            Count::Rows(rows) => {
                let rows = of_owner(rows);
                format!("(SELECT count(*) FROM (SELECT 1 FROM {rows} LIMIT {most} + 1)) > {most}")
            }
        }
    }

    /// SQL for whether there is no room for one more; adds its placeholders to `params`.
    pub fn is_full(&self, params: &mut Params) -> String {
        if self.most == 0 {
            return "FALSE".to_owned();
        }
        let full = self.more_than(self.most - 1, params);
        let Some(id) = &self.except else { return format!("({full})") };
        let id = params.add(id);
        format!(
            "({full} AND EXISTS (SELECT 1 FROM connections WHERE connection_id = {id} \
             AND check_path IS NULL))"
        )
    }

    /// Returns the query for whether there is no room for one more; [`Quota::judge`] reads its rows.
    pub fn question(&self) -> Statement {
        let mut params = Params::default();
        let full = self.is_full(&mut params);
        params.statement(format!("SELECT {full} AS is_full"))
    }

    /// Judges the rows of [`Quota::question`].
    ///
    /// # Errors
    /// 403 when there is no room.
    pub fn judge(&self, rows: &[Row]) -> Result<(), Problem> {
        match rows.first().ok_or(DbError::Shape)?.flag("is_full")? {
            false => Ok(()),
            true => Err(Problem::over_quota(self.kind.rules().advice)),
        }
    }

    /// Returns a statement that fails its transaction if the transaction has made one too many;
    /// `None` if there is no quota. It belongs at the end, so that any other failure of the
    /// transaction is reported first.
    pub fn assertion(&self) -> Option<Statement> {
        if self.most == 0 {
            return None;
        }
        let mut params = Params::default();
        let over = self.more_than(self.most, &mut params);
        let column = self.kind.as_str();
        let sql = format!("INSERT INTO quota_assertions ({column}) SELECT 0 WHERE {over}");
        Some(params.statement(sql))
    }
}

/// The problem for the failure of a batch that may assert quotas: if a quota is used up, 403 with the advice for
/// its kind.
pub fn problem(error: &DbError) -> Problem {
    let DbError::OverQuota(constraint) = error else { return Problem::storage(error) };
    let name = constraint.trim_start_matches("quota_");
    match QuotaKind::ALL.iter().find(|kind| kind.as_str() == name) {
        Some(kind) => Problem::over_quota(kind.rules().advice),
        None => Problem::storage(error),
    }
}
