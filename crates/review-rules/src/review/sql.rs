//! Finds SQL statements whose text is put together from values.

use super::Rule;
use super::language::Language;

pub(super) const CONCATENATED: Rule = Rule {
    name: "sql-concatenation",
    what: "a value becomes part of the text of an SQL statement: bind it as a parameter",
};

/// The beginning of a literal that is SQL, and another text that it must contain. Where the other text is
/// empty, the literal is a later part of a statement.
const STATEMENTS: &[(&str, &str)] = &[
    ("SELECT ", " FROM "),
    ("INSERT INTO ", " VALUES"),
    ("REPLACE INTO ", " VALUES"),
    ("UPDATE ", " SET "),
    ("DELETE FROM ", " WHERE "),
    ("WHERE ", ""),
    ("AND ", ""),
];

/// Whether a literal in this line is SQL, and a value is put into a place where SQL has values. Inserted
/// names of columns or tables and inserted placeholders of parameters do not count: most programs have them.
pub(super) fn is_concatenated(line: &str, language: Language) -> bool {
    if !language.is_code() {
        return false;
    }
    line.match_indices(['"', '\'', '`']).any(|(at, quote)| {
        let before = line.get(..at).unwrap_or_default();
        let rest = line.get(at + 1..).unwrap_or_default();
        // Three quotes count as one.
        let rest = rest.strip_prefix("\"\"").unwrap_or(rest).trim_start_matches(' ');
        let Some(is_whole) = starts_statement(rest) else { return false };
        let (literal, after) = rest.split_once(quote).unwrap_or((rest, ""));
        // Only in a whole statement: in a part, programs also insert placeholders of parameters like this.
        is_joined(literal, after, language)
            || (is_whole && is_filled(literal, before, after, quote, language))
    })
}

/// Returns whether the literal is a whole statement, in capitals or small letters; `None` if it is not SQL.
fn starts_statement(rest: &str) -> Option<bool> {
    STATEMENTS.iter().find_map(|(beginning, within)| {
        let small = [beginning.to_ascii_lowercase(), within.to_ascii_lowercase()];
        let is_capital = rest.starts_with(beginning) && rest.contains(within);
        // In small letters, "where" and "and" also begin sentences.
        let is_small = !within.is_empty()
            && rest.starts_with(small.first()?.as_str())
            && rest.contains(small.last()?.as_str());
        (is_capital || is_small).then_some(!within.is_empty())
    })
}

/// Whether a value is appended to the literal: `"… = " + value` or, in PHP, `"… = " . $value`.
fn is_joined(literal: &str, after: &str, language: Language) -> bool {
    let after = after.trim_start();
    let joined = match language {
        Language::Php => after.strip_prefix('.'),
        _ => after.strip_prefix('+'),
    };
    let value = joined.map(str::trim_start).unwrap_or_default();
    // Another literal does not count as a value.
    let is_value = value.starts_with(|c: char| c.is_alphabetic() || "_$(".contains(c));
    is_value && wants_value(literal)
}

/// Whether a value is inserted into the literal: `${value}`, or `{value}` or `%s` of a format.
fn is_filled(literal: &str, before: &str, after: &str, quote: &str, language: Language) -> bool {
    let filled = |mark: &str| {
        literal.match_indices(mark).any(|(at, _)| literal.get(..at).is_some_and(wants_value))
    };
    let before = before.trim_end();
    match language {
        // A tagged template binds its values: sql`…`.
        Language::JavaScript => {
            let is_tagged = before.ends_with(|c: char| c.is_alphanumeric() || "_)>]".contains(c));
            quote == "`" && !is_tagged && filled("${")
        }
        Language::Python => {
            let is_formatted = before.ends_with(['f', 'F']) || before.ends_with("f\"\"");
            let after = after.trim_start_matches('"').trim_start();
            (is_formatted && filled("{"))
                || (after.starts_with(".format(") && filled("{"))
                || (after.starts_with('%') && filled("%"))
        }
        Language::Rust => before.contains("format!(") && filled("{"),
        Language::Go => before.contains("Sprintf(") && filled("%"),
        Language::Ruby => filled("#{"),
        Language::Php => quote == "\"" && filled("$"),
        Language::Classes => {
            (before.contains("String.format(") && filled("%"))
                || (before.ends_with('$') && filled("{"))
                || filled("${")
        }
        _ => false,
    }
}

/// Whether a value would come next in a statement.
fn wants_value(statement: &str) -> bool {
    // Only the last 40 bytes are read: they decide, and this runs for each value of the statement.
    let from = statement.ceil_char_boundary(statement.len().saturating_sub(40));
    let statement = statement.get(from..).unwrap_or_default().trim_end().to_ascii_uppercase();
    let bare = statement.trim_end_matches(['(', '\'', '%', '"', ' ']);
    statement.ends_with(['=', '<', '>', '\''])
        || [" LIKE", " VALUES", " LIMIT"].iter().any(|word| bare.ends_with(word))
        || (bare.ends_with(['=', '<', '>']) && !bare.ends_with("=>"))
}
