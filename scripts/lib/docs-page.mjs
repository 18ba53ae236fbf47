import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { NODE_MODULES, ROOT } from "./paths.mjs";

const VIEWER = join(ROOT, "docs", "viewer");
const SWAGGER = join(NODE_MODULES, "swagger-ui-dist");

/** What is served, by its path below build/public: the page is `/docs`, its files are `/docs/…`. */
const FILES = {
  _headers: join(VIEWER, "_headers"),
  "docs.html": join(VIEWER, "docs.html"),
  "docs/viewer.css": join(VIEWER, "viewer.css"),
  "docs/viewer.js": join(VIEWER, "viewer.js"),
  "docs/swagger-ui.css": join(SWAGGER, "swagger-ui.css"),
  "docs/swagger-ui-bundle.js": join(SWAGGER, "swagger-ui-bundle.js"),
  "docs/swagger-ui-bundle.js.LICENSE.txt": join(SWAGGER, "swagger-ui-bundle.js.LICENSE.txt"),
};

/** Makes build/public hold the page that shows the API description, and nothing else. */
export function placeDocsPage() {
  const out = join(ROOT, "build", "public");
  mkdirSync(join(out, "docs"), { recursive: true });
  for (const path of readdirSync(out, { recursive: true })) {
    if (path !== "docs" && !(path in FILES)) rmSync(join(out, path), { recursive: true, force: true });
  }
  for (const [path, source] of Object.entries(FILES)) {
    // Left alone when it is the same, so that a running wrangler does not reload.
    if (!isSame(source, join(out, path))) copyFileSync(source, join(out, path));
  }
}

function isSame(one, other) {
  try {
    return readFileSync(one).equals(readFileSync(other));
  } catch {
    return false;
  }
}
