//! Dangerous shell commands, in every file that a shell may run.

use super::Rule;
use super::language::{Language, has_word};

pub(super) const TLS: Rule =
    Rule { name: "tls-verification", what: "the other side of a TLS connection is not verified" };
const PIPED: Rule =
    Rule { name: "pipe-to-shell", what: "a download is run at once, whatever it contains" };
const ROOT_REMOVED: Rule =
    Rule { name: "remove-root", what: "this removes everything below the root directory" };
const FOR_EVERYBODY: Rule =
    Rule { name: "chmod-777", what: "everybody on the machine may change this" };

/// Adds the rules that a line breaks.
pub(super) fn find(line: &str, language: Language, found: &mut Vec<Rule>) {
    if language.is_run_by_shell() {
        if is_piped(line) {
            found.push(PIPED);
        }
        if removes_root(line) {
            found.push(ROOT_REMOVED);
        }
        if is_unverified(line) {
            found.push(TLS);
        }
    }
    if is_for_everybody(line, language) {
        found.push(FOR_EVERYBODY);
    }
}

/// The words of a command line, without quotes around them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let quotes = ['"', '\'', '`', '(', ')', ';', ',', '[', ']'];
    text.split_whitespace()
        .map(move |word| word.trim_matches(quotes))
        .filter(|word| !word.is_empty())
}

fn is_download(text: &str) -> bool {
    words(text).any(|word| matches!(word.rsplit('/').next(), Some("curl" | "wget")))
}

fn is_shell(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or_default();
    matches!(name, "sh" | "bash" | "zsh" | "dash" | "ksh" | "python" | "python3" | "perl" | "ruby")
}

/// Whether a line runs a download: `curl … | sh`, `bash <(curl …)` or `sh -c "$(curl …)"`.
fn is_piped(line: &str) -> bool {
    if !is_download(line) && !line.contains("(curl ") && !line.contains("(wget ") {
        return false;
    }
    for opening in ["<(curl ", "<(wget ", "$(curl ", "$(wget "] {
        let Some((before, _)) = line.split_once(opening) else { continue };
        let mut last = words(before.trim_end_matches(['"', '\''])).collect::<Vec<_>>();
        if last.last() == Some(&"-c") {
            last.pop();
        }
        if last.last().is_some_and(|word| is_shell(word) || matches!(*word, "eval" | "source")) {
            return true;
        }
    }
    let mut is_downloaded = false;
    let mut is_alternative = false;
    for part in line.split('|') {
        // The empty part within `||`: the command after it runs if the download fails.
        if part.is_empty() {
            is_alternative = true;
            is_downloaded = false;
            continue;
        }
        let mut command = words(part).skip_while(|word| {
            matches!(*word, "sudo" | "env" | "exec") || word.starts_with('-') || word.contains('=')
        });
        if is_downloaded && !is_alternative && command.next().is_some_and(is_shell) {
            return true;
        }
        is_alternative = false;
        let last = part.rsplit(['&', ';']).next().unwrap_or_default();
        is_downloaded = is_download(last) || (is_downloaded && !part.contains(['&', ';']));
    }
    false
}

/// Whether a line has `rm -rf` of `/` or `/*`. Other directories do not count.
fn removes_root(line: &str) -> bool {
    let mut words = line.split_whitespace().map(|word| word.trim_matches(['"', '\'', ';', ')']));
    while let Some(word) = words.next() {
        if word.rsplit(['(', '"', '\'', '/']).next() != Some("rm") {
            continue;
        }
        let (mut is_recursive, mut is_forced) = (false, false);
        for word in words.by_ref() {
            match word {
                "--recursive" => is_recursive = true,
                "--force" | "--no-preserve-root" => is_forced = true,
                flags if flags.starts_with('-') => {
                    is_recursive |= flags.contains(['r', 'R']);
                    is_forced |= flags.contains('f');
                }
                "/" | "/*" if is_recursive && is_forced => return true,
                "&&" | "||" | "|" => break,
                _ => {}
            }
        }
    }
    false
}

/// Whether `curl`, `wget` or `git` is told not to verify certificates.
fn is_unverified(line: &str) -> bool {
    let has = |flag: &str| words(line).any(|word| word == flag);
    let is_curl = words(line).any(|word| word == "curl");
    (is_curl && (has("-k") || has("--insecure")))
        || has("--no-check-certificate")
        || (line.contains("http.sslVerify") && line.contains("false"))
}

/// Whether a line gives all rights to everybody, by a command or by a call.
fn is_for_everybody(line: &str, language: Language) -> bool {
    if !has_word(line, "chmod") && !has_word(line, "chmodSync") {
        return false;
    }
    let after = line.split("chmod").skip(1);
    after.into_iter().any(|rest| {
        let is_command = rest.starts_with(char::is_whitespace) && language.is_run_by_shell();
        let is_call = rest.trim_start_matches("Sync").starts_with('(') && language.is_code();
        // `&` and `~` take rights away.
        let is_call = is_call && !rest.contains(['&', '~']);
        let mut words = rest
            .split(|c: char| c.is_whitespace() || "\"'`(),;".contains(c))
            .filter(|word| !word.is_empty() && !word.starts_with('-'));
        let is_everybody =
            |word: &str| matches!(word, "777" | "0777" | "0o777" | "a+rwx" | "ugo+rwx");
        (is_command && words.next().is_some_and(is_everybody))
            || (is_call && words.take(3).any(is_everybody))
    })
}
