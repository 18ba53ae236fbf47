// Measures what a wasm module consists of, by the crates of its functions.
import { gzipSync } from "node:zlib";

/** The most that the gzipped release build may have, in KB of 1,024 bytes. */
export const TARGET_KB = 800;

const SECTIONS = ["custom", "types", "imports", "functions", "tables", "memories", "globals", "exports", "start", "elements", "code", "data", "data count", "tags"];
const [CUSTOM, IMPORTS, CODE] = [0, 2, 10];
const FUNCTION_NAMES = 1;
/** Crates of the standard library. An impl of another crate's trait for their types is that crate's. */
const STANDARD = new Set(["core", "alloc", "std"]);
/** The group of functions without a crate in their name: the allocator's entry points, memcpy, exports. */
export const NO_CRATE = "(no crate)";

/**
 * @typedef {{name: string, crate: string, bytes: Buffer}} WasmFunction
 *   `bytes` is its entry in the code section
 * @typedef {{name: string, bytes: Buffer}} WasmSection
 *   `bytes` is its content; custom sections, which do not run, are left out
 */

/**
 * Takes a module apart.
 *
 * @param {Buffer} wasm a module with a name section whose names are demangled, as wasm-bindgen writes them
 * @returns {{functions: WasmFunction[], sections: WasmSection[], bytes: Buffer}} `sections` without the code;
 *   `bytes` is the module without its custom sections
 * @throws where the module has no names, or its parts do not add up to it
 */
export function takeApart(wasm) {
  const module = new Reader(wasm);
  if (module.bytes(8).toString("latin1") !== "\0asm\x01\0\0\0") throw new Error("This is no wasm module of version 1.");
  const [sections, kept] = [[], [wasm.subarray(0, 8)]];
  let [imported, bodies, names] = [0, [], null];
  while (!module.atEnd) {
    const start = module.at;
    const id = module.byte();
    const content = module.bytes(module.number());
    const section = new Reader(content);
    if (id === CUSTOM) {
      if (section.text() === "name") names = functionNames(section);
      continue;
    }
    kept.push(wasm.subarray(start, module.at));
    if (id === IMPORTS) imported = importedFunctions(section);
    if (id === CODE) bodies = Array.from({ length: section.number() }, () => section.entry());
    else sections.push({ name: SECTIONS[id] ?? `section ${id}`, bytes: content });
    if (id === CODE && !section.atEnd) throw new Error("The code section holds more than its functions.");
  }
  if (names === null) throw new Error("The module has no name section, so the crates of its functions are not known.");
  const functions = bodies.map((bytes, index) => {
    const name = names.get(imported + index) ?? "";
    return { name, crate: crateOf(name), bytes };
  });
  return { functions, sections, bytes: Buffer.concat(kept) };
}

/**
 * Returns the crate that a demangled name belongs to: that of its path; for `<A as B>` that of the type `A`,
 * or of the trait `B` if `A` belongs to the standard library or to no crate; for `drop_in_place<T>` that of
 * `T`. An instance of a generic function belongs to the crate that defines the function, not to its user.
 */
export function crateOf(name) {
  const dropped = /^core(?:\[\w+\])?::ptr::drop_(?:in_place|glue)(?:::)?<(.*)>/.exec(name);
  if (dropped) return pathsIn(dropped[1]).find((crate) => !STANDARD.has(crate)) ?? "core";
  if (!name.startsWith("<")) return firstCrate(name) ?? NO_CRATE;
  const [type, trait = ""] = halves(name);
  const [ofType, ofTrait] = [firstCrate(type), firstCrate(trait)];
  return (ofType && !STANDARD.has(ofType) ? ofType : (ofTrait ?? ofType)) ?? NO_CRATE;
}

/** Returns `A` and `B` of `<A as B>::…`, or `A` alone. */
function halves(name) {
  let depth = 0;
  for (let at = 0; at < name.length; at += 1) {
    if (name[at] === "<") depth += 1;
    // The `>` of `->` closes nothing.
    if (name[at] === ">" && name[at - 1] !== "-") depth -= 1;
    if (depth === 0) return [name.slice(1, at)];
    if (depth === 1 && name.startsWith(" as ", at)) return [name.slice(1, at), name.slice(at + 4)];
  }
  return [name.slice(1)];
}

/** Returns the crate that a type or a path begins with, after any references and brackets. */
function firstCrate(text) {
  return /^(?:[&*<([]|(?:mut|const|dyn|impl) )*(\w+)(?:\[\w+\])?::/.exec(text)?.[1];
}

/** The crates of every path in a type. */
function pathsIn(text) {
  return [...text.matchAll(/(?<![\w:])(\w+)(?:\[\w+\])?::/g)].map(([, crate]) => crate);
}

/**
 * Adds up the sizes of each crate's functions and of each other section, raw and as a share of the gzipped
 * whole. The share is an estimate, in proportion to the gzipped size of the group alone.
 *
 * @param {{functions: WasmFunction[], sections: WasmSection[], bytes: Buffer}} parts
 * @param {(part: WasmFunction) => string} groupOf
 * @returns {{raw: number, gzipped: number, groups: {name: string, functions: WasmFunction[], raw: number, gzipped: number}[]}}
 *   the largest group first; the groups' raw sizes add up to the module's but for the frames of its sections
 */
export function addUp({ functions, sections, bytes }, groupOf = ({ crate }) => crate) {
  const groups = [...Map.groupBy(functions, groupOf)].map(([name, members]) => group(name, members, members.map((member) => member.bytes)));
  for (const section of sections) groups.push(group(`(${section.name})`, [], [section.bytes]));
  const gzipped = zipped([bytes]);
  const alone = groups.reduce((sum, { gzipped: size }) => sum + size, 0);
  for (const each of groups) each.gzipped *= gzipped / alone;
  return { raw: bytes.length, gzipped, groups: groups.toSorted((a, b) => b.raw - a.raw) };
}

function group(name, functions, pieces) {
  return { name, functions: functions.toSorted((a, b) => b.bytes.length - a.bytes.length), raw: pieces.reduce((sum, piece) => sum + piece.length, 0), gzipped: zipped(pieces) };
}

const zipped = (pieces) => gzipSync(Buffer.concat(pieces), { level: 9 }).length;

function importedFunctions(section) {
  let functions = 0;
  for (let left = section.number(); left > 0; left -= 1) {
    section.text();
    section.text();
    if (section.importedKind() === 0) functions += 1;
  }
  return functions;
}

function functionNames(section) {
  const names = new Map();
  while (!section.atEnd) {
    const kind = section.byte();
    const content = new Reader(section.bytes(section.number()));
    if (kind !== FUNCTION_NAMES) continue;
    for (let left = content.number(); left > 0; left -= 1) names.set(content.number(), content.text());
  }
  return names;
}

/** Reads the binary format from the front. */
class Reader {
  #buffer;
  at = 0;

  constructor(buffer) {
    this.#buffer = buffer;
  }

  get atEnd() {
    return this.at === this.#buffer.length;
  }

  byte() {
    return this.bytes(1)[0];
  }

  bytes(length) {
    if (this.at + length > this.#buffer.length) throw new Error("The module ends too early.");
    this.at += length;
    return this.#buffer.subarray(this.at - length, this.at);
  }

  /** An unsigned LEB128. */
  number() {
    let [value, scale] = [0, 1];
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }

  text() {
    return this.bytes(this.number()).toString("utf8");
  }

  /** A function's length and body. */
  entry() {
    const start = this.at;
    this.bytes(this.number());
    return this.#buffer.subarray(start, this.at);
  }

  /** Returns the kind of an import (0 is a function), and skips the rest of it. */
  importedKind() {
    const kind = this.byte();
    // A table and a global have a type before their limits or mutability.
    if (kind === 0) this.number();
    if (kind === 1) this.number();
    if (kind === 1 || kind === 2) {
      const flags = this.number();
      this.number();
      if (flags & 1) this.number();
    }
    if (kind === 3) this.bytes(2);
    if (kind === 4) {
      this.byte();
      this.number();
    }
    if (kind > 4) throw new Error(`The module imports something of the unknown kind ${kind}.`);
    return kind;
  }
}
