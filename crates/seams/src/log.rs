//! The log: one JSON object a line, for the operator of the gateway. It never contains a secret, a token, a
//! body or personal data.

use std::cell::Cell;

/// Logs a failure that somebody should look at.
pub fn error(event: &str, fields: &[(&str, &str)]) {
    write(Level::Error, event, fields);
}

/// Logs a failure that resolves itself.
pub fn warn(event: &str, fields: &[(&str, &str)]) {
    write(Level::Warn, event, fields);
}

/// Logs something that happens rarely and is worth a line.
pub fn info(event: &str, fields: &[(&str, &str)]) {
    write(Level::Info, event, fields);
}

/// The severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A failure that somebody should look at.
    Error,
    /// A failure that resolves itself.
    Warn,
    /// No failure, but worth a line.
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

/// The function that writes a line. Natively it prints to standard output, which tests capture; a runtime
/// sets its own.
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
