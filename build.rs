//! Generates the list of migrations for `src/store/migrations.rs` from the folder `migrations`: in order, and
//! without comment lines. A missing number, a repeated number or a name of another form fails the build.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

const FOLDER: &str = "migrations";

fn main() -> ExitCode {
    let mut out = io::stdout();
    // Cargo compares the time of the folder, which changes when a file comes or goes, and of each file in it.
    let printed =
        writeln!(out, "cargo::rerun-if-changed={FOLDER}\ncargo::rerun-if-changed=build.rs");
    match printed.map_err(|error| error.to_string()).and_then(|()| generate()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(out, "cargo::error={problem}");
            ExitCode::FAILURE
        }
    }
}

fn generate() -> Result<(), String> {
    let names = in_order(names()?)?;
    let mut list = format!("[(&str, &str); {}] = [\n", names.len());
    for name in &names {
        let path = format!("{FOLDER}/{name}");
        let sql = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        list.push_str(&format!("    ({name:?}, {:?}),\n", without_comments(&sql)));
    }
    let list = format!(
        "/// Every migration, in order: its file's name, and its SQL without comment lines.\n\
         pub const MIGRATIONS: {list}];\n"
    );
    let directory = env::var("OUT_DIR").map_err(|error| error.to_string())?;
    let file = Path::new(&directory).join("migrations.rs");
    fs::write(&file, list).map_err(|error| format!("{}: {error}", file.display()))
}

/// The names of the folder's SQL files.
fn names() -> Result<Vec<String>, String> {
    let failed = |error: io::Error| format!("{FOLDER}: {error}");
    let mut names = Vec::new();
    for entry in fs::read_dir(FOLDER).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        names.extend(name.ends_with(".sql").then_some(name));
    }
    Ok(names)
}

/// The names sorted by their numbers, which count from 1 without a gap.
fn in_order(mut names: Vec<String>) -> Result<Vec<String>, String> {
    names.sort();
    for (index, name) in names.iter().enumerate() {
        let number = number_of(name).ok_or_else(|| {
            format!("{FOLDER}/{name}: a migration is named like 0001_create_contexts_table.sql")
        })?;
        let expected = index + 1;
        if number < expected {
            return Err(format!(
                "{FOLDER}/{name}: there is another migration {number:04}; this one needs a number of its own"
            ));
        }
        if number > expected {
            return Err(format!("{FOLDER}/{name}: there is no migration {expected:04} before it"));
        }
    }
    Ok(names)
}

/// The number of `NNNN_what_it_does.sql`.
fn number_of(name: &str) -> Option<usize> {
    let (number, what) = name.strip_suffix(".sql")?.split_once('_')?;
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_number = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_named = !what.is_empty() && what.chars().all(is_word);
    if is_number && is_named { number.parse().ok() } else { None }
}

/// Returns the SQL without its comment lines and blank lines, which the gateway does not need.
fn without_comments(sql: &str) -> String {
    let is_comment = |line: &&str| line.trim_start().starts_with("--") || line.trim().is_empty();
    sql.lines().filter(|line| !is_comment(line)).flat_map(|line| [line, "\n"]).collect()
}
