//! Reads the members of a JSON body one by one and collects the errors, so that the caller learns of all of
//! them at once. A member that is not known by the end is an error too.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::names::Name;
use crate::numbers::whole;
use crate::problem::{FieldError, Problem};
use crate::request::{MAX_REPORTED, Members, Object, Request, TWICE, parse_object, pointer};

/// The value of a member of a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Member<T> {
    /// The member is missing, or it is not acceptable and the error has been recorded.
    #[default]
    Absent,
    /// `null`
    Null,
    /// An acceptable value.
    Value(T),
}

impl<T> Member<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Member::Value(value) => Some(value),
            Member::Absent | Member::Null => None,
        }
    }

    /// Whether the member has an acceptable value or is `null`.
    pub fn is_sent(&self) -> bool {
        !matches!(self, Member::Absent)
    }

    /// The value by reference, if there is one.
    pub fn as_ref(&self) -> Option<&T> {
        match self {
            Member::Value(value) => Some(value),
            Member::Absent | Member::Null => None,
        }
    }
}

/// A JSON object whose members are being read.
pub struct Fields<'m> {
    members: Members<'m>,
    prefix: &'static str,
    /// The names that are known here; any other member is an error.
    asked: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl<'m> Fields<'m> {
    /// Starts to read a body.
    ///
    /// # Errors
    /// 400 when it is not JSON, 422 when it is no object or has a member twice.
    pub fn of(body: &'m [u8]) -> Result<Self, Problem> {
        Ok(Fields::over(parse_object(body)?, ""))
    }

    fn over(members: Members<'m>, prefix: &'static str) -> Self {
        Fields { members, prefix, asked: Vec::new(), errors: Vec::new() }
    }

    /// Starts to read the object in a member; the pointers of its errors begin with the member's name. `None`
    /// if the member is missing, `null`, or no object, which is recorded as an error.
    pub fn within(&mut self, name: &'static str) -> Option<Fields<'m>> {
        let raw = self.raw(name).filter(|raw| raw.get() != "null")?;
        // Checked first, because the parser's error would quote any other value, however long.
        let object = raw.get().starts_with('{').then(|| serde_json::from_str(raw.get()).ok());
        match object.flatten() {
            Some(Object { members, repeated }) => {
                let mut inner = Fields::over(members, name);
                let twice = |member: &String| FieldError::new(pointer(name, member), TWICE);
                inner.errors.extend(repeated.iter().map(twice));
                Some(inner)
            }
            None => {
                self.wrong(name, "must be an object");
                None
            }
        }
    }

    /// Takes over the errors of an inner object, those of its unknown members included.
    pub fn absorb(&mut self, inner: Fields<'_>) {
        self.errors.extend(inner.into_errors());
    }

    /// Returns a member as it was sent, and marks its name as known.
    pub fn raw(&mut self, name: &'static str) -> Option<&'m RawValue> {
        self.knows(&[name]);
        self.members.get(name).copied()
    }

    /// Marks names as known, whether or not they are read this time.
    pub fn knows(&mut self, names: &[&'static str]) {
        for name in names {
            if !self.asked.contains(name) {
                self.asked.push(name);
            }
        }
    }

    /// Records that a member is not acceptable, and marks its name as known. An empty name stands for the
    /// whole object.
    pub fn wrong(&mut self, name: &'static str, detail: impl Into<std::borrow::Cow<'static, str>>) {
        let pointer = match (self.prefix, name) {
            ("", "") => String::new(),
            (prefix, "") => format!("/{prefix}"),
            (prefix, name) => {
                self.knows(&[name]);
                pointer(prefix, name)
            }
        };
        self.errors.push(FieldError::new(pointer, detail));
    }

    /// Whether the body has the member, whatever its value.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Whether an error has been recorded so far.
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Returns the value of a required member. Records an error if it is missing or `null`.
    pub fn required<T>(&mut self, name: &'static str, sent: Member<T>) -> Option<T> {
        match sent {
            Member::Value(value) => Some(value),
            Member::Absent if self.has(name) => None,
            Member::Absent | Member::Null => {
                self.wrong(name, "is required");
                None
            }
        }
    }

    /// Reads a member of any JSON type.
    pub fn any(&mut self, name: &'static str) -> Member<Value> {
        let Some(raw) = self.raw(name) else { return Member::Absent };
        match serde_json::from_str(raw.get()) {
            Ok(Value::Null) => Member::Null,
            Ok(value) => Member::Value(value),
            Err(error) => {
                self.wrong(name, unreadable(&error));
                Member::Absent
            }
        }
    }

    /// Reads a member by `check`. Where that returns `None`, records `rule`, which says what it must be.
    pub fn checked<T>(
        &mut self,
        name: &'static str,
        rule: &str,
        check: impl FnOnce(Value) -> Option<T>,
    ) -> Member<T> {
        match self.any(name) {
            Member::Absent => Member::Absent,
            Member::Null => Member::Null,
            Member::Value(value) => match check(value) {
                Some(value) => Member::Value(value),
                None => {
                    self.wrong(name, rule.to_owned());
                    Member::Absent
                }
            },
        }
    }

    /// Reads a text of 1 to `max` characters, none of them a control character.
    pub fn text(&mut self, name: &'static str, max: usize) -> Member<String> {
        let is_list = self.raw(name).is_some_and(|raw| raw.get().starts_with('['));
        let not_a_list = if is_list { ", not a list" } else { "" };
        let rule = format!(
            "must be a text of 1 to {max} characters without control characters{not_a_list}"
        );
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

    /// Reads a name, in its normal form.
    pub fn name(&mut self, name: &'static str) -> Member<Name> {
        let fault = match self.any(name) {
            Member::Absent => return Member::Absent,
            Member::Null => return Member::Null,
            Member::Value(Value::String(text)) => match Name::parse(&text) {
                Ok(name) => return Member::Value(name),
                Err(fault) => fault.to_string(),
            },
            Member::Value(_) => "must be a text".to_owned(),
        };
        self.wrong(name, fault);
        Member::Absent
    }

    /// Reads a whole number within bounds, in any notation of JSON (`600`, `600.0`, `6e2`).
    pub fn number(&mut self, name: &'static str, min: u64, max: u64) -> Member<u64> {
        let Some(raw) = self.raw(name) else { return Member::Absent };
        if raw.get() == "null" {
            return Member::Null;
        }
        match whole(raw.get()).filter(|number| (min..=max).contains(number)) {
            Some(number) => Member::Value(number),
            None => {
                let quoted = if raw.get().starts_with('"') { ", without quotes" } else { "" };
                let rule = format!("must be a whole number from {min} to {max}{quoted}");
                self.wrong(name, rule);
                Member::Absent
            }
        }
    }

    /// Reads one of `words`.
    pub fn word(&mut self, name: &'static str, words: &[&'static str]) -> Member<&'static str> {
        let rule = format!("must be one of {}", words.join(", "));
        self.checked(name, &rule, |value| {
            words.iter().copied().find(|word| value.as_str() == Some(word))
        })
    }

    /// Reads an object of at most `max` bytes, as JSON text.
    pub fn object(&mut self, name: &'static str, max: usize) -> Member<String> {
        let rule = format!("must be an object of at most {max} bytes");
        self.checked(name, &rule, |value| {
            let text = value.is_object().then(|| value.to_string())?;
            (text.len() <= max).then_some(text)
        })
    }

    /// Returns all errors, those of unknown members first.
    fn into_errors(self) -> Vec<FieldError> {
        let mut errors = unknown(&self.members, self.prefix, &self.asked);
        errors.extend(self.errors);
        errors
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 422 with all errors, those of unknown members first.
    pub fn finish(self) -> Result<(), Problem> {
        let errors = self.into_errors();
        if errors.is_empty() { Ok(()) } else { Err(Problem::validation(errors)) }
    }
}

/// Returns an error for each member that is not in `known`, for at most [`MAX_REPORTED`] members.
pub fn unknown(members: &Members<'_>, prefix: &str, known: &[&'static str]) -> Vec<FieldError> {
    let names = members.keys().filter(|name| !known.contains(&name.as_ref()));
    let errors = names.map(|name| FieldError::unknown(pointer(prefix, name), name, known));
    errors.take(MAX_REPORTED).collect()
}

/// Returns the detail of the error for a value that is JSON but cannot be read.
pub fn unreadable(error: &serde_json::Error) -> &'static str {
    let text = error.to_string();
    if text.starts_with("recursion") {
        "must not be nested more than 127 deep"
    } else if text.starts_with("number out of range") {
        "must not have a number beyond 1.7e308"
    } else {
        "must be valid Unicode text: it has half of a surrogate pair"
    }
}

/// Checks the body of a request that takes no members: no body, `null` or an empty object.
///
/// # Errors
/// Those of [`Request::optional_json_bytes`]; 422 for any member.
pub async fn nothing(request: &Request<'_>) -> Result<(), Problem> {
    Fields::of(&request.optional_json_bytes().await?)?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    fn pointers(errors: &[FieldError]) -> Vec<&str> {
        errors.iter().map(|error| error.pointer.as_str()).collect()
    }

    #[test]
    fn a_member_says_whether_it_is_there() {
        let mut fields = Fields::of(br#"{"a": "x", "b": null}"#).unwrap();
        assert!(fields.has("a") && fields.has("b") && !fields.has("c"));
        let (a, b, c) = (fields.text("a", 5), fields.text("b", 5), fields.text("c", 5));
        assert!(a.is_sent() && b.is_sent() && !c.is_sent());
        assert_eq!((a.as_ref(), b.as_ref()), (Some(&"x".to_owned()), None));
        assert_eq!((a.value(), b.value(), c.value()), (Some("x".to_owned()), None, None));
        assert!(!fields.has_errors());
        fields.wrong("a", "is not wanted");
        assert!(fields.has_errors());
    }

    #[test]
    fn a_required_member_gets_one_error_and_a_name_is_normalized() {
        let mut fields = Fields::of("{\"a\": 7, \"n\": \" cafe\u{301} \"}".as_bytes()).unwrap();
        assert_eq!(fields.name("n").value().unwrap().text(), "caf\u{e9}");
        let (a, z) = (fields.text("a", 5), fields.text("z", 5));
        assert_eq!((fields.required("a", a), fields.required("z", z)), (None, None));
        let problem = fields.finish().unwrap_err();
        assert_eq!(pointers(problem.errors()), ["/a", "/z"]);
        assert!(problem.errors()[0].detail.contains("must be a text"));
    }

    #[test]
    fn an_object_has_a_maximum_length_and_an_unreadable_value_gets_an_error() {
        let mut fields = Fields::of(br#"{"o": {"a": 1}, "n": 1e999}"#).unwrap();
        assert_eq!(fields.object("o", 7).value().unwrap(), r#"{"a":1}"#);
        assert_eq!(fields.object("o", 6), Member::Absent);
        assert_eq!(fields.any("n"), Member::Absent);
        assert_eq!(pointers(&fields.errors), ["/o", "/n"]);
        assert!(fields.errors[1].detail.contains("1.7e308"));
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        let body =
            br#"{"a": "", "b": -1, "c": "x", "d": 7, "e": null, "f": "good", "g": {"h": 7}}"#;
        let mut fields = Fields::of(body).unwrap();
        assert_eq!(fields.text("a", 10), Member::Absent);
        assert_eq!(fields.number("b", 0, 10), Member::Absent);
        assert_eq!(fields.word("c", &["y"]), Member::Absent);
        assert_eq!(fields.text("d", 10), Member::Absent);
        assert_eq!(fields.text("e", 10), Member::Null);
        assert_eq!(fields.text("f", 10), Member::Value("good".to_owned()));
        let mut inner = fields.within("g").unwrap();
        assert_eq!(inner.text("h", 10), Member::Absent);
        fields.absorb(inner);
        let missing = fields.text("z", 10);
        assert_eq!(fields.required("z", missing), None);
        assert_eq!(pointers(&fields.errors), ["/a", "/b", "/c", "/d", "/g/h", "/z"]);
        let problem = fields.finish().unwrap_err();
        assert_eq!(problem.code, Code::ValidationFailed);
    }

    #[test]
    fn an_unknown_member_is_reported_with_the_nearest_known_name() {
        let body = br#"{"nmae": "n", "g": {"tokn": "t", "colour": 1}, "a/b": 1}"#;
        let mut fields = Fields::of(body).unwrap();
        let name = fields.text("name", 10);
        fields.required("name", name);
        let mut inner = fields.within("g").unwrap();
        let token = inner.text("token", 10);
        inner.required("token", token);
        fields.absorb(inner);
        let problem = fields.finish().unwrap_err();
        assert_eq!(problem.code, Code::UnknownField);
        assert_eq!(
            pointers(problem.errors()),
            ["/a~1b", "/nmae", "/name", "/g/colour", "/g/tokn", "/g/token"]
        );
        let said = |index: usize| problem.errors()[index].detail.clone();
        assert_eq!(said(1), "is not known here: did you mean `name`?");
        assert_eq!(said(3), "is not known here: the known names are `token`");
        assert_eq!(said(4), "is not known here: did you mean `token`?");
    }

    #[test]
    fn of_a_hundred_thousand_unknown_members_the_first_are_named() {
        let members: Vec<String> = (0..100_000).map(|n| format!("\"m{n:06}\":{n}")).collect();
        let body = format!("{{\"{}\":1,{}}}", "x".repeat(10_000), members.join(","));
        let mut fields = Fields::of(body.as_bytes()).unwrap();
        fields.text("name", 10);
        let problem = fields.finish().unwrap_err();
        assert_eq!(problem.errors().len(), MAX_REPORTED);
        assert!(problem.errors().iter().all(|error| error.pointer.len() < 80));
    }

    #[test]
    fn a_whole_number_is_read_however_it_is_written() {
        let body = br#"{"a":600.0,"b":6e2,"c":-0.0,"d":1e400,"e":"600","f":0.5,"g":null,"h":601}"#;
        let mut fields = Fields::of(body).unwrap();
        let mut read = |name| fields.number(name, 0, 600);
        assert_eq!(
            (read("a"), read("b"), read("c")),
            (Member::Value(600), Member::Value(600), Member::Value(0))
        );
        assert_eq!(read("g"), Member::Null);
        for name in ["d", "e", "f", "h"] {
            assert_eq!(read(name), Member::Absent, "{name}");
        }
        assert_eq!(pointers(&fields.errors), ["/d", "/e", "/f", "/h"]);
        assert!(fields.errors[1].detail.ends_with("without quotes"));
    }
}
