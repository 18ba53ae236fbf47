//! The log: one JSON object a line, for whoever operates the gateway. Never a secret, a token, a
//! body or a personal datum.

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

#[derive(Clone, Copy)]
enum Level {
    Error,
    Warn,
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
    emit(level, &serde_json::Value::Object(line).to_string());
}

#[cfg(target_family = "wasm")]
fn emit(level: Level, line: &str) {
    match level {
        Level::Error => worker::console_error!("{line}"),
        Level::Warn => worker::console_warn!("{line}"),
        Level::Info => worker::console_log!("{line}"),
    }
}

#[cfg(not(target_family = "wasm"))]
#[allow(clippy::print_stdout, reason = "natively the log is standard output, which tests capture")]
fn emit(_: Level, line: &str) {
    println!("{line}");
}
