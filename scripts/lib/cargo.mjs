import { existsSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import { run } from "./command.mjs";
import { toolEnv } from "./paths.mjs";
import { during } from "./say.mjs";

const COLOR = process.stderr.isTTY ? "always" : "never";
/** Makes cargo print its progress although its output is no terminal. */
const PROGRESS = { CARGO_TERM_PROGRESS_WHEN: "always", CARGO_TERM_PROGRESS_WIDTH: "100" };

/**
 * Runs `cargo build` and shows its progress as a step called `what`.
 *
 * @param {string[]} args after `cargo build`
 * @param {string} output a file that it makes: if it does not exist yet, everything is compiled
 * @returns {Promise<string | null>} cargo's complaints if it failed, else `null`
 */
export async function cargoBuild(what, args, output) {
  const log = [];
  const compile = (progress) =>
    run("cargo", ["build", "--color", COLOR, ...args], {
      env: toolEnv(PROGRESS),
      onOutput: (chunk) => {
        log.push(Buffer.from(chunk));
        const last = [...stripVTControlCharacters(String(chunk)).matchAll(/\] (\d+\/\d+)/g)].at(-1);
        if (last) progress(`${last[1]} crates`);
      },
    });
  const name = `${what} (${args.join(" ")}${existsSync(output) ? "" : ", from nothing"})`;
  const code = await during(what, compile, name);
  return code === 0 ? null : complaints(Buffer.concat(log).toString());
}

/** Returns cargo's output without its progress. */
function complaints(text) {
  const lines = text.split(/[\r\n]+/);
  return lines.filter((line) => !/^\s*(Compiling|Building|Finished|Downloading|Downloaded|Blocking)\b/.test(stripVTControlCharacters(line))).join("\n").trim();
}
