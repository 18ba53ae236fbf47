//! The log: one JSON object a line, for whoever operates the gateway. Never a secret, a token, a
//! body or a personal datum.

use std::cell::Cell;

/// Something failed that somebody should look at.
pub fn error(event: &str, fields: &[(&str, &str)]) {
    write(Level::Error, event, fields);
}

/// Something failed that mends itself.
pub fn warn(event: &str, fields: &[(&str, &str)]) {
    write(Level::Warn, event, fields);
}

/// Something that happens once in a while and is worth a line.
pub fn info(event: &str, fields: &[(&str, &str)]) {
    write(Level::Info, event, fields);
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Somebody should look at it.
    Error,
    /// It mends itself.
    Warn,
    /// It is worth a line.
    Info,
}

fn write(level: Level, event: &str, fields: &[(&str, &str)]) {
    let name = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
    };
    let mut line = serde_json::Map::new();
    line.insert("level".to_owned(), name.into());
    line.insert("event".to_owned(), event.into());
    for (key, value) in fields {
        line.insert((*key).to_owned(), (*value).into());
    }
    SINK.get()(level, &serde_json::Value::Object(line).to_string());
}

/// Where a line goes. Natively standard output, which tests capture; a runtime sets its own.
type Sink = fn(Level, &str);

thread_local! {
    static SINK: Cell<Sink> = const { Cell::new(print) };
}

/// Sends every line of this thread to `sink` from now on.
pub fn send_to(sink: Sink) {
    SINK.set(sink);
}

#[allow(clippy::print_stdout, reason = "natively the log is standard output")]
fn print(_: Level, line: &str) {
    println!("{line}");
}
