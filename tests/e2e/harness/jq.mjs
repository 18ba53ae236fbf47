/**
 * A stand-in for `jq`, which not every machine has: the filters of the pipelines' steps, which are paths
 * (`.services[].name`), `select(.name == "x")` and `length`, joined by `|`; and the options `-r` and `-e`.
 */
import { readFileSync } from "node:fs";

const options = process.argv.slice(2).filter((one) => one.startsWith("-"));
const [filter, ...more] = process.argv.slice(2).filter((one) => !one.startsWith("-"));
const unknown = options.find((one) => !["-r", "-e"].includes(one));
if (unknown || filter === undefined || more.length > 0) throw new Error(`This stand-in does not know ${unknown ?? process.argv.slice(2).join(" ")}.`);

let values = [JSON.parse(readFileSync(0, "utf8"))];
for (const stage of filter.split("|").map((one) => one.trim())) values = values.flatMap((value) => apply(stage, value));
for (const value of values) console.log(options.includes("-r") && typeof value === "string" ? value : JSON.stringify(value, null, 2));
// As jq: 1 if the last output is false or null, 4 without any output.
if (options.includes("-e")) process.exitCode = values.length === 0 ? 4 : [false, null].includes(values.at(-1)) ? 1 : 0;

/** The outputs of one stage of the filter for a value. */
function apply(stage, value) {
  if (stage === "length") return [Array.isArray(value) ? value.length : Object.keys(value).length];
  const [, path, text] = /^select\((\S+) == ("(?:[^"\\]|\\.)*")\)$/.exec(stage) ?? [];
  if (path) return follow(path, value).some((found) => found === JSON.parse(text)) ? [value] : [];
  return follow(stage, value);
}

/** The values at a path. */
function follow(path, value) {
  const steps = path.match(/\.\w+|\[\]/g) ?? [];
  if (steps.join("") !== path) throw new Error(`This stand-in does not know the filter ${path}.`);
  return steps.reduce((found, step) => found.flatMap((one) => (step === "[]" ? one : [one[step.slice(1)] ?? null])), [value]);
}
