// Preloaded into the wranglers of `npm start`: when that is gone, however it ended, they end too,
// and with them the runtime they started, which would otherwise keep the port.
process.on("disconnect", () => {
  process.kill(process.pid, "SIGTERM");
  setTimeout(() => process.kill(-process.pid, "SIGKILL"), 3000);
});
