/**
 * The load, in a process of its own: keep-alive connections, each with one request under way. On
 * bare sockets, so that it costs little and the same for both sides.
 */
import { connect } from "node:net";
import { NUMBER } from "./requests.mjs";

const PATIENCE_MS = 10_000;

/**
 * @param {object} job
 * @param {number} job.port on 127.0.0.1
 * @param {string[]} job.requests each as it goes over the wire, taken in turn
 * @param {number} job.first the first of the numbers for NUMBER
 * @param {number} job.connections
 * @param {number} job.ms after which no new request is sent
 * @returns {Promise<{answered: number, seconds: number, statuses: Record<string, number>}>}
 */
function load({ port, requests, first, connections, ms }) {
  const statuses = {};
  let sent = 0;
  let answered = 0;
  let end = 0;
  const started = performance.now();
  const next = () => {
    if (performance.now() - started >= ms) return null;
    const request = requests[sent % requests.length].replace(NUMBER, String(first + sent).padStart(NUMBER.length, "0"));
    sent += 1;
    return request;
  };
  const note = (status) => {
    statuses[status] = (statuses[status] ?? 0) + 1;
    answered += 1;
    end = performance.now();
  };
  const all = Array.from({ length: connections }, () => converse(port, next, note));
  return Promise.all(all).then(() => ({ answered, seconds: (end - started) / 1000, statuses }));
}

/** One connection: a request, its answer, the next request, until there is none. */
function converse(port, next, note) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    let head = null;
    let status = "";
    let missing = 0;
    const send = () => {
      const request = next();
      if (request !== null) return socket.write(request, "latin1");
      socket.destroy();
      resolve();
    };
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error(`No answer for ${PATIENCE_MS} ms.`)));
    socket.once("connect", send);
    socket.once("error", reject);
    socket.once("end", () => reject(new Error("The server closed the connection.")));
    socket.on("data", (chunk) => {
      if (missing > 0) {
        missing -= chunk.length;
      } else {
        head = head ? Buffer.concat([head, chunk]) : chunk;
        const body = head.indexOf("\r\n\r\n") + 4;
        if (body < 4) return;
        const text = head.latin1Slice(0, body);
        const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
        if (length === undefined) return socket.destroy(new Error(`An answer without a length: ${text}`));
        status = text.slice(9, 12);
        missing = Number(length) - (head.length - body);
        head = null;
      }
      if (missing > 0) return;
      note(status);
      send();
    });
  });
}

process.on("message", (job) => {
  load(job).then(
    (result) => process.send({ result }),
    (error) => process.send({ error: String(error) }),
  );
});
// The benchmark is gone: nothing may be left running behind it.
process.once("disconnect", () => process.exit());
