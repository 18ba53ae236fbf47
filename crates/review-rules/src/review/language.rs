//! Recognizes the language of a file by its name, and removes literals and comments from its lines.

/// A language, or a family of languages with the same comments and literals.
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
    /// Also files whose commands a shell runs: build files and definitions of images.
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

    /// Whether it is a programming language, so that a change needs a test.
    pub(super) fn is_code(self) -> bool {
        matches!(self, JavaScript | Python | Rust | Go | Ruby | Php | Classes | C)
    }

    /// Whether a shell runs, or may run, what is in such a file.
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
            // In these languages `'` belongs to a character or a lifetime.
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

    /// Returns a line without the contents of its literals and without the comment at its end.
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
                    // A quote after a `'` is a character, such as '"', and begins no literal.
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

/// Whether a text has this word, and not only as a part of another word.
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
    fn a_language_is_recognized_by_the_name_of_a_file() {
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
