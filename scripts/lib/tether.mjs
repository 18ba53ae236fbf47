// Preloaded into the wranglers of `npm start`. When `npm start` is gone, however it ended, they end too,
// together with the runtime that they started, which would otherwise keep the port.
process.on("disconnect", () => {
  process.kill(process.pid, "SIGTERM");
  setTimeout(() => process.kill(-process.pid, "SIGKILL"), 3000);
});
