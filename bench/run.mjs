// `npm run bench`: sets up and builds what is missing, then measures on the repository's own Node.
// `--quick`, `--rounds N`, `--only <start of a case's name>`, `--flat`; see README.md.
import { fileURLToPath } from "node:url";
import { build } from "../scripts/build.mjs";
import { run } from "../scripts/lib/command.mjs";
import { NODE, toolEnv } from "../scripts/lib/paths.mjs";

if (!(await build("release"))) process.exit(1);
process.exitCode = await run(NODE, [fileURLToPath(new URL("./measure.mjs", import.meta.url)), ...process.argv.slice(2)], {
  env: toolEnv({ WORKER_PROFILE: "release" }),
});
