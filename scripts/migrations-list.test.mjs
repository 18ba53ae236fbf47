// The list of migrations that build.rs makes: in a crate of its own, compiled as cargo does it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ROOT, toolEnv } from "./lib/paths.mjs";

const crate = mkdtempSync(join(tmpdir(), "chittyconnect-migrations-"));
after(() => rmSync(crate, { recursive: true, force: true }));

for (const file of ["build.rs", "rust-toolchain.toml"]) copyFileSync(join(ROOT, file), join(crate, file));
mkdirSync(join(crate, "src"));
mkdirSync(join(crate, "migrations"));
writeFileSync(join(crate, "Cargo.toml"), '[package]\nname = "list"\nedition = "2024"\n\n[workspace]\n');
writeFileSync(join(crate, "src/main.rs"), 'include!(concat!(env!("OUT_DIR"), "/migrations.rs"));\nfn main() {\n    print!("{MIGRATIONS:?}");\n}\n');

const put = (name, text) => writeFileSync(join(crate, "migrations", name), text);
const take = (name) => rmSync(join(crate, "migrations", name));

/** Builds incrementally and returns the compiled list, or cargo's complaint. */
function list() {
  const { status, stdout, stderr } = spawnSync("cargo", ["run", "--quiet", "--offline"], { cwd: crate, encoding: "utf8", env: toolEnv({ CARGO_TARGET_DIR: join(crate, "target") }) });
  return status === 0 ? stdout : { complaint: stderr };
}

test("an incremental build sees new, changed and removed files", () => {
  put("README.md", "no migration");
  put("0002_second.sql", "-- Why.\nCREATE TABLE b (x); -- here\n\n  -- More.\nCREATE TABLE c (x);\n");
  put("0001_first.sql", 'SELECT "a";');
  const [first, second] = ['("0001_first.sql", "SELECT \\"a\\";\\n")', '("0002_second.sql", "CREATE TABLE b (x); -- here\\nCREATE TABLE c (x);\\n")'];
  assert.equal(list(), `[${first}, ${second}]`);

  put("0003_third.sql", "SELECT 3;");
  // As for a file that was unpacked or moved here: only the folder itself is newer.
  utimesSync(join(crate, "migrations/0003_third.sql"), new Date(0), new Date(0));
  assert.equal(list(), `[${first}, ${second}, ("0003_third.sql", "SELECT 3;\\n")]`);

  put("0003_third.sql", "SELECT 4;");
  assert.equal(list(), `[${first}, ${second}, ("0003_third.sql", "SELECT 4;\\n")]`);

  take("0003_third.sql");
  assert.equal(list(), `[${first}, ${second}]`);
});

for (const [what, name, complaint] of [
  ["a gap", "0004_fourth.sql", "migrations/0004_fourth.sql: there is no migration 0003 before it"],
  ["a number that is there twice", "0002_another.sql", "migrations/0002_second.sql: there is another migration 0002; this one needs a number of its own"],
  ["a name without a number", "third.sql", "migrations/third.sql: a migration is named like 0001_create_contexts_table.sql"],
  ["a number of three digits", "003_third.sql", "migrations/003_third.sql: a migration is named like 0001_create_contexts_table.sql"],
]) {
  test(`${what} does not compile`, () => {
    put(name, "SELECT 1;");
    try {
      const { complaint: said } = list();
      assert.ok(said?.includes(`error: list@0.0.0: ${complaint}`), said);
    } finally {
      take(name);
    }
  });
}
