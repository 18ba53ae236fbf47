//! Reads variables, secrets and bindings, and notes each one that is missing or invalid.

use crate::config::{Binding, Deficiency, Environment, Lookup};

/// Reads the configuration and collects its deficiencies.
pub struct Reader {
    look_up: Lookup,
    deficiencies: Vec<Deficiency>,
}

impl Reader {
    /// A reader that has noted no deficiency yet.
    pub fn new(look_up: Lookup) -> Self {
        Reader { look_up, deficiencies: Vec::new() }
    }

    /// Returns the deficiencies that were noted.
    pub fn into_deficiencies(self) -> Vec<Deficiency> {
        self.deficiencies
    }

    /// Notes that a variable, secret or binding is missing or invalid.
    pub fn lacks(&mut self, kind: &'static str, name: &'static str, problem: impl Into<String>) {
        self.deficiencies.push(Deficiency { name, kind, problem: problem.into() });
    }

    /// Returns a variable or a secret, without blanks around it; an empty one counts as absent.
    pub fn text(&self, name: &str) -> Option<String> {
        match (self.look_up)(name) {
            Binding::Text(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => None,
        }
    }

    /// Notes that a resource is missing, unless it is bound.
    pub fn resource(&mut self, name: &'static str) {
        if (self.look_up)(name) != Binding::Resource {
            self.lacks("binding", name, "not bound: add it to wrangler.toml and deploy again");
        }
    }

    /// Notes that a secret is missing.
    pub fn lacks_secret(&mut self, name: &'static str) {
        self.lacks("secret", name, format!("not set: run `npx wrangler secret put {name}`"));
    }

    /// Returns a variable that is `true` or `false`; the default is `false`.
    pub fn switch(&mut self, name: &'static str) -> bool {
        match self.text(name).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                self.lacks("variable", name, "must be true or false; using false");
                false
            }
        }
    }

    /// Returns a URL without a trailing slash. A deployed gateway accepts https only.
    pub fn url(&mut self, name: &'static str, environment: Environment) -> Option<String> {
        let given = self.text(name)?;
        let given = given.trim_end_matches('/');
        let secure = given.starts_with("https://");
        if secure || (!environment.is_deployed() && given.starts_with("http://")) {
            return Some(given.to_owned());
        }
        self.lacks("variable", name, "must be an https URL; using the default");
        None
    }

    /// Returns a whole number from `min` to `max`, or the default.
    pub fn number(&mut self, name: &'static str, default: u64, min: u64, max: u64) -> u64 {
        let Some(text) = self.text(name) else { return default };
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) => number,
            _ => {
                let problem = format!("must be a number from {min} to {max}; using {default}");
                self.lacks("variable", name, problem);
                default
            }
        }
    }

    /// Returns a whole number from `min` to `max`, or the default, in 32 bits.
    pub fn small_number(&mut self, name: &'static str, default: u32, min: u32, max: u32) -> u32 {
        let number = self.number(name, default.into(), min.into(), max.into());
        u32::try_from(number).unwrap_or(default)
    }
}
