import { realpathSync } from "node:fs";
import { ask } from "./command.mjs";
import { ROOT } from "./paths.mjs";

/**
 * Returns the commit that a directory has checked out, followed by "+" if tracked files differ from it. Empty
 * if there is no commit or no git, or the directory is not the top of a repository, as one from an archive.
 */
export function builtFrom(directory = ROOT) {
  const git = (...args) => ask("git", ["-C", directory, ...args]);
  const top = git("rev-parse", "--show-toplevel");
  // An archive that was unpacked inside another repository does not belong to its commit.
  if (!top || realpathSync(top) !== realpathSync(directory)) return "";
  const commit = git("rev-parse", "--verify", "HEAD");
  if (!commit) return "";
  return commit + (git("status", "--porcelain", "--untracked-files=no") ? "+" : "");
}
