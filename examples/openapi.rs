//! Writes `openapi.json`: `npm run openapi`.

const FILE: &str = "openapi.json";

fn main() -> std::io::Result<()> {
    let document = chittyconnect::description::document();
    // The worker is compiled with it: a new time stamp alone would compile everything again.
    if std::fs::read_to_string(FILE).is_ok_and(|present| present == document) {
        return Ok(());
    }
    std::fs::write(FILE, document)
}
