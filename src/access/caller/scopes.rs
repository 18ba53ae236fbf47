//! Scopes, which say what a credential may do, and the permissions that routes require.
//!
//! A scope is a pattern over `resource:action`: `contexts:read` itself, `contexts:*` (every action
//! on contexts except `contexts:admin`), the broad `read` and `write` (that action on every
//! resource), and an administrator's `admin`, `admin:*`, `*` or `*:*`. Writing does not include
//! reading. Any other word that a service uses as a scope means only itself here.

use std::borrow::Cow;
use std::collections::HashSet;

use http_kit::nearest::{nearest, slips};
use seams::log;

macro_rules! permissions {
    ($($(#[doc = $doc:literal])+ $name:ident = $scope:literal;)+) => {
        /// A permission that a route requires of a credential.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Permission { $($(#[doc = $doc])+ $name,)+ }

        impl Permission {
            /// Every permission.
            pub const ALL: &[Permission] = &[$(Permission::$name,)+];

            /// The narrowest scope that grants it.
            pub fn as_str(self) -> &'static str {
                match self { $(Permission::$name => $scope,)+ }
            }
        }
    };
}

permissions! {
    /// Seeing one's contexts.
    ContextsRead = "contexts:read";
    /// Making, changing and deleting one's contexts.
    ContextsWrite = "contexts:write";
    /// Seeing actors.
    ActorsRead = "actors:read";
    /// Registering and describing oneself.
    ActorsWrite = "actors:write";
    /// Listing actors and granting capabilities: administrators only.
    ActorsAdmin = "actors:admin";
    /// Seeing and using one's connections, to read at their targets.
    ConnectionsRead = "connections:read";
    /// Making and changing one's connections, and using them to write at their targets.
    ConnectionsWrite = "connections:write";
    /// Seeing one's delegations.
    DelegationsRead = "delegations:read";
    /// Making and revoking delegations.
    DelegationsWrite = "delegations:write";
    /// Seeing one's API keys.
    KeysRead = "keys:read";
    /// Making, rotating and revoking one's API keys.
    KeysWrite = "keys:write";
    /// Seeing what one has done and what was done to oneself, in the audit record.
    AuditRead = "audit:read";
    /// Verifying the audit record of all actors: administrators only.
    AuditAdmin = "audit:admin";
    /// Seeing what has happened to one's entities.
    EventsRead = "events:read";
    /// Seeing, replaying and discarding dead letters: administrators only.
    EventsAdmin = "events:admin";
    /// Seeing the state of the ChittyOS services.
    EcosystemRead = "ecosystem:read";
    /// Checking, connecting, disconnecting and resetting the watches of the services: administrators only.
    EcosystemAdmin = "ecosystem:admin";
    /// Seeing one's runs of flows.
    OrchestrationsRead = "orchestrations:read";
    /// Running flows.
    OrchestrationsWrite = "orchestrations:write";
    /// Seeing one's installations of the GitHub App, and their repositories.
    GithubRead = "github:read";
    /// Installing the GitHub App for oneself.
    GithubWrite = "github:write";
    /// Having ChittyIDs validated.
    IdentitiesRead = "identities:read";
    /// Having ChittyIDs minted.
    IdentitiesWrite = "identities:write";
}

impl Permission {
    /// Whether a creation under this permission mints a ChittyID.
    pub fn mints(self) -> bool {
        matches!(
            self,
            Permission::ContextsWrite
                | Permission::OrchestrationsWrite
                | Permission::IdentitiesWrite
        )
    }

    /// Whether one of these scopes grants it.
    pub fn is_granted_by(self, scopes: &[String]) -> bool {
        scopes.iter().any(|scope| meet(scope, self.as_str()).is_some_and(|m| m == self.as_str()))
    }

    /// Returns every scope that grants it, as a JSON array with which the database compares.
    pub fn granting(self) -> String {
        granting(self.as_str())
    }
}

/// Returns every scope whose holder holds all of `scope`, as a JSON array with which the database compares.
pub fn granting(scope: &str) -> String {
    let all = [canonical(scope)].into_iter().chain(wider(scope));
    serde_json::json!(all.flat_map(spellings).collect::<Vec<_>>()).to_string()
}

/// The scopes that make an administrator.
pub const ADMIN: [&str; 4] = ["admin", "admin:*", "*", "*:*"];

/// Whether one of these scopes is an administrator's.
pub fn is_admin(scopes: &[String]) -> bool {
    scopes.iter().any(|scope| ADMIN.contains(&scope.as_str()))
}

/// The administrator's action: no `resource:*` includes it.
const ADMIN_ACTION: &str = "admin";

/// The resource of a scope; `None` is every resource.
type Resource<'a> = Option<&'a str>;

/// The action of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action<'a> {
    /// Every action: an administrator's scope.
    All,
    /// Every action but the administrator's: the `*` of `resource:*`.
    Ordinary,
    /// One action.
    Named(&'a str),
}

/// Returns a scope as a pattern, or `None` for a word that means only itself.
fn pattern(scope: &str) -> Option<(Resource<'_>, Action<'_>)> {
    if ADMIN.contains(&scope) {
        return Some((None, Action::All));
    }
    match scope.split_once(':') {
        Some((resource, action)) if !resource.is_empty() && !action.is_empty() => {
            let resource = (resource != "*").then_some(resource);
            let action = if action == "*" { Action::Ordinary } else { Action::Named(action) };
            Some((resource, action))
        }
        None if matches!(scope, "read" | "write") => Some((None, Action::Named(scope))),
        _ => None,
    }
}

/// Returns the scope that two scopes have in common, if there is one.
pub fn meet<'a>(one: &'a str, other: &'a str) -> Option<Cow<'a, str>> {
    if one == other {
        return Some(one.into());
    }
    match (pattern(one), pattern(other)) {
        // A word of another service: an administrator holds it without being granted it by name.
        (Some((None, Action::All)), None) => Some(other.into()),
        (None, Some((None, Action::All))) => Some(one.into()),
        (Some((resource, action)), Some((other_resource, other_action))) => {
            let resource = match (resource, other_resource) {
                (None, resource) | (resource, None) => resource,
                (Some(one), Some(other)) => (one == other).then_some(Some(one))?,
            };
            Some(written(resource, meet_actions(action, other_action)?))
        }
        _ => None,
    }
}

/// Writes a pattern as a scope.
fn written<'a>(resource: Resource<'a>, action: Action<'a>) -> Cow<'a, str> {
    match (resource, action) {
        (None, Action::All) => ADMIN_ACTION.into(),
        (None, Action::Named(action @ ("read" | "write"))) => action.into(),
        (None, Action::Named(action)) => format!("*:{action}").into(),
        // No scope is written for this pattern; `read` is a part of it.
        (None, Action::Ordinary) => "read".into(),
        (Some(resource), Action::Ordinary | Action::All) => format!("{resource}:*").into(),
        (Some(resource), Action::Named(action)) => format!("{resource}:{action}").into(),
    }
}

/// Returns the action that two actions have in common, if there is one.
fn meet_actions<'a>(one: Action<'a>, other: Action<'a>) -> Option<Action<'a>> {
    match (one, other) {
        (Action::All, action) | (action, Action::All) => Some(action),
        (Action::Ordinary, Action::Named(ADMIN_ACTION))
        | (Action::Named(ADMIN_ACTION), Action::Ordinary) => None,
        (Action::Ordinary, action) | (action, Action::Ordinary) => Some(action),
        (Action::Named(one), Action::Named(other)) => (one == other).then_some(Action::Named(one)),
    }
}

/// Whether the holder of `held` holds all of `scope`.
pub fn holds(held: &[String], scope: &str) -> bool {
    let whole = canonical(scope);
    held.iter().any(|one| meet(one, scope).is_some_and(|common| canonical(&common) == whole))
}

/// Returns the one form that all scopes of the same meaning share: `admin` for `*`, `read` for `*:read`.
fn canonical(scope: &str) -> Cow<'_, str> {
    pattern(scope).map_or(scope.into(), |(resource, action)| written(resource, action))
}

/// Returns all scopes of the same meaning as a canonical one.
fn spellings(canonical: Cow<'_, str>) -> Vec<Cow<'_, str>> {
    match canonical.as_ref() {
        ADMIN_ACTION => ADMIN.map(Cow::from).to_vec(),
        "read" | "write" => vec![format!("*:{canonical}").into(), canonical],
        _ => vec![canonical],
    }
}

/// Whether a scope means more than the one thing that it names.
fn is_wide(scope: &str) -> bool {
    !matches!(pattern(scope), None | Some((Some(_), Action::Named(_))))
}

/// Returns the canonical forms of all scopes that are wider than this one.
fn wider(scope: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let (whole, broad) = match pattern(scope) {
        Some((Some(resource), Action::Named(action))) => {
            let whole = (action != ADMIN_ACTION).then(|| written(Some(resource), Action::Ordinary));
            (whole, Some(written(None, Action::Named(action))))
        }
        _ => (None, None),
    };
    let all = (canonical(scope) != ADMIN_ACTION).then_some(ADMIN_ACTION.into());
    [whole, broad, all].into_iter().flatten()
}

/// Returns the scopes that both lists hold, in canonical form, without repeats and without those
/// that a wider one of them includes. Compares only the pairs of which one scope is wide, because a
/// token may carry hundreds.
pub fn intersection(some: &[String], others: &[String]) -> Vec<String> {
    let named: HashSet<Cow<'_, str>> = others.iter().map(|scope| canonical(scope)).collect();
    let wide: Vec<&String> = others.iter().filter(|scope| is_wide(scope)).collect();
    let mut order = Vec::new();
    let mut common = HashSet::new();
    for one in some {
        let same = canonical(one);
        let same = named.contains(&same).then_some(same);
        let against: &mut dyn Iterator<Item = &String> =
            if is_wide(one) { &mut others.iter() } else { &mut wide.iter().copied() };
        for both in same.into_iter().chain(against.filter_map(|other| meet(one, other))) {
            let both = canonical(&both).into_owned();
            if common.insert(both.clone()) {
                order.push(both);
            }
        }
    }
    order.retain(|scope| !wider(scope).any(|wider| common.contains(wider.as_ref())));
    order
}

/// Reads a stored list of scopes, a JSON array. An unreadable one is empty.
pub fn list(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}

/// The most scopes that a credential of this gateway may name.
pub const MAX_SCOPES: usize = 50;

/// The most scopes of a ChittyAuth token that count; its tokens carry a few.
const MAX_CARRIED: usize = 200;

/// The longest scope of a ChittyAuth token that counts, in bytes.
const MAX_CARRIED_BYTES: usize = 200;

/// Returns the scopes of a ChittyAuth token without repeats and within the bounds above, because the work
/// on them grows with the square of their number. Scopes beyond the bounds are left out, which is logged.
pub fn limit_carried(mut scopes: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut left_out = 0;
    scopes.retain(|scope| {
        let counts = (1..=MAX_CARRIED_BYTES).contains(&scope.len())
            && (seen.len() < MAX_CARRIED || seen.contains(scope));
        left_out += usize::from(!counts);
        counts && seen.insert(scope.clone())
    });
    if left_out > 0 {
        log::warn("token_scopes_left_out", &[("count", &left_out.to_string())]);
    }
    scopes
}

/// Whether a text can be a scope of a credential of this gateway: 1 to 100 ASCII letters, digits and `:*._-`.
pub fn is_scope(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":*._-".contains(&b))
}

/// The actions that a scope on one of the gateway's own resources can name, whether or not the resource
/// has them.
const ACTIONS: [&str; 4] = ["read", "write", ADMIN_ACTION, "*"];

/// Returns the scope that was meant, in backquotes, or the scopes of its resource, if `scope` has
/// no meaning here but is spelt almost like a scope that has one. `None` for a scope that has a
/// meaning here, and for scopes of other services, which may be any word.
pub fn misspelt(scope: &str) -> Option<String> {
    if Permission::ALL.iter().any(|permission| permission.as_str() == scope) {
        return None;
    }
    let own: Vec<&str> = Permission::ALL
        .iter()
        .filter_map(|permission| Some(permission.as_str().split_once(':')?.0))
        .collect();
    let Some((resource, action)) = scope.split_once(':') else {
        return misspelt_word(scope, &own);
    };
    if own.contains(&resource) {
        if ACTIONS.contains(&action) {
            return None;
        }
        return Some(match nearest(action, ["read", "write", ADMIN_ACTION]) {
            Some(action) => format!("`{resource}:{action}`"),
            None => format!("`{resource}:read` or `{resource}:write`"),
        });
    }
    let lower = (resource.to_ascii_lowercase(), action.to_ascii_lowercase());
    // The halves in the other order, as some write them: `read:contexts`.
    if ACTIONS.contains(&lower.0.as_str())
        && let Some(resource) = own.iter().find(|one| **one == lower.1)
    {
        return Some(format!("`{resource}:{}`", lower.0));
    }
    // `context:read`: one typing error in the resource, and an action of this gateway; unless a
    // ChittyOS service has that name.
    let is_action = ACTIONS.contains(&lower.1.as_str());
    let is_service = chitty_core::Service::parse(resource).is_some();
    let meant = own.iter().find(|one| is_action && !is_service && is_one_slip(&lower.0, one));
    meant.map(|resource| format!("`{resource}:{}`", lower.1))
}

/// [`misspelt`] for a text without a colon: a broad word, or a scope with another character in
/// place of the colon.
fn misspelt_word(word: &str, own: &[&str]) -> Option<String> {
    if matches!(word, "read" | "write") || ADMIN.contains(&word) {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let broad = ["read", "write", ADMIN_ACTION].into_iter();
    let same_letters = |one: &&str| {
        let sorted = |text: &str| {
            let mut letters: Vec<char> = text.chars().collect();
            letters.sort_unstable();
            letters
        };
        lower == *one || (is_one_slip(&lower, one) && sorted(&lower) == sorted(one))
    };
    if let Some(meant) = broad.clone().find(same_letters) {
        return Some(format!("`{meant}`"));
    }
    let (resource, action) = lower.split_once(['.', '-', '_'])?;
    let is_own = own.contains(&resource) && ACTIONS.contains(&action);
    is_own.then(|| format!("`{resource}:{action}`"))
}

fn is_one_slip(one: &str, other: &str) -> bool {
    let chars = |text: &str| text.chars().collect::<Vec<char>>();
    one.len().abs_diff(other.len()) <= 1 && slips(&chars(one), &chars(other)) <= 1
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(scopes: &[&str]) -> Vec<String> {
        scopes.iter().map(|scope| (*scope).to_owned()).collect()
    }

    #[test]
    fn scopes_grant_what_they_name_and_no_more() {
        let grants = |scope: &str| Permission::ContextsWrite.is_granted_by(&all(&[scope]));
        for scope in ["contexts:write", "contexts:*", "write", "admin", "admin:*", "*"] {
            assert!(grants(scope), "{scope}");
        }
        for scope in ["", "contexts", "contexts:read", "read", "contexts:write2", "actors:*", ":*"]
        {
            assert!(!grants(scope), "{scope}");
        }
    }

    #[test]
    fn all_of_a_resource_does_not_include_its_administration() {
        for permission in [
            Permission::ActorsAdmin,
            Permission::AuditAdmin,
            Permission::EventsAdmin,
            Permission::EcosystemAdmin,
        ] {
            let (resource, _) = permission.as_str().split_once(':').unwrap();
            let all = format!("{resource}:*");
            assert!(!permission.is_granted_by(std::slice::from_ref(&all)), "{all}");
            assert!(!holds(std::slice::from_ref(&all), permission.as_str()), "{all}");
            assert!(!permission.granting().contains(&all), "{all}");
            for scope in [permission.as_str(), "*:admin", "admin", "*", "*:*", "admin:*"] {
                assert!(permission.is_granted_by(&[scope.to_owned()]), "{scope}");
                assert!(permission.granting().contains(&format!("\"{scope}\"")), "{scope}");
            }
        }
    }

    #[test]
    fn the_scopes_that_the_database_compares_with_grant() {
        for permission in [
            Permission::ContextsRead,
            Permission::EcosystemAdmin,
            Permission::KeysWrite,
            Permission::ActorsAdmin,
        ] {
            let names: Vec<String> = serde_json::from_str(&permission.granting()).unwrap();
            for name in names {
                let one = std::slice::from_ref(&name);
                assert!(permission.is_granted_by(one), "{permission:?} {name}");
            }
        }
    }

    #[test]
    fn the_scope_that_two_scopes_have_in_common() {
        for (one, other, common) in [
            ("read", "contexts:*", Some("contexts:read")),
            ("contexts:*", "contexts:read", Some("contexts:read")),
            ("admin", "write", Some("write")),
            ("*", "admin:*", Some("admin")),
            ("admin", "anything", Some("anything")),
            ("read", "write", None),
            ("contexts:read", "actors:read", None),
            ("anything", "anything:*", None),
            ("contexts", "contexts:read", None),
            // A scope with an empty half is a word.
            ("read", ":read", None),
            ("contexts:*", "contexts:", None),
            ("*:read", ":read", None),
        ] {
            assert_eq!(meet(one, other).as_deref(), common, "{one} {other}");
            assert_eq!(meet(other, one).as_deref(), common, "{other} {one}");
        }
        let held = all(&["read", "contexts:write", "connections:*"]);
        assert_eq!(
            intersection(&all(&["contexts:*", "keys:write"]), &held),
            ["contexts:read", "contexts:write"]
        );
        assert_eq!(intersection(&all(&["*"]), &held), held);
        assert!(holds(&all(&["*"]), "admin") && holds(&all(&["admin"]), "*"));
        assert!(holds(&all(&["*:read"]), "read") && holds(&all(&["read"]), "*:read"));
        assert!(!holds(&held, "write"));
    }

    #[test]
    fn texts_that_can_be_a_scope_of_this_gateway() {
        let longest = "a".repeat(100);
        for good in ["read", "contexts:*", "*:*", "a.b_c-d:1", &longest] {
            assert!(is_scope(good), "{good}");
        }
        let longer = "a".repeat(101);
        for bad in ["", "two words", "\u{e9}", "a/b", "a\n", &longer] {
            assert!(!is_scope(bad), "{bad}");
        }
    }

    #[test]
    fn creations_that_get_a_chitty_id_count_as_minting() {
        assert!(Permission::ContextsWrite.mints() && Permission::OrchestrationsWrite.mints());
        assert!(Permission::IdentitiesWrite.mints() && !Permission::IdentitiesRead.mints());
        assert!(!Permission::ContextsRead.mints() && !Permission::KeysWrite.mints());
    }

    #[test]
    fn a_token_carries_a_bounded_number_of_scopes() {
        let long = "x".repeat(MAX_CARRIED_BYTES + 1);
        let mut many: Vec<String> = (0..MAX_CARRIED + 5).map(|n| format!("r{n}:read")).collect();
        many.splice(1..1, all(&["r0:read", "", &long]));
        let carried = limit_carried(many.clone());
        assert_eq!(carried.len(), MAX_CARRIED);
        assert_eq!(carried[..2], ["r0:read", "r1:read"]);
        assert_eq!(carried.last(), Some(&format!("r{}:read", MAX_CARRIED - 1)));
    }

    #[test]
    fn an_intersection_includes_no_scope_twice() {
        for (some, others, common) in [
            (&["*:read", "read"][..], &["read", "*:read"][..], &["read"][..]),
            (&["contexts:read", "contexts:*"], &["contexts:*", "read"], &["contexts:*"]),
            (&["*", "word"], &["admin:*", "word"], &["admin"]),
            (&["contexts:admin", "contexts:*"], &["*"], &["contexts:admin", "contexts:*"]),
            (&["*:certify"], &["id:certify", "id:*"], &["id:certify"]),
            (&["word"], &["admin"], &["word"]),
        ] {
            assert_eq!(intersection(&all(some), &all(others)), common, "{some:?} {others:?}");
        }
    }

    #[test]
    fn a_misspelt_scope_is_told_from_one_of_another_service() {
        for (scope, meant) in [
            ("contexts:raed", "contexts:read"),
            ("contexts:Read", "contexts:read"),
            ("contexts:reads", "contexts:read"),
            ("contexts:delete", "contexts:read` or `contexts:write"),
            ("contexts:", "contexts:read` or `contexts:write"),
            ("context:read", "contexts:read"),
            ("contxts:write", "contexts:write"),
            ("Contexts:read", "contexts:read"),
            ("read:contexts", "contexts:read"),
            ("connections:wirte", "connections:write"),
            ("contexts.read", "contexts:read"),
            ("contexts_read", "contexts:read"),
            ("key:read", "keys:read"),
            ("raed", "read"),
            ("READ", "read"),
            ("wirte", "write"),
            ("Admin", "admin"),
        ] {
            assert_eq!(misspelt(scope), Some(format!("`{meant}`")), "{scope}");
        }
        for permission in Permission::ALL {
            assert_eq!(misspelt(permission.as_str()), None);
        }
        for scope in [
            "read",
            "write",
            "admin",
            "admin:*",
            "*",
            "*:*",
            "contexts:*",
            "chronicle:read",
            "cases:write",
            "chittycontextual:read",
            "word",
            "ready",
            "writer",
            "dare",
            "cases:approve",
            "repo:status",
            "*:read",
            "a.b",
            "openid",
            "evidence.read",
            "auth:read",
            "id:mint",
        ] {
            assert_eq!(misspelt(scope), None, "{scope}");
        }
    }

    /// Scopes of every form.
    pub(in crate::access::caller) fn scope() -> impl Strategy<Value = String> {
        let half = prop_oneof![Just("contexts"), Just("keys"), Just("ecosystem"), Just("*")];
        let action = prop_oneof![Just("read"), Just("write"), Just("admin"), Just("*")];
        prop_oneof![
            (half, action).prop_map(|(half, action)| format!("{half}:{action}")),
            prop_oneof![Just("read"), Just("write"), Just("admin"), Just("*"), Just("word")]
                .prop_map(str::to_owned),
        ]
    }

    const PERMISSIONS: [Permission; 5] = [
        Permission::ContextsRead,
        Permission::ContextsWrite,
        Permission::KeysRead,
        Permission::KeysWrite,
        Permission::EcosystemAdmin,
    ];

    proptest! {
        #[test]
        fn an_intersection_grants_exactly_what_both_sides_grant(
            some in proptest::collection::vec(scope(), 0..4),
            others in proptest::collection::vec(scope(), 0..4),
        ) {
            let both = intersection(&some, &others);
            for permission in PERMISSIONS {
                prop_assert_eq!(
                    permission.is_granted_by(&both),
                    permission.is_granted_by(&some) && permission.is_granted_by(&others),
                    "{:?} of {:?}", permission, both
                );
            }
            for (at, scope) in both.iter().enumerate() {
                prop_assert!(holds(&some, scope) && holds(&others, scope), "{}", scope);
                let (before, after) = (&both[..at], &both[at + 1..]);
                prop_assert!(!holds(before, scope) && !holds(after, scope), "{} twice", scope);
            }
            for scope in some.iter().filter(|scope| holds(&others, scope)) {
                prop_assert!(holds(&both, scope), "{} is missing of {:?}", scope, both);
            }
        }

        #[test]
        fn a_holder_of_a_scope_is_granted_all_that_it_grants(
            held in proptest::collection::vec(scope(), 0..4),
            one in scope(),
        ) {
            let granting: Vec<String> = serde_json::from_str(&granting(&one)).unwrap();
            prop_assert_eq!(
                holds(&held, &one),
                held.iter().any(|scope| granting.contains(scope)),
                "{:?} of {}", held, one
            );
            if holds(&held, &one) {
                for permission in PERMISSIONS {
                    let by_one = permission.is_granted_by(std::slice::from_ref(&one));
                    prop_assert!(!by_one || permission.is_granted_by(&held));
                }
            }
        }
    }
}
