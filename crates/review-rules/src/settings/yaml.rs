//! Reads a small part of YAML: mappings, lists and scalars, all of them bounded. It accepts no aliases, so
//! that nothing grows beyond the file, and no tags.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// The largest file, in bytes.
pub(super) const MAX_BYTES: usize = 64 << 10;

/// The deepest nesting of mappings and lists.
const MAX_DEPTH: usize = 8;

/// The most values.
const MAX_NODES: usize = 5000;

/// A value, and the line where it begins, from 1.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) kind: NodeKind,
}

#[derive(Debug)]
pub(super) enum NodeKind {
    /// A scalar without quotes: it may be a number, a boolean or nothing.
    Plain(String),
    /// A scalar in quotes, which is always text.
    Quoted(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A field of a mapping.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) value: Node,
}

/// A collection whose end has not been read yet. In a mapping, `name` is the field whose value comes next.
struct OpenCollection {
    node: Node,
    name: Option<(usize, String)>,
}

/// Reads a file of one document. Returns `None` for a document without a value.
///
/// # Errors
/// The line, and what is wrong there.
pub(super) fn parse(yaml: &str) -> Result<Option<Node>, String> {
    if yaml.len() > MAX_BYTES {
        return Err(format!("the file has more than {} KiB: shorten it", MAX_BYTES >> 10));
    }
    let mut reader = Reader { open: Vec::new(), root: None, documents: 0, nodes: 0 };
    for event in Parser::new_from_str(yaml) {
        let (event, span) = event.map_err(|error| {
            let info = error.info();
            format!("line {}: this is not YAML: {info}", error.marker().line())
        })?;
        let line = span.start.line();
        reader.take(event, line).map_err(|error| format!("line {line}: {error}"))?;
    }
    Ok(reader.root.filter(|node| !matches!(&node.kind, NodeKind::Plain(text) if text.is_empty())))
}

struct Reader {
    open: Vec<OpenCollection>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        let plain = match event {
            Event::Alias(_) => return Err("aliases are not supported: repeat the value".into()),
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                return Err("anchors are not supported: remove it".into());
            }
            Event::Scalar(.., Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err("tags are not supported: remove it".into());
            }
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("there is a second document: remove it".into());
                }
                return Ok(());
            }
            Event::Scalar(text, ScalarStyle::Plain, ..) => NodeKind::Plain(text.into_owned()),
            Event::Scalar(text, ..) => NodeKind::Quoted(text.into_owned()),
            Event::SequenceStart(..) => return self.begin(line, NodeKind::List(Vec::new())),
            Event::MappingStart(..) => return self.begin(line, NodeKind::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => {
                return match self.open.pop() {
                    Some(open) => self.put(open.node),
                    None => Ok(()),
                };
            }
            _ => return Ok(()),
        };
        self.put(Node { line, kind: plain })
    }

    fn begin(&mut self, line: usize, kind: NodeKind) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("this is nested deeper than {MAX_DEPTH}"));
        }
        self.open.push(OpenCollection { node: Node { line, kind }, name: None });
        Ok(())
    }

    /// Adds a complete value to the innermost open collection, or makes it the root.
    fn put(&mut self, node: Node) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("the file has more than {MAX_NODES} values: shorten it"));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node.kind {
            NodeKind::List(list) => list.push(node),
            NodeKind::Map(map) => match open.name.take() {
                Some((line, name)) => map.push(Entry { line, name, value: node }),
                None => match node.kind {
                    NodeKind::Plain(name) | NodeKind::Quoted(name) => {
                        open.name = Some((node.line, name));
                    }
                    _ => return Err("the name of a field must be text".into()),
                },
            },
            NodeKind::Plain(_) | NodeKind::Quoted(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_that_is_not_supported_or_too_large_is_refused() {
        for (yaml, expected) in [
            ("a: &x [1]\nb: *x", "line 1: anchors are not supported: remove it"),
            ("a: 1\nb: *x", "line 2: this is not YAML: while parsing node, found unknown anchor"),
            ("a: !!binary x", "line 1: tags are not supported: remove it"),
            ("a: 1\n---\nb: 1", "line 2: there is a second document: remove it"),
            ("? [a]\n: b", "line 1: the name of a field must be text"),
            ("[[[[[[[[[1]]]]]]]]]", "line 1: this is nested deeper than 8"),
        ] {
            assert_eq!(parse(yaml).unwrap_err(), expected, "{yaml}");
        }
        assert!(parse(&"- 1\n".repeat(MAX_NODES + 1)).unwrap_err().contains("5000 values"));
        assert!(parse(&"[".repeat(60_000)).unwrap_err().contains("recursion limit"));
        assert!(parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err().contains("64 KiB"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// A panic would take the whole isolate down.
        #[test]
        fn no_text_makes_it_panic(yaml in "([a-c]{1,2}|[-:?,\\[\\]{}#&*!|>'\"%@`<~.\\\\ \t\r]{1,2}|\n|\n  |--- |é|1){0,40}") {
            let _ = parse(&yaml);
        }

        #[test]
        fn no_characters_make_it_panic(yaml in any::<String>()) {
            let _ = parse(&yaml);
        }
    }
}
