//! The language of a file by its name, and its lines without literals and comments.

/// A language, or a family of them that have the same comments and literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    JavaScript,
    Python,
    Rust,
    Go,
    Ruby,
    Php,
    /// Java, Kotlin, Scala, C#, Swift, Dart.
    Classes,
    C,
    /// Also what is run by a shell: build files, images.
    Shell,
    Yaml,
    Json,
    /// Text for people.
    Prose,
    Other,
}

use Language::{
    C, Classes, Go, JavaScript, Json, Other, Php, Prose, Python, Ruby, Rust, Shell, Yaml,
};

impl Language {
    /// The language of a file.
    pub(super) fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.starts_with("Dockerfile") || name == "Makefile" || name == "Containerfile" {
            return Shell;
        }
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        match extension.as_deref().unwrap_or_default() {
            "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "cts" | "vue" | "svelte" => {
                JavaScript
            }
            "py" | "pyw" | "pyi" => Python,
            "rs" => Rust,
            "go" => Go,
            "rb" | "rake" => Ruby,
            "php" => Php,
            "java" | "kt" | "kts" | "scala" | "cs" | "swift" | "dart" => Classes,
            "c" | "h" | "cc" | "cpp" | "cxx" | "hpp" | "m" | "mm" => C,
            "sh" | "bash" | "zsh" | "ksh" | "dockerfile" | "mk" => Shell,
            "yml" | "yaml" => Yaml,
            "json" | "json5" | "jsonc" => Json,
            "md" | "mdx" | "rst" | "txt" | "adoc" => Prose,
            _ => Other,
        }
    }

    /// Whether a change of it wants a test.
    pub(super) fn is_code(self) -> bool {
        matches!(self, JavaScript | Python | Rust | Go | Ruby | Php | Classes | C)
    }

    /// Whether what is in it is run by a shell, or may be.
    pub(super) fn is_run_by_shell(self) -> bool {
        matches!(self, Shell | Yaml | Json)
    }

    fn comment(self) -> &'static [&'static str] {
        match self {
            JavaScript | Rust | Go | Classes | C => &["//"],
            Php => &["//", "#"],
            Python | Ruby | Shell | Yaml => &["#"],
            Json | Prose | Other => &[],
        }
    }

    fn quotes(self) -> &'static str {
        match self {
            // Of the others a `'` is a character or a lifetime.
            Rust | Classes | C => "\"",
            JavaScript | Go => "\"'`",
            _ => "\"'",
        }
    }

    /// Whether the whole line is a comment.
    pub(super) fn is_comment(self, line: &str) -> bool {
        let line = line.trim_start();
        let is_block = matches!(self, JavaScript | Rust | Go | Classes | C | Php)
            && ["/*", "* ", "*/"].iter().any(|mark| line.starts_with(mark));
        is_block || self.comment().iter().any(|mark| line.starts_with(mark))
    }

    /// A line without what is in its literals, and without the comment at its end.
    pub(super) fn code(self, line: &str) -> String {
        let mut code = String::with_capacity(line.len());
        let mut open: Option<char> = None;
        let mut chars = line.char_indices();
        while let Some((at, c)) = chars.next() {
            match open {
                Some(_) if c == '\\' => {
                    chars.next();
                }
                Some(quote) if c == quote => {
                    open = None;
                    code.push(c);
                }
                Some(_) => {}
                None => {
                    let rest = line.get(at..).unwrap_or_default();
                    if self.comment().iter().any(|mark| rest.starts_with(mark)) {
                        break;
                    }
                    // The quote of a character, which is no literal.
                    if self.quotes().contains(c) && !code.ends_with('\'') {
                        open = Some(c);
                    }
                    code.push(c);
                }
            }
        }
        code
    }
}

/// Whether a text has this word, and not as a part of another.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (text.get(..at), text.get(at + word.len()..));
        !before.unwrap_or_default().ends_with(is_part)
            && !after.unwrap_or_default().starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_without_literals_and_comments() {
        for (language, line, expected) in [
            (JavaScript, "a('eval(x)') // eval(y)", "a('') "),
            (JavaScript, r#"a("\"eval(x)", b)"#, "a(\"\", b)"),
            (JavaScript, "fetch('http://x') + eval(y)", "fetch('') + eval(y)"),
            (Python, "x = \"#\" # eval(y)", "x = \"\" "),
            (Rust, "fn a<'a>(x: &'a str) {}", "fn a<'a>(x: &'a str) {}"),
            (Rust, "x == '\"' && y", "x == '\"' && y"),
            (Rust, "#[test]", "#[test]"),
        ] {
            assert_eq!(language.code(line), expected, "{line}");
        }
    }

    #[test]
    fn languages_are_known_by_names() {
        for (path, expected) in [
            ("a/b.TS", JavaScript),
            ("Dockerfile.dev", Shell),
            ("a/Makefile", Shell),
            ("README", Other),
            ("x.tar.gz", Other),
            (".github/workflows/ci.yml", Yaml),
        ] {
            assert_eq!(Language::of(path), expected, "{path}");
        }
    }
}
