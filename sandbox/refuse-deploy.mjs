// The build step of the sandbox: it builds nothing, and stops every command but `wrangler dev`.
const command = process.env.WRANGLER_COMMAND ?? "an unknown command";

if (command !== "dev") {
  console.error(`The sandbox stands in for the ChittyOS services on one machine and must never be deployed: refusing "${command}". Only "wrangler dev" may run it.`);
  process.exit(1);
}
