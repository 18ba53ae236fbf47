//! The rule of delegation: a credential that a caller makes carries at most the scopes that the
//! caller holds, ends no later than the credential that made it, and depends on that credential.
//!
//! Every credential is made with a [`Grant`], and the only way to get one is to narrow the caller's
//! own authority.

use http_kit::problem::Problem;
use seams::db::Statement;
use seams::time;

use super::identity::Credential;
use super::scope::Scope;
use super::scopes::{holds, intersection};
use super::standing::Source;
use crate::store::Ready;

/// The part of a caller's authority that is handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    scopes: Vec<String>,
    ends_ms: Option<u64>,
    source: Source,
}

impl Grant {
    /// Returns all that a caller may hand on, as far as the isolate's cache knows.
    pub fn of(scope: &Scope) -> Self {
        let (token, secret) = match scope.credential() {
            Credential::Token { sha256, .. } => (Some(sha256.clone()), None),
            Credential::Key { sha256, .. } => (None, Some(sha256.clone())),
            Credential::Delegation { .. } => (None, None),
        };
        let scopes = scope.held_scopes();
        let source = Source {
            actor: scope.actor().to_owned(),
            token,
            secret,
            scopes: match scope.credential() {
                Credential::Token { .. } => scope.carried_scopes().to_vec(),
                _ => scopes.clone(),
            },
        };
        Grant { scopes, ends_ms: scope.ends_ms(), source }
    }

    /// Narrows the grant to the scopes that were asked for.
    ///
    /// # Errors
    /// The first scope that the grant does not hold.
    pub fn narrowed(self, asked: &[String]) -> Result<Self, String> {
        match asked.iter().find(|scope| !holds(&self.scopes, scope)) {
            Some(more) => Err(more.clone()),
            None => Ok(Grant { scopes: asked.to_vec(), ..self }),
        }
    }

    /// Narrows the grant to those of its scopes that `scopes` also hold.
    #[must_use]
    pub fn within(self, scopes: &[String]) -> Self {
        Grant { scopes: intersection(&self.scopes, scopes), ..self }
    }

    /// Ends the grant at `ms` (since the Unix epoch) at the latest.
    #[must_use]
    pub fn until(self, ms: u64) -> Self {
        Grant { ends_ms: Some(self.ends_ms.map_or(ms, |ends_ms| ends_ms.min(ms))), ..self }
    }

    /// The scopes that it carries.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// When it ends, in ms since the Unix epoch; `None` if no end of its credential is known.
    pub fn ends_ms(&self) -> Option<u64> {
        self.ends_ms
    }

    /// The credential on which it depends.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the grant if the caller holds all of it at this moment, ended no later than the
    /// caller's credential ends according to the database. For credentials that are made at other
    /// services, where nothing checks them again.
    ///
    /// # Errors
    /// 401, 403; storage failures.
    pub async fn confirmed(mut self, ready: Ready<'_>, scope: &Scope) -> Result<Self, Problem> {
        for one in self.scopes.clone() {
            let rows = scope.demanding(&one).rows(ready, end_of(scope)).await?;
            let end =
                rows.into_iter().next().map(|mut row| row.optional_text("ends_at")).transpose()?;
            if let Some(ms) = end.flatten().as_deref().and_then(time::parse) {
                self = self.until(ms);
            }
        }
        Ok(self)
    }
}

/// Returns the query for when the credential of a caller ends, according to the database.
fn end_of(scope: &Scope) -> Statement {
    match scope.credential() {
        Credential::Token { .. } => Statement::new("SELECT NULL AS ends_at WHERE 0"),
        Credential::Delegation { sha256, .. } => {
            Statement::new("SELECT expires_at AS ends_at FROM delegations WHERE token_sha256 = ?1")
                .bind(sha256.as_str())
        }
        Credential::Key { sha256, .. } => Statement::new(
            "SELECT min(ifnull(k.expires_at, '9999'), ifnull(s.valid_until, '9999')) AS ends_at \
             FROM key_secrets AS s JOIN keys AS k USING (key_id) WHERE s.secret_sha256 = ?1",
        )
        .bind(sha256.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::scopes::{Permission, tests::scope};
    use super::*;

    const PERMISSIONS: [Permission; 7] = [
        Permission::ContextsRead,
        Permission::ContextsWrite,
        Permission::KeysRead,
        Permission::KeysWrite,
        Permission::ActorsAdmin,
        Permission::EcosystemAdmin,
        Permission::OrchestrationsWrite,
    ];

    fn whole(scopes: Vec<String>, ends_ms: Option<u64>) -> Grant {
        let source =
            Source { actor: "CHITTY-PEO-a".to_owned(), token: None, secret: None, scopes: vec![] };
        Grant { scopes, ends_ms, source }
    }

    #[derive(Debug, Clone)]
    enum Narrowing {
        To(Vec<String>),
        Within(Vec<String>),
        Until(u64),
    }

    fn narrowing() -> impl Strategy<Value = Narrowing> {
        let scopes = || proptest::collection::vec(scope(), 0..4);
        prop_oneof![
            scopes().prop_map(Narrowing::To),
            scopes().prop_map(Narrowing::Within),
            (0_u64..200).prop_map(Narrowing::Until),
        ]
    }

    proptest! {
        #[test]
        fn a_narrowed_grant_never_gains_anything(
            held in proptest::collection::vec(scope(), 0..5),
            ends_ms in proptest::option::of(0_u64..200),
            narrowings in proptest::collection::vec(narrowing(), 0..6),
        ) {
            let first = whole(held, ends_ms);
            let mut grant = first.clone();
            for one in narrowings {
                let before = grant.clone();
                grant = match one {
                    Narrowing::To(asked) => match grant.narrowed(&asked) {
                        Ok(narrower) => narrower,
                        Err(more) => {
                            prop_assert!(!holds(before.scopes(), &more));
                            before.clone()
                        }
                    },
                    Narrowing::Within(scopes) => {
                        let within = grant.within(&scopes);
                        prop_assert!(within.scopes().iter().all(|one| holds(&scopes, one)));
                        within
                    }
                    Narrowing::Until(ms) => {
                        let until = grant.until(ms);
                        prop_assert!(until.ends_ms().is_some_and(|ends_ms| ends_ms <= ms));
                        until
                    }
                };
                for permission in PERMISSIONS {
                    prop_assert!(
                        !permission.is_granted_by(grant.scopes())
                            || permission.is_granted_by(before.scopes()),
                        "{permission:?} of {before:?} by {grant:?}"
                    );
                }
                let lives_longer = match (before.ends_ms(), grant.ends_ms()) {
                    (Some(before), Some(after)) => after > before,
                    (Some(_), None) => true,
                    (None, _) => false,
                };
                prop_assert!(!lives_longer, "{grant:?} of {before:?}");
            }
            for scope in grant.scopes() {
                prop_assert!(holds(first.scopes(), scope), "{scope} of {first:?}");
            }
            prop_assert_eq!(grant.source(), first.source());
        }
    }
}
