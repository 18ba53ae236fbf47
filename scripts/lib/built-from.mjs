import { realpathSync } from "node:fs";
import { ask } from "./command.mjs";
import { ROOT } from "./paths.mjs";

/**
 * The commit that a directory has checked out, with "+" behind it where tracked files differ from it. Empty where
 * the directory is no repository's own, as one from an archive, or there is no git.
 */
export function builtFrom(directory = ROOT) {
  const git = (...args) => ask("git", ["-C", directory, ...args]);
  const top = git("rev-parse", "--show-toplevel");
  // An archive that was unpacked inside another repository is not of its commits.
  if (!top || realpathSync(top) !== realpathSync(directory)) return "";
  const commit = git("rev-parse", "--verify", "HEAD");
  if (!commit) return "";
  return commit + (git("status", "--porcelain", "--untracked-files=no") ? "+" : "");
}
