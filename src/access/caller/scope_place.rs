//! The places where a caller names scopes, and the errors for a text that is no scope in its place. No I/O.

use http_kit::fields::{Fields, Member};
use http_kit::nearest::{listed, nearest};
use serde_json::Value;

use crate::access::caller::scopes::{MAX_SCOPES, Permission, is_scope, misspelt};
use crate::access::service_name::is_service_name;

/// A place where a caller names scopes, which decides which texts are scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopePlace {
    /// The scopes of a credential of this gateway: the gateway's own scopes, and any word of another service.
    Credential,
    /// The scopes of a key for services: `read` or `write` at a named service.
    Services,
    /// The scopes at the one service that the rest of the body names: `read` and `write`.
    Target,
}

/// The actions at a service.
const ACTIONS: [&str; 2] = ["read", "write"];

/// The scopes of one word at this gateway.
const BROAD: [&str; 3] = ["read", "write", "admin"];

impl ScopePlace {
    /// Returns how scopes are written in this place, in words for the caller.
    pub fn form(self) -> &'static str {
        match self {
            ScopePlace::Credential => "such as `contexts:read`, `contexts:*` or `read`",
            ScopePlace::Services => {
                "each `{service}:read` or `{service}:write`, such as `cases:read`"
            }
            ScopePlace::Target => "`read`, `write` or both",
        }
    }

    /// Returns why a text is no scope in this place, with the scope that was most likely meant;
    /// `None` if it is one. A text that has no meaning at this gateway, but is spelt almost like
    /// one of its scopes, is refused in every place.
    pub fn fault(self, text: &str) -> Option<String> {
        if self.admits(text) && misspelt(text).is_none() {
            return None;
        }
        let shown = match is_scope(text) {
            true => format!("there is no scope {text} here"),
            false => "a scope has 1 to 100 characters: letters, digits and `:*._-`".to_owned(),
        };
        Some(match self.several(text).or_else(|| self.meant(text)) {
            Some(meant) => format!("{shown}: did you mean {meant}?"),
            None => format!("{shown}: scopes here are {}", self.form()),
        })
    }

    /// Reads a list of at least `min` scopes and drops repeats. Reports each text that is no scope
    /// in this place, with the one that was meant.
    pub fn read(
        self,
        fields: &mut Fields<'_>,
        name: &'static str,
        min: usize,
    ) -> Member<Vec<String>> {
        let form = self.form();
        let rule = format!("must be a list of {min} to {MAX_SCOPES} scopes, {form}");
        let mut faults = Vec::new();
        let sent = fields.checked(name, &rule, |value| {
            let Value::Array(values) = value else { return None };
            // Checked before the scopes are compared with each other: a body may hold very many.
            if values.len() > MAX_SCOPES {
                return None;
            }
            let mut scopes: Vec<String> = Vec::new();
            for value in values {
                let Value::String(scope) = value else { return None };
                faults.extend(self.fault(&scope));
                if !scopes.contains(&scope) {
                    scopes.push(scope);
                }
            }
            (scopes.len() >= min).then_some(scopes)
        });
        if faults.is_empty() || !sent.is_sent() {
            return sent;
        }
        faults.dedup();
        fields.wrong(name, faults.join("; "));
        Member::Absent
    }

    fn admits(self, text: &str) -> bool {
        match self {
            ScopePlace::Credential => is_scope(text),
            ScopePlace::Services => text
                .split_once(':')
                .is_some_and(|(service, what)| is_service_name(service) && ACTIONS.contains(&what)),
            ScopePlace::Target => ACTIONS.contains(&text),
        }
    }

    fn is_one(self, text: &str) -> bool {
        self.admits(text) && misspelt(text).is_none()
    }

    /// Returns the scopes of a text that holds two or three of them, as OAuth writes them.
    fn several(self, text: &str) -> Option<String> {
        let parts: Vec<&str> =
            text.split([' ', ',']).filter(|part| !part.is_empty()).take(4).collect();
        let is_scope = |part: &&str| {
            self.is_one(part)
                && (part.contains(':') || BROAD.contains(part))
                && !part.ends_with(':')
        };
        let are_scopes = (2..4).contains(&parts.len()) && parts.iter().all(is_scope);
        are_scopes.then(|| format!("{}, each as a text of its own", listed(parts)))
    }

    /// Returns the scope that was most likely meant, in backquotes, or the scopes that its resource has.
    fn meant(self, text: &str) -> Option<String> {
        if text.len() > 100 {
            return None;
        }
        let (resource, action) = halves(text);
        match self {
            ScopePlace::Credential => {
                let repaired =
                    resource.map_or_else(|| action.clone(), |of| format!("{of}:{action}"));
                misspelt(text).or_else(|| misspelt(&repaired)).or_else(|| {
                    let own = Permission::ALL.iter().map(|permission| permission.as_str());
                    match is_scope(&repaired) {
                        true => Some(repaired.as_str()),
                        false => nearest(text, own.chain(BROAD)),
                    }
                    .map(|meant| format!("`{meant}`"))
                })
            }
            ScopePlace::Services => {
                // One of this gateway's own scopes, in another order or spelling.
                let own = misspelt(text).filter(|meant| self.is_one(meant.trim_matches('`')));
                own.or_else(|| {
                    let done = nearest(&action, ACTIONS);
                    // An action without a service: most keys are for this gateway's contexts.
                    let of = resource.or_else(|| match done {
                        Some(_) => Some("contexts".to_owned()),
                        None => (!BROAD.contains(&text)).then(|| action.clone()),
                    })?;
                    let done = done.map_or_else(|| ACTIONS.to_vec(), |done| vec![done]).into_iter();
                    let scopes: Vec<String> = done.map(|done| format!("`{of}:{done}`")).collect();
                    is_service_name(&of).then(|| scopes.join(" or "))
                })
            }
            ScopePlace::Target => nearest(&action, ACTIONS).map(|done| format!("`{done}`")),
        }
    }
}

/// Splits a text that is written almost like a scope into resource and action, without white space.
/// A text of one half is an action.
fn halves(text: &str) -> (Option<String>, String) {
    let plain = |half: &str| half.split_whitespace().collect::<String>();
    let text = text.trim();
    let split =
        text.split_once(':').or_else(|| text.split_once([' ', '/', '|', '.', '-', '_', ',']));
    match split {
        Some((resource, action)) if !resource.trim().is_empty() => {
            (Some(plain(resource)), plain(action))
        }
        _ => (None, plain(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_scope_is_refused_with_the_one_that_was_meant_there() {
        use ScopePlace::{Credential, Services, Target};
        for (place, text, meant) in [
            (Credential, "contexts:raed", "`contexts:read`"),
            (Credential, "contexts: read", "`contexts:read`"),
            (Credential, " contexts:read", "`contexts:read`"),
            (Credential, "contexts/read", "`contexts:read`"),
            (Credential, "contexts read", "`contexts:read`"),
            (Credential, "contexts:reäd", "`contexts:read`"),
            (Credential, "cases: read", "`cases:read`"),
            (Credential, "read,write", "`read`, `write`, each as a text of its own"),
            (
                Credential,
                "contexts:read keys:read",
                "`contexts:read`, `keys:read`, each as a text of its own",
            ),
            (Credential, "wirte", "`write`"),
            (Services, "cases:raed", "`cases:read`"),
            (Services, "cases:Read", "`cases:read`"),
            (Services, "cases:reads", "`cases:read`"),
            (Services, "cases: write", "`cases:write`"),
            (Services, "cases/write", "`cases:write`"),
            (Services, "cases:*", "`cases:read` or `cases:write`"),
            (Services, "cases:approve", "`cases:read` or `cases:write`"),
            (Services, "cases", "`cases:read` or `cases:write`"),
            (Services, "contexts:raed", "`contexts:read`"),
            (Services, "contexts:admin", "`contexts:read` or `contexts:write`"),
            (Services, "context:read", "`contexts:read`"),
            (Services, "read:contexts", "`contexts:read`"),
            (Services, "contexts.read", "`contexts:read`"),
            (Services, "read", "`contexts:read`"),
            (Services, "raed", "`contexts:read`"),
            (
                Services,
                "cases:read files:read",
                "`cases:read`, `files:read`, each as a text of its own",
            ),
            (Target, "raed", "`read`"),
            (Target, "reads", "`read`"),
            (Target, "WRITE", "`write`"),
            (Target, "contexts:raed", "`read`"),
            (Target, "cases:write", "`write`"),
            (Target, "read write", "`read`, `write`, each as a text of its own"),
        ] {
            let fault = place.fault(text).unwrap_or_else(|| panic!("{place:?} takes {text}"));
            assert!(
                fault.ends_with(&format!("did you mean {meant}?")),
                "{place:?} {text}: {fault}"
            );
        }
        for (place, text) in [
            (Credential, ""),
            (Credential, "*!"),
            (Services, "*"),
            (Services, "admin"),
            (Target, "*"),
            (Target, "admin"),
            (Target, &"read".repeat(40)),
        ] {
            let fault = place.fault(text).unwrap_or_else(|| panic!("{place:?} takes {text}"));
            assert!(fault.ends_with(place.form()), "{place:?} {text}: {fault}");
            assert!(fault.len() < 300, "{fault}");
        }
        for (place, text) in [
            (Credential, "contexts:read"),
            (Credential, "contexts:*"),
            (Credential, "read"),
            (Credential, "cases:approve"),
            (Credential, "deploy"),
            (Services, "cases:read"),
            (Services, "contexts:write"),
            (Target, "read"),
            (Target, "write"),
        ] {
            assert_eq!(place.fault(text), None, "{place:?}");
        }
    }

    #[test]
    fn scopes_are_read_as_a_list_and_their_faults_told_at_once() {
        let body =
            br#"{"a":["contexts:raed","chronicle:read"],"b":["chronicle:read","word"],"d":[1]}"#;
        let mut fields = Fields::of(body).unwrap();
        assert_eq!(ScopePlace::Credential.read(&mut fields, "a", 1), Member::Absent);
        assert_eq!(
            ScopePlace::Credential.read(&mut fields, "b", 1).value().unwrap(),
            ["chronicle:read", "word"]
        );
        assert_eq!(ScopePlace::Credential.read(&mut fields, "d", 1), Member::Absent);
        let problem = fields.finish().unwrap_err();
        let errors: Vec<_> =
            problem.errors().iter().map(|error| (error.pointer.as_str(), &*error.detail)).collect();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].0 == "/a" && errors[0].1.contains("`contexts:read`"), "{errors:?}");
        assert!(errors[1].0 == "/d" && errors[1].1.contains("1 to 50 scopes"), "{errors:?}");
    }
}
