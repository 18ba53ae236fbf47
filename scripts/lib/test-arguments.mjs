import { basename, join, relative, resolve, sep } from "node:path";
import { ROOT } from "./paths.mjs";

/** The suites of `npm test`, in the order in which they run. */
export const SUITES = ["native", "scripts", "e2e"];

/**
 * Reads the arguments after `npm test --`.
 *
 * @param {string[]} words
 * @param {string[]} files every test file of `scripts` and `e2e`
 * @returns {{profile: "dev" | "release", suites: string[][]} | {problem: string}} each suite is its name and
 *   what to run of it: test files, or for `native` a part of the tests' names; a name alone runs all of it
 */
export function parseTestArguments(words, files) {
  const profile = words.includes("--release") ? "release" : "dev";
  const [first, ...rest] = words.filter((word) => word !== "--release");
  if (!first) return { profile, suites: SUITES.map((name) => [name]) };
  const isSuite = SUITES.includes(first);
  if (isSuite && (rest.length === 0 || first === "native")) return { profile, suites: [[first, ...rest]] };
  const chosen = (isSuite ? rest : [first, ...rest]).map((word) => [word, fileOf(word, files)]);
  const unknown = chosen.find(([, file]) => !file)?.[0];
  if (unknown) return { problem: `There is no suite and no test file "${unknown}": ${SUITES.join(", ")}, or a file such as contexts of tests/e2e.` };
  const ofScripts = ([, file]) => relative(ROOT, file).startsWith(`scripts${sep}`);
  const names = (some) => some.map(([, file]) => file);
  const groups = [["scripts", ...names(chosen.filter(ofScripts))], ["e2e", ...names(chosen.filter((one) => !ofScripts(one)))]];
  return { profile, suites: groups.filter(([, ...some]) => some.length > 0) };
}

/** Finds a test file by its path, or by its name with or without `.test.mjs`. */
function fileOf(word, files) {
  return files.find((file) => file === resolve(word) || file === join(ROOT, word) || [word, `${word}.test.mjs`].includes(basename(file)));
}
