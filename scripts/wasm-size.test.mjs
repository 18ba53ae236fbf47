// What `npm run size` reports about a module.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { BIN } from "./lib/paths.mjs";
import { addUp, crateOf, NO_CRATE, takeApart } from "./lib/wasm-size.mjs";
import { tablesOf } from "./size.mjs";

const directory = mkdtempSync(join(tmpdir(), "chittyconnect-size-test-"));
after(() => rmSync(directory, { recursive: true }));

/** Four functions after imports of every kind, two of which are functions. */
const MODULE = `(module
  (import "host" "memory" (memory 1 2))
  (import "host" "log" (func $"js_sys::log" (param i32)))
  (import "host" "table" (table 1 funcref))
  (import "host" "global" (global $g i32))
  (import "host" "now" (func $"js_sys::now" (result i32)))
  (data (i32.const 8) "${"a text of the worker. ".repeat(20)}")
  (export "run" (func $"chittyconnect::github::run::h0123456789abcdef"))
  (func $"chittyconnect::github::run::h0123456789abcdef" (result i32)
    (call $"js_sys::log" (i32.const 1))
    (i32.add (i32.mul (call $"js_sys::now") (i32.const 123456)) (call $"<chittyconnect::keys::Key as core::fmt::Debug>::fmt")))
  (func $"<chittyconnect::keys::Key as core::fmt::Debug>::fmt" (result i32) (i32.const 7))
  (func $"core::ptr::drop_in_place<alloc::vec::Vec<serde_json::Value>>" (param i32) (call $"js_sys::log" (local.get 0)))
  (func $"memcpy" (param i32) (result i32) (i32.load (local.get 0)))
)`;

/** The module as binaryen assembles it. */
function assembled(...options) {
  const [text, wasm] = ["module.wat", "module.wasm"].map((name) => join(directory, name));
  writeFileSync(text, MODULE);
  execFileSync(join(BIN, "wasm-as"), [text, "-o", wasm, ...options]);
  return readFileSync(wasm);
}

const named = assembled("--debuginfo");
const plain = assembled();

test("every byte of a module belongs to one function or one section", () => {
  const parts = takeApart(named);
  assert.ok(parts.bytes.equals(plain), "the measured module is the one without names");
  assert.deepEqual(parts.functions.map(({ name, crate }) => [name.split("::")[0], crate]), [
    ["chittyconnect", "chittyconnect"], ["<chittyconnect", "chittyconnect"], ["core", "serde_json"], ["memcpy", NO_CRATE],
  ]);
  const { raw, gzipped, groups } = addUp(parts);
  assert.equal(raw, plain.length);
  assert.equal(gzipped, gzipSync(plain, { level: 9 }).length);
  const of = (name) => groups.find((group) => group.name === name);
  // By hand: a length, no locals, the instructions, an end.
  assert.equal(of(NO_CRATE).raw, 1 + 1 + 5 + 1);
  assert.equal(of("serde_json").raw, 1 + 1 + 4 + 1);
  assert.equal(of("chittyconnect").raw, (1 + 1 + 14 + 1) + (1 + 1 + 2 + 1));
  assert.equal(of("(data)").raw, 1 + 1 + 3 + 2 + 20 * 22);
  // The rest are frames: the module's head, each section's id and length, the number of functions.
  const frames = 8 + 1 + groups.filter(({ functions }) => functions.length === 0).length * 2 + 2;
  // The length of the data takes two bytes.
  assert.equal(groups.reduce((sum, group) => sum + group.raw, 0) + frames + 1, plain.length);
  assert.ok(Math.abs(groups.reduce((sum, group) => sum + group.gzipped, 0) - gzipped) < 1e-6);
});

test("the tables show crates, modules and the largest functions", () => {
  const tables = tablesOf(named, { top: 1 });
  const [, , crates] = tables.find(([title]) => title === "By crate");
  assert.deepEqual(crates[0].slice(0, 2), ["(data)", ""]);
  assert.deepEqual(crates.find(([name]) => name === "chittyconnect")[1], 2);
  assert.deepEqual(crates.slice(-2).map(([name]) => name), ["the whole", "target"]);
  const [, , modules] = tables.find(([title]) => title === "chittyconnect by module");
  assert.deepEqual(modules.map(([name, functions]) => [name, functions]), [["chittyconnect::github", 1], ["chittyconnect::keys", 1]]);
  const [, , largest] = tables.find(([title]) => title === "The largest functions of chittyconnect");
  assert.deepEqual(largest, [["chittyconnect::github::run", 17]]);
});

test("a module without names, or with a part missing, is refused", () => {
  assert.throws(() => takeApart(plain), /no name section/);
  assert.throws(() => takeApart(named.subarray(0, named.length - 1)), /ends too early/);
  assert.throws(() => takeApart(Buffer.from("not wasm at all")), /no wasm module/);
});

for (const [name, crate] of [
  ["chittyconnect::http::edge::serve::{{closure}}::h0123456789abcdef", "chittyconnect"],
  ["<alloc[3ca501edff3f0c7c]::string::String as core[c5930c85a12de822]::fmt::Write>::write_str[34]", "core"],
  ["<serde_json::value::Value as core::fmt::Display>::fmt::h0", "serde_json"],
  ["<alloc::vec::Vec<chittyconnect::T> as serde_core::de::Deserialize>::deserialize::h0", "serde_core"],
  ["<&mut serde_json::ser::Serializer<W> as serde_core::ser::Serializer>::serialize_str", "serde_json"],
  ["<&T as core::fmt::Display>::fmt::h0", "core"],
  ["<F as chitty_core::clock::Clock>::now::h0", "chitty_core"],
  ["<fn(core::Foo) -> worker::Bar as seams::kv::Kv>::get", "seams"],
  ["chittyconnect::github::payload::_::<impl serde_core::ser::Serialize for chittyconnect::github::payload::Pull>::serialize::h0", "chittyconnect"],
  ["core::ptr::drop_in_place<core::cell::RefCell<chittyconnect::http::limits::Window>>::h0", "chittyconnect"],
  ["core::ptr::drop_in_place<alloc::vec::Vec<&str>>::h0", "core"],
  ["<[T] as core::fmt::Debug>::fmt", "core"],
  ["__wbindgen_malloc", NO_CRATE],
  ["", NO_CRATE],
]) test(`"${name}" belongs to ${crate}`, () => assert.equal(crateOf(name), crate));
