//! Dangerous patterns in a line, by the language of its file.

use super::Rule;
use super::commands::{self, TLS};
use super::language::{Language, has_word};
use super::sql;

pub(super) const EVAL: Rule = Rule {
    name: "code-execution",
    what: "text is run as code: make sure that it comes from a trusted source",
};
const UNSAFE: Rule =
    Rule { name: "unsafe", what: "`unsafe`: people must check what the compiler no longer checks" };
const INNER_HTML: Rule =
    Rule { name: "inner-html", what: "HTML is put into a page unchanged: sanitize it first" };
const PICKLE: Rule =
    Rule { name: "unpickling", what: "unpickling runs code: unpickle only data that you trust" };
const YAML_LOAD: Rule = Rule {
    name: "yaml-load",
    what: "`yaml.load` without `SafeLoader` may make any object: use `yaml.safe_load`",
};

/// Returns the rules that a line breaks, each once. In tests only the rules of [`commands`] apply.
pub(super) fn find(line: &str, language: Language, in_tests: bool) -> Vec<Rule> {
    let mut found = Vec::new();
    if language == Language::Prose || language.is_comment(line) {
        return found;
    }
    commands::find(line, language, &mut found);
    if in_tests {
        return found;
    }
    let code = language.code(line);
    if runs_text(&code, line, language) {
        found.push(EVAL);
    }
    if skips_verification(&code, line, language) {
        found.push(TLS);
    }
    if sql::is_concatenated(line, language) {
        found.push(sql::CONCATENATED);
    }
    match language {
        Language::Rust if is_unsafe(&code) => found.push(UNSAFE),
        Language::JavaScript if has_word(&code, "dangerouslySetInnerHTML") => {
            found.push(INNER_HTML);
        }
        Language::Python => {
            if ["pickle.loads(", "pickle.load("].iter().any(|call| code.contains(call)) {
                found.push(PICKLE);
            }
            if is_unsafe_yaml(&code) {
                found.push(YAML_LOAD);
            }
        }
        _ => {}
    }
    found
}

/// Whether a line calls `eval`, `exec` or the constructor of functions, and not a method of that name; or in
/// JavaScript runs a command that is put together from values.
fn runs_text(code: &str, line: &str, language: Language) -> bool {
    let is_built = || line.contains("${") || line.contains("\" +") || line.contains("' +");
    match language {
        Language::JavaScript => {
            is_called(code, "eval")
                || is_called(code, "Function")
                || (is_built() && (is_called(code, "exec") || code.contains("execSync(")))
        }
        Language::Python => is_called(code, "eval") || is_called(code, "exec"),
        Language::Php | Language::Ruby => is_called(code, "eval"),
        _ => false,
    }
}

/// Whether a line calls the function of this name with an argument. A method and a declaration of this name
/// do not count.
fn is_called(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default();
        let after = code.get(at + name.len()..).unwrap_or_default();
        let is_part = |c: char| c.is_alphanumeric() || "_$.".contains(c);
        let is_declared = ["function", "def", "fn", "func", "async"]
            .iter()
            .any(|word| before.trim_end().ends_with(word));
        !before.ends_with(is_part)
            && !is_declared
            && after.strip_prefix('(').is_some_and(|inner| !inner.trim_start().starts_with(')'))
    })
}

/// Whether a line switches the verification of TLS off.
fn skips_verification(code: &str, line: &str, language: Language) -> bool {
    let tight: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let says = |text: &str| {
        tight.match_indices(text).any(|(at, _)| {
            let before = tight.get(..at).unwrap_or_default();
            !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    };
    if line.contains("NODE_TLS_REJECT_UNAUTHORIZED") {
        let rest = line.split("NODE_TLS_REJECT_UNAUTHORIZED").nth(1).unwrap_or_default();
        // An assignment, not a comparison.
        let value = rest.trim_start_matches([' ', '"', '\'', ']', '=', ':']);
        return !rest.contains("==") && value.starts_with('0');
    }
    match language {
        Language::Python => {
            (says("verify=False") && !tight.starts_with("def"))
                || tight.contains(".check_hostname=False")
                || tight.contains("ssl._create_unverified_context")
                || tight.contains("verify_mode=ssl.CERT_NONE")
                || tight.contains("cert_reqs=ssl.CERT_NONE")
        }
        Language::JavaScript => {
            (says("rejectUnauthorized:false") && !tight.contains(".rejectUnauthorized:"))
                || says("rejectUnauthorized=false")
        }
        Language::Go => {
            says("InsecureSkipVerify:true") || tight.contains("InsecureSkipVerify=true")
        }
        Language::Rust => {
            tight.contains("danger_accept_invalid_certs(true)")
                || tight.contains("danger_accept_invalid_hostnames(true)")
        }
        Language::Php => {
            says("CURLOPT_SSL_VERIFYPEER,false")
                || says("CURLOPT_SSL_VERIFYPEER,0")
                || line.replace(' ', "").contains("CURLOPT_SSL_VERIFYPEER=>false")
        }
        Language::Ruby => tight.contains("OpenSSL::SSL::VERIFY_NONE"),
        _ => false,
    }
}

/// Whether `unsafe` stands before a block or an item. The word alone may be the name of a lint.
fn is_unsafe(code: &str) -> bool {
    code.match_indices("unsafe").any(|(at, word)| {
        let before = code.get(..at).unwrap_or_default();
        let after = code.get(at + word.len()..).unwrap_or_default().trim_start();
        !before.ends_with(|c: char| c.is_alphanumeric() || "_#".contains(c))
            && (after.is_empty()
                || ["{", "fn ", "impl ", "impl<", "trait ", "extern "]
                    .iter()
                    .any(|next| after.starts_with(next)))
    })
}

/// Whether a call of `yaml.load` ends in this line and names no safe loader.
fn is_unsafe_yaml(code: &str) -> bool {
    code.match_indices("yaml.load(").any(|(at, call)| {
        let inner = code.get(at + call.len()..).unwrap_or_default();
        inner.contains(')') && !inner.contains("SafeLoader") && !inner.contains("BaseLoader")
    })
}

#[cfg(test)]
#[path = "dangers_tests.rs"]
mod tests;
