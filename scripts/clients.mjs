// `npm run clients`: checks that clients can be generated from /openapi.json. Two linters read it; a client
// in TypeScript and one in Python are generated and run a session with the gateway; schemathesis tests the
// gateway by it.
//   npm run clients -- --seed 7        another seed for schemathesis
//   npm run clients -- --seconds 600   more time for it
//   npm run clients -- NAME …          only lint, typescript, python or schemathesis
// The last line has the counts. The tools in Python are skipped where there is no python3 with venv.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { run } from "./lib/command.mjs";
import { withLock } from "./lib/lock.mjs";
import { NODE, ROOT, toolEnv } from "./lib/paths.mjs";
import { during, fail, say } from "./lib/say.mjs";
import { runTestFiles } from "./lib/test-files.mjs";
import { canMakeVenv, venv } from "./lib/venv.mjs";

const HERE = join(ROOT, "tests", "clients");
const NAMES = readdirSync(HERE).filter((name) => name.endsWith(".test.mjs")).map((name) => name.replace(".test.mjs", ""));
const IN_PYTHON = ["python", "schemathesis"];

const { names, seed, seconds } = asked(process.argv.slice(2));
if (!(await build("dev"))) fail("The gateway does not build: see above.");
const problem = await installModules();
if (problem) fail(problem);
const environment = venv("clients", join(HERE, "requirements.txt"), { what: "the tools of npm run clients", options: [] });
const hasPython = canMakeVenv();
if (hasPython && names.some((name) => IN_PYTHON.includes(name))) {
  const wrong = await environment.install();
  if (wrong) fail(wrong);
}
const left = hasPython ? [] : names.filter((name) => IN_PYTHON.includes(name));
const files = names.filter((name) => !left.includes(name)).map((name) => join(HERE, `${name}.test.mjs`));
const env = toolEnv({ CLIENTS_SEED: seed, CLIENTS_SECONDS: seconds, ...(hasPython && { CLIENTS_VENV: environment.directory }) });
const { passed, failed } = await runTestFiles(NODE, files, { concurrency: 1, env });
if (left.length > 0) say(`Not run: ${left.join(", ")}: python3 with venv is not installed.`);
console.log(`${passed} passed, ${failed} failed${left.length > 0 ? `, ${left.length} skipped` : ""}`);
process.exitCode = failed > 0 || (passed === 0 && left.length === 0) ? 1 : 0;

/** Reads the arguments after `npm run clients --`. */
function asked(words) {
  const options = { seed: "1", seconds: "120" };
  const chosen = [];
  for (let at = 0; at < words.length; at += 1) {
    const [, name, value] = /^--(seed|seconds)(?:=(.*))?$/.exec(words[at]) ?? [];
    if (!name) chosen.push(words[at]);
    else options[name] = value ?? words[(at += 1)];
  }
  const unknown = chosen.find((word) => !NAMES.includes(word)) ?? Object.values(options).find((value) => !/^\d+$/.test(value ?? ""));
  if (unknown !== undefined || Object.values(options).includes(undefined)) {
    fail(`Not understood: ${unknown ?? "a number is missing"}. There are --seed NUMBER, --seconds NUMBER, ${NAMES.join(", ")}.`);
  }
  return { ...options, names: chosen.length > 0 ? chosen : NAMES };
}

/** Runs `npm ci` in tests/clients unless that is done. Returns an error or `null`. */
function installModules() {
  const stamp = join(HERE, "node_modules", ".installed");
  const wanted = createHash("sha256").update(readFileSync(join(HERE, "package-lock.json"))).digest("hex");
  const isDone = () => {
    try {
      return readFileSync(stamp, "utf8") === wanted;
    } catch {
      return false;
    }
  };
  return withLock("clients-npm", async () => {
    if (isDone()) return null;
    let output = "";
    const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    const install = () => run("npm", args, { cwd: HERE, onOutput: (chunk) => (output += chunk) });
    if ((await during("Installing the linters and generators of npm run clients", install)) !== 0) return `${output}\nnpm ci in tests/clients failed; the output is above.`;
    writeFileSync(stamp, wanted);
    return null;
  });
}
