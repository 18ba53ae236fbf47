import { relative } from "node:path";
import { run } from "./command.mjs";
import { ROOT, toolEnv } from "./paths.mjs";
import { duration, durations, during, remember, say } from "./say.mjs";

/** A file that takes longer counts as hanging, and is ended. */
const LIMIT_MS = 10 * 60_000;

/** The files to begin with if no times are known yet, so that a long file is not the last one to end. */
const LONGEST = ["documents", "github-durability", "weather", "durability", "upstreams", "first-request"];

/**
 * Runs each test file in a process of its own, `concurrency` at a time, those that took longest the
 * last time first. Prints a line with the time of each file, and the output of a file only if it failed.
 *
 * @param {string} node the Node that runs them
 * @param {string[]} files
 * @param {{concurrency: number, env?: NodeJS.ProcessEnv}} options
 * @returns {Promise<{passed: number, failed: number, ended: number}>}
 */
export async function runTestFiles(node, files, { concurrency, env = toolEnv() }) {
  const total = { passed: 0, failed: 0, ended: 0 };
  const waiting = inOrder(files);
  let done = 0;
  await during(`Testing ${files.length} files`, async (progress) => {
    const worker = async () => {
      for (let file = waiting.shift(); file; file = waiting.shift()) {
        const { passed, failed, ended } = await runFile(node, file, env);
        total.passed += passed;
        total.failed += failed;
        total.ended ||= ended;
        done += 1;
        progress(`${done} done`);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
  });
  return total;
}

async function runFile(node, file, env) {
  const name = relative(ROOT, file);
  const started = Date.now();
  const output = [];
  const onOutput = (chunk) => output.push(Buffer.from(chunk));
  const signal = AbortSignal.timeout(LIMIT_MS);
  const ended = await run(node, ["--test-reporter=spec", file], { env, onOutput, signal, killSignal: "SIGKILL" });
  const took = Date.now() - started;
  const text = Buffer.concat(output).toString();
  // The report's last lines: `ℹ pass 12`. A file that died has none, and counts as one failure.
  const number = (what) => Number(new RegExp(`^ℹ ${what} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  const passed = number("pass");
  const failed = Math.max(number("fail") + number("cancelled"), ended === 0 && passed > 0 ? 0 : 1);
  if (failed > 0) say(`${text.trimEnd()}${signal.aborted ? `\n${name} was ended after ${duration(LIMIT_MS)}.` : ""}`);
  else remember(name, took);
  say(`${failed > 0 ? "✖" : "✔"} ${name}: ${passed} passed${failed > 0 ? `, ${failed} failed` : ""}, ${duration(took)}`);
  return { passed, failed, ended };
}

function inOrder(files) {
  const known = durations();
  const guess = (file) => {
    const at = LONGEST.findIndex((name) => file.endsWith(`/${name}.test.mjs`));
    return known[relative(ROOT, file)] ?? (at < 0 ? 0 : 1000 * (LONGEST.length - at));
  };
  return files.toSorted((a, b) => guess(b) - guess(a));
}
