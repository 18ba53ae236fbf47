// Runs after every npm install, so that wrangler finds its Node with plain `npx` too.
import { linkNode } from "./lib/node-modules.mjs";

linkNode();
