//! Which query parameters a route takes, and what happens to the others.

use crate::problem::{FieldError, Problem};
use crate::request::{MAX_REPORTED, Request, TWICE, pointer};

/// The query parameters that a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// The parameters that its handler reads.
    read: &'static [&'static str],
    /// The parameters that callers send although they have no effect: accepted, and named in `warnings`.
    tolerated: &'static [&'static str],
    others: UnreadParameters,
}

/// What happens to a parameter that is neither read nor tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnreadParameters {
    /// The request is refused with 422.
    Refused,
    /// It is ignored, because callers of the route append parameters of their own.
    Ignored,
    /// The handler reads the query as a whole.
    Passed,
}

impl Parameters {
    /// No parameters.
    pub const NONE: Parameters =
        Parameters { read: &[], tolerated: &[], others: UnreadParameters::Refused };

    /// The same, but the handler reads `names`.
    #[must_use]
    pub const fn reading(self, names: &'static [&'static str]) -> Self {
        Parameters { read: names, ..self }
    }

    /// The same, but `names` are accepted although they have no effect.
    #[must_use]
    pub const fn tolerating(self, names: &'static [&'static str]) -> Self {
        Parameters { tolerated: names, ..self }
    }

    /// The same, but any other parameter is ignored.
    #[must_use]
    pub const fn ignoring_others(self) -> Self {
        Parameters { others: UnreadParameters::Ignored, ..self }
    }

    /// The same, but the handler reads the query as a whole.
    #[must_use]
    pub const fn passed_on(self) -> Self {
        Parameters { others: UnreadParameters::Passed, ..self }
    }

    /// Whether the handler reads the query as a whole.
    pub fn are_passed_on(&self) -> bool {
        self.others == UnreadParameters::Passed
    }

    /// Whether the handler may read this parameter.
    pub fn reads(&self, name: &str) -> bool {
        self.others == UnreadParameters::Passed || self.read.contains(&name)
    }

    /// The names of the parameters that the handler reads; `None` if it reads the query as a whole.
    pub fn read(&self) -> Option<&'static [&'static str]> {
        (self.others != UnreadParameters::Passed).then_some(self.read)
    }

    /// Checks that the route takes each parameter of a query, and that none is repeated. Checks nothing where
    /// other parameters are ignored or the handler reads the query as a whole.
    ///
    /// # Errors
    /// 422 that names the unknown and the repeated parameters, at most [`MAX_REPORTED`].
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

    /// Returns a warning for each parameter of an accepted query that has no effect.
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
    fn an_unknown_or_repeated_parameter_is_refused() {
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
    fn a_parameter_without_effect_gets_a_warning() {
        let said = |query: &str, parameters: Parameters| {
            at(query, parameters, |request| parameters.warnings(request))
        };
        assert_eq!(said("owner=x&limit=1", SOME), ["The parameter `owner` does nothing here."]);
        assert!(said("limit=1", SOME).is_empty() && said("", SOME).is_empty());
        assert!(said("owner=x", Parameters::NONE).is_empty());
    }

    #[test]
    fn the_names_that_are_read_are_known_unless_the_whole_query_is_read() {
        assert!(SOME.reads("limit") && !SOME.reads("owner") && !SOME.are_passed_on());
        assert_eq!(SOME.read(), Some(["limit", "status"].as_slice()));
        let all = SOME.passed_on();
        assert!(all.reads("owner") && all.are_passed_on());
        assert_eq!(all.read(), None);
    }
}
