//! Reads the values of the file. Each value knows its place, which an error names.

use super::yaml::{Entry, Node, NodeKind};
use crate::cut;

/// A value and its path from the top, such as `pull_requests.summary`.
pub(super) struct Value {
    pub(super) at: String,
    node: Node,
}

/// The fields of a mapping that have not been taken yet.
pub(super) struct Fields {
    at: String,
    entries: Vec<Entry>,
    known: Vec<&'static str>,
}

impl Value {
    pub(super) fn new(at: &str, node: Node) -> Self {
        Value { at: at.to_owned(), node }
    }

    /// Returns the text of an error: the line and path of this value, and what is wrong with it.
    pub(super) fn error(&self, say: &str) -> String {
        format!("line {}: `{}` {say}", self.node.line, self.at)
    }

    pub(super) fn boolean(&self) -> Result<bool, String> {
        match &self.node.kind {
            NodeKind::Plain(text) if text == "true" => Ok(true),
            NodeKind::Plain(text) if text == "false" => Ok(false),
            _ => Err(self.error("must be true or false")),
        }
    }

    pub(super) fn number(&self, from: u64, to: u64) -> Result<u64, String> {
        let number = match &self.node.kind {
            NodeKind::Plain(text) => {
                text.parse().ok().filter(|number| (from..=to).contains(number))
            }
            _ => None,
        };
        number.ok_or_else(|| self.error(&format!("must be a whole number from {from} to {to}")))
    }

    /// Reads a text of one line and at most `max` bytes.
    pub(super) fn text(&self, max: usize) -> Result<&str, String> {
        let say = || self.error(&format!("must be a text of 1 to {max} bytes in one line"));
        let (NodeKind::Plain(text) | NodeKind::Quoted(text)) = &self.node.kind else {
            return Err(say());
        };
        let text = text.trim();
        let is_good = (1..=max).contains(&text.len()) && !text.chars().any(char::is_control);
        if is_good { Ok(text) } else { Err(say()) }
    }

    pub(super) fn list(self, max: usize) -> Result<Vec<Value>, String> {
        let (at, line) = (self.at, self.node.line);
        match self.node.kind {
            NodeKind::List(list) if list.len() <= max => {
                let named = list.into_iter().enumerate();
                Ok(named.map(|(n, node)| Value { at: format!("{at}[{n}]"), node }).collect())
            }
            NodeKind::List(_) => Err(format!("line {line}: `{at}` has more than {max} entries")),
            _ => Err(format!("line {line}: `{at}` must be a list, such as [\"one\", \"two\"]")),
        }
    }

    /// Reads the values of a mapping whose names may be any, in their order.
    pub(super) fn named(self, max: usize) -> Result<Vec<(String, Value)>, String> {
        let (at, line) = (self.at.clone(), self.node.line);
        let entries = self.fields()?.entries;
        if entries.len() > max {
            return Err(format!("line {line}: `{at}` has more than {max} fields"));
        }
        let value = |entry: Entry| {
            let at = format!("{at}.{}", cut(&entry.name, 40));
            (entry.name, Value { at, node: entry.value })
        };
        Ok(entries.into_iter().map(value).collect())
    }

    pub(super) fn fields(self) -> Result<Fields, String> {
        let (at, line) = (self.at, self.node.line);
        let entries = match self.node.kind {
            NodeKind::Map(entries) => entries,
            NodeKind::Plain(text) if matches!(text.as_str(), "" | "~" | "null") => {
                return Err(format!(
                    "line {line}: `{at}` is empty: write `{{}}` after it for the defaults, or \
                     remove it"
                ));
            }
            _ => return Err(format!("line {line}: `{at}` must have fields below it")),
        };
        for (n, entry) in entries.iter().enumerate() {
            if entries.iter().take(n).any(|earlier| earlier.name == entry.name) {
                let (line, name) = (entry.line, cut(&entry.name, 40));
                return Err(format!("line {line}: `{name}` is there twice: remove one"));
            }
        }
        Ok(Fields { at, entries, known: Vec::new() })
    }
}

impl Fields {
    /// Takes a field, if it is there.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        let n = self.entries.iter().position(|entry| entry.name == name)?;
        let at = match self.at.as_str() {
            super::TOP => name.to_owned(),
            at => format!("{at}.{name}"),
        };
        Some(Value { at, node: self.entries.swap_remove(n).value })
    }

    /// Checks that every field has been taken.
    pub(super) fn finish(self) -> Result<(), String> {
        let Some(entry) = self.entries.iter().min_by_key(|entry| entry.line) else { return Ok(()) };
        let (line, name, at) = (entry.line, cut(&entry.name, 40), &self.at);
        let known = self.known.join("`, `");
        Err(format!("line {line}: `{name}` is not known in {at}: the known fields are `{known}`"))
    }
}
