//! Reading the members of a JSON body one by one: what is wrong is collected, so that the caller learns
//! all of it at once. Members that nobody asks for are ignored, as the predecessor did.

use serde_json::Value;

use crate::http::caller::scopes::{MAX_SCOPES, is_scope};
use crate::http::problem::{FieldError, Problem};
use crate::http::request::{Members, parse_object};
use crate::names::Name;

/// A member of a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sent<T> {
    /// It is not there, or it is not acceptable, which has been noted.
    #[default]
    Absent,
    /// `null`
    Null,
    /// It is there.
    Value(T),
}

impl<T> Sent<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Sent::Value(value) => Some(value),
            Sent::Absent | Sent::Null => None,
        }
    }

    /// Whether it is there, be it `null`.
    pub fn is_sent(&self) -> bool {
        !matches!(self, Sent::Absent)
    }

    /// The value by reference, if there is one.
    pub fn as_ref(&self) -> Option<&T> {
        match self {
            Sent::Value(value) => Some(value),
            Sent::Absent | Sent::Null => None,
        }
    }
}

/// A body being read.
pub struct Fields<'m> {
    members: Members<'m>,
    prefix: &'static str,
    errors: Vec<FieldError>,
}

impl<'m> Fields<'m> {
    /// Begins with a body.
    ///
    /// # Errors
    /// 400 when it is not JSON, 422 when it is no object.
    pub fn of(body: &'m [u8]) -> Result<Self, Problem> {
        Ok(Fields { members: parse_object(body)?, prefix: "", errors: Vec::new() })
    }

    /// The members of the object in a member; what is wrong in there is noted under its name.
    pub fn within(&mut self, name: &'static str) -> Option<Fields<'m>> {
        let raw = self.members.get(name).filter(|raw| raw.get() != "null")?;
        // An error of the parser would repeat whatever else it is, however long.
        let members = raw.get().starts_with('{').then(|| serde_json::from_str(raw.get()).ok());
        match members.flatten() {
            Some(members) => Some(Fields { members, prefix: name, errors: Vec::new() }),
            None => {
                self.wrong(name, "must be an object");
                None
            }
        }
    }

    /// Takes over what was wrong in an object inside.
    pub fn absorb(&mut self, inner: Fields<'_>) {
        self.errors.extend(inner.errors);
    }

    /// Notes that a member is not acceptable.
    pub fn wrong(&mut self, name: &str, detail: impl Into<std::borrow::Cow<'static, str>>) {
        let pointer = match (self.prefix, name) {
            ("", "") => String::new(),
            ("", name) => format!("/{name}"),
            (prefix, "") => format!("/{prefix}"),
            (prefix, name) => format!("/{prefix}/{name}"),
        };
        self.errors.push(FieldError::new(pointer, detail));
    }

    /// Whether the body has the member at all.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Whether anything was wrong so far.
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The value of a member that must be there.
    pub fn required<T>(&mut self, name: &str, sent: Sent<T>) -> Option<T> {
        match sent {
            Sent::Value(value) => Some(value),
            Sent::Absent if self.has(name) => None,
            Sent::Absent | Sent::Null => {
                self.wrong(name, "is required");
                None
            }
        }
    }

    /// Any JSON value.
    pub fn any(&mut self, name: &str) -> Sent<Value> {
        let Some(raw) = self.members.get(name) else { return Sent::Absent };
        match serde_json::from_str(raw.get()) {
            Ok(Value::Null) => Sent::Null,
            Ok(value) => Sent::Value(value),
            Err(_) => {
                self.wrong(name, "must not be nested that deep");
                Sent::Absent
            }
        }
    }

    fn checked<T>(
        &mut self,
        name: &str,
        rule: &str,
        check: impl FnOnce(Value) -> Option<T>,
    ) -> Sent<T> {
        match self.any(name) {
            Sent::Absent => Sent::Absent,
            Sent::Null => Sent::Null,
            Sent::Value(value) => match check(value) {
                Some(value) => Sent::Value(value),
                None => {
                    self.wrong(name, rule.to_owned());
                    Sent::Absent
                }
            },
        }
    }

    /// Text of 1 to `max` characters, none of them a control character.
    pub fn text(&mut self, name: &str, max: usize) -> Sent<String> {
        let rule = format!("must be a text of 1 to {max} characters without control characters");
        self.checked(name, &rule, |value| match value {
            Value::String(text)
                if (1..=max).contains(&text.chars().count())
                    && !text.chars().any(char::is_control) =>
            {
                Some(text)
            }
            _ => None,
        })
    }

    /// A name, in its normal form.
    pub fn name(&mut self, name: &str) -> Sent<Name> {
        let fault = match self.any(name) {
            Sent::Absent => return Sent::Absent,
            Sent::Null => return Sent::Null,
            Sent::Value(Value::String(text)) => match Name::parse(&text) {
                Ok(name) => return Sent::Value(name),
                Err(fault) => fault.to_string(),
            },
            Sent::Value(_) => "must be a text".to_owned(),
        };
        self.wrong(name, fault);
        Sent::Absent
    }

    /// A whole number within bounds.
    pub fn number(&mut self, name: &str, min: u64, max: u64) -> Sent<u64> {
        let rule = format!("must be a whole number from {min} to {max}");
        self.checked(name, &rule, |value| value.as_u64().filter(|n| (min..=max).contains(n)))
    }

    /// One of some words.
    pub fn word(&mut self, name: &str, words: &[&'static str]) -> Sent<&'static str> {
        let rule = format!("must be one of {}", words.join(", "));
        self.checked(name, &rule, |value| {
            words.iter().copied().find(|word| value.as_str() == Some(word))
        })
    }

    /// An object of at most `max` bytes, as JSON.
    pub fn object(&mut self, name: &str, max: usize) -> Sent<String> {
        let rule = format!("must be an object of at most {max} bytes");
        self.checked(name, &rule, |value| {
            let text = value.is_object().then(|| value.to_string())?;
            (text.len() <= max).then_some(text)
        })
    }

    /// A list of at least `min` scopes, without repeats.
    pub fn scopes(&mut self, name: &str, min: usize) -> Sent<Vec<String>> {
        let rule = format!(
            "must be a list of {min} to {MAX_SCOPES} scopes, such as `contexts:read`, `contexts:*` or \
             `read`"
        );
        self.checked(name, &rule, |value| {
            let Value::Array(values) = value else { return None };
            // Before they are compared with each other: there may be as many as a body holds.
            if values.len() > MAX_SCOPES {
                return None;
            }
            let mut scopes: Vec<String> = Vec::new();
            for value in values {
                let Value::String(scope) = value else { return None };
                if !is_scope(&scope) {
                    return None;
                }
                if !scopes.contains(&scope) {
                    scopes.push(scope);
                }
            }
            (scopes.len() >= min).then_some(scopes)
        })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 422 with all that was wrong.
    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::validation(self.errors)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let body =
            br#"{"a": "", "b": -1, "c": "x", "d": [], "e": null, "f": "good", "g": {"h": 7}}"#;
        let mut fields = Fields::of(body).unwrap();
        assert_eq!(fields.text("a", 10), Sent::Absent);
        assert_eq!(fields.number("b", 0, 10), Sent::Absent);
        assert_eq!(fields.word("c", &["y"]), Sent::Absent);
        assert_eq!(fields.scopes("d", 1), Sent::Absent);
        assert_eq!(fields.text("e", 10), Sent::Null);
        assert_eq!(fields.text("f", 10), Sent::Value("good".to_owned()));
        let mut inner = fields.within("g").unwrap();
        assert_eq!(inner.text("h", 10), Sent::Absent);
        fields.absorb(inner);
        let missing = fields.text("z", 10);
        assert_eq!(fields.required("z", missing), None);
        let pointers: Vec<String> = fields.errors.iter().map(|e| e.pointer.clone()).collect();
        assert_eq!(pointers, ["/a", "/b", "/c", "/d", "/g/h", "/z"]);
        assert!(fields.finish().is_err());
    }
}
