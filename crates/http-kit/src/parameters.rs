//! Which query parameters a route takes, and what becomes of the others.

use crate::problem::{FieldError, Problem};
use crate::request::{MAX_REPORTED, Request, TWICE, pointer};

/// Which query parameters a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// What its handler reads.
    read: &'static [&'static str],
    /// What callers send that expect more of it than there is: taken, and named in `warnings`.
    tolerated: &'static [&'static str],
    others: UnreadParameters,
}

/// What becomes of the parameters that nobody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnreadParameters {
    /// 422.
    Refused,
    /// Nothing: who calls appends what it likes.
    Ignored,
    /// They are read as a whole.
    Passed,
}

impl Parameters {
    /// None at all.
    pub const NONE: Parameters =
        Parameters { read: &[], tolerated: &[], others: UnreadParameters::Refused };

    /// The same, and a handler reads these.
    #[must_use]
    pub const fn reading(self, names: &'static [&'static str]) -> Self {
        Parameters { read: names, ..self }
    }

    /// The same, and callers send these too, though nobody reads them.
    #[must_use]
    pub const fn tolerating(self, names: &'static [&'static str]) -> Self {
        Parameters { tolerated: names, ..self }
    }

    /// The same, and whatever else is sent does nothing.
    #[must_use]
    pub const fn ignoring_others(self) -> Self {
        Parameters { others: UnreadParameters::Ignored, ..self }
    }

    /// The same, and the query is read as a whole.
    #[must_use]
    pub const fn passed_on(self) -> Self {
        Parameters { others: UnreadParameters::Passed, ..self }
    }

    /// Whether the query is read as a whole.
    pub fn are_passed_on(&self) -> bool {
        self.others == UnreadParameters::Passed
    }

    /// Whether a handler may ask for this one.
    pub fn reads(&self, name: &str) -> bool {
        self.others == UnreadParameters::Passed || self.read.contains(&name)
    }

    /// What is read of a query, by name; `None` where that is all of it.
    pub fn read(&self) -> Option<&'static [&'static str]> {
        (self.others != UnreadParameters::Passed).then_some(self.read)
    }

    /// Checks a query: each parameter is one that is taken, and there once.
    ///
    /// # Errors
    /// 422 that names those that are not.
    pub fn check(&self, request: &Request<'_>) -> Result<(), Problem> {
        if self.others != UnreadParameters::Refused || request.raw_query().is_empty() {
            return Ok(());
        }
        let mut unknown: Vec<FieldError> = Vec::new();
        let mut twice: Vec<FieldError> = Vec::new();
        let mut seen: Vec<&'static str> = Vec::new();
        for (name, _) in request.query_pairs() {
            let known = self.read.iter().chain(self.tolerated).find(|known| **known == name);
            match known {
                Some(known) if seen.contains(known) => {
                    twice.push(FieldError::new(format!("?{known}"), TWICE));
                }
                Some(known) => seen.push(known),
                None => {
                    let at = format!("?{}", pointer("", &name).trim_start_matches('/'));
                    unknown.push(FieldError::unknown(at, &name, self.read));
                }
            }
            if unknown.len() + twice.len() >= MAX_REPORTED {
                break;
            }
        }
        match (unknown.is_empty(), twice.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(Problem::validation(twice)),
            (false, _) => {
                unknown.extend(twice);
                Err(Problem::unknown_parameters(unknown))
            }
        }
    }

    /// What to tell of a query that was taken: each parameter that does nothing.
    pub fn warnings(&self, request: &Request<'_>) -> Vec<String> {
        if self.tolerated.is_empty() || request.raw_query().is_empty() {
            return Vec::new();
        }
        let is_sent = |name: &&&str| request.query_pairs().any(|(sent, _)| sent == ***name);
        let sent = self.tolerated.iter().filter(is_sent);
        sent.map(|name| format!("The parameter `{name}` does nothing here.")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;
    use crate::testing::requested;

    fn at<T>(query: &str, parameters: Parameters, look: impl Fn(&Request<'_>) -> T) -> T {
        let target = format!("/v1/contexts?{query}");
        requested(&target, parameters, &[], b"", async |request: &Request<'_>| look(request))
    }

    const SOME: Parameters = Parameters::NONE.reading(&["limit", "status"]).tolerating(&["owner"]);

    #[test]
    fn what_nobody_reads_is_refused_and_what_is_there_twice() {
        let checked = |query: &str, parameters: Parameters| {
            let problem = at(query, parameters, |request| parameters.check(request)).err()?;
            let at: Vec<String> = problem.errors().iter().map(|e| e.pointer.clone()).collect();
            Some((problem.code, at.join(" ")))
        };
        assert_eq!(checked("", SOME), None);
        assert_eq!(checked("limit=1&status=a&owner=x", SOME), None);
        assert_eq!(checked("x=1", SOME), Some((Code::UnknownParameter, "?x".to_owned())));
        let twice = Some((Code::ValidationFailed, "?limit".to_owned()));
        assert_eq!(checked("limit=1&limit=2", SOME), twice);
        let both = Some((Code::UnknownParameter, "?x ?limit".to_owned()));
        assert_eq!(checked("limit=1&limit=2&x=1", SOME), both);
        assert_eq!(checked("x=1", SOME.ignoring_others()), None);
        assert_eq!(checked("x=1&x=2", SOME.passed_on()), None);
        let many: String = (0..1000).map(|n| format!("p{n}=1&")).collect();
        let (_, named) = checked(&many, SOME).unwrap();
        assert_eq!(named.split(' ').count(), MAX_REPORTED);
    }

    #[test]
    fn what_does_nothing_is_said() {
        let said = |query: &str, parameters: Parameters| {
            at(query, parameters, |request| parameters.warnings(request))
        };
        assert_eq!(said("owner=x&limit=1", SOME), ["The parameter `owner` does nothing here."]);
        assert!(said("limit=1", SOME).is_empty() && said("", SOME).is_empty());
        assert!(said("owner=x", Parameters::NONE).is_empty());
    }

    #[test]
    fn what_is_read_is_known_unless_it_is_all() {
        assert!(SOME.reads("limit") && !SOME.reads("owner") && !SOME.are_passed_on());
        assert_eq!(SOME.read(), Some(["limit", "status"].as_slice()));
        let all = SOME.passed_on();
        assert!(all.reads("owner") && all.are_passed_on());
        assert_eq!(all.read(), None);
    }
}
