/** Steps of a deploy pipeline, run as GitHub runs them: by `bash -e`, with the hosts of ChittyOS played here. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT } from "./runtime.mjs";

const STEPS = path.join(ROOT, "tests/e2e/fixtures/pipeline");
const JQ = fileURLToPath(new URL("./jq.mjs", import.meta.url));

/** The hosts that are this gateway. */
const GATEWAY = /https:\/\/(?:connect|api|mcp|register|registry)\.chitty\.cc/g;
/** The own host of a service, whose name is in a variable. */
const SERVICE = /https:\/\/(\$\{\w+\})\.chitty\.cc/g;

/**
 * Runs a step of the directory `fixtures/pipeline`. Only the hosts in it are replaced.
 *
 * @param {string} name the step's file, without `.sh`
 * @param {{gatewayUrl: string, sandboxUrl: string, env?: Record<string, string>}} options
 * @returns {Promise<{code: number, stdout: string, stderr: string, output: string}>} `output` is what the step
 *   has written to `$GITHUB_OUTPUT`
 */
export async function runStep(name, { gatewayUrl, sandboxUrl, env = {} }) {
  const directory = await mkdtemp(path.join(os.tmpdir(), "chittyconnect-step-"));
  try {
    const [script, output] = [path.join(directory, "step.sh"), path.join(directory, "output")];
    const text = await readFile(path.join(STEPS, `${name}.sh`), "utf8");
    await writeFile(script, text.replace(GATEWAY, gatewayUrl).replace(SERVICE, `${sandboxUrl}/$1`));
    await writeFile(path.join(directory, "jq"), `#!/bin/sh\nexec "${process.execPath}" "${JQ}" "$@"\n`, { mode: 0o755 });
    await writeFile(output, "");
    const ended = await bash(script, {
      ...process.env,
      PATH: [directory, process.env.PATH].join(path.delimiter),
      // The hosts are on this machine.
      NO_PROXY: "*",
      no_proxy: "*",
      GITHUB_OUTPUT: output,
      ...env,
    });
    return { ...ended, output: await readFile(output, "utf8") };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function bash(script, env) {
  return new Promise((resolve) => {
    const options = { env, timeout: 60_000, maxBuffer: 16 << 20 };
    execFile("bash", ["-e", script], options, (error, stdout, stderr) => resolve({ code: error ? (error.code ?? -1) : 0, stdout, stderr }));
  });
}
