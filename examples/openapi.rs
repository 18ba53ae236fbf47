//! Writes `openapi.json`: `npm run openapi`.

fn main() -> std::io::Result<()> {
    std::fs::write("openapi.json", chittyconnect::openapi::describe::document())
}
