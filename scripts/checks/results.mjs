/** The result of a check that could not be run: it has neither passed nor failed. */
export function notRun(reason) {
  return { reason };
}

/**
 * Returns the last lines to print and the exit code: 1 when a check failed; 2 when none failed, but one that
 * was asked for was not run; else 0.
 *
 * @param {{ name: string, result: boolean | { reason: string }, asked: boolean }[]} checks
 * @returns {{ lines: string[], counts: string, code: number }} `counts` is the last line
 */
export function summary(checks) {
  const passed = checks.filter(({ result }) => result === true);
  const failed = checks.filter(({ result }) => result === false);
  const skipped = checks.filter(({ result }) => typeof result === "object");
  const lines = skipped.map(({ name, result }) => `Not run: ${name}: ${result.reason}.`);
  if (failed.length > 0) lines.push(`Complaints from ${failed.map(({ name }) => name).join(", ")}: see above.`);
  else if (skipped.length === 0) lines.push("Nothing to complain about.");
  const counts = `${passed.length} passed, ${failed.length} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`;
  const code = failed.length > 0 ? 1 : skipped.some(({ asked }) => asked) ? 2 : 0;
  return { lines, counts, code };
}

/**
 * Checks that no advisory is about a dependency. The database is fetched in a step of its own, so that a
 * failed fetch does not count as an advisory.
 *
 * @param {(...args: string[]) => Promise<boolean | { reason: string }>} deny runs cargo-deny
 */
export async function checkAdvisories(deny) {
  // The index says which versions were yanked.
  const fetched = await deny("fetch", "db", "index");
  if (fetched === false) return notRun("RustSec's database or the index of crates.io could not be fetched, so the dependencies could not be checked");
  if (fetched !== true) return fetched;
  return deny("--offline", "check", "advisories");
}
