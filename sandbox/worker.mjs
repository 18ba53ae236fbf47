/**
 * A stand-in for every ChittyOS service, for local use and tests.
 *
 * `/{service}/...` answers as that service does, `/_outside/{host}/...` as a host outside ChittyOS,
 * `/_github/...` as GitHub; `/_sandbox/...` shows their calls and makes them fail. The Worker answers only on
 * a loopback address.
 */
import { describe } from "./call.mjs";
import { CONTROL_ROUTES } from "./control.mjs";
import { GITHUB_HOSTS } from "./github/directory.mjs";
import { deliver } from "./github/hookshot.mjs";
import { isAppJwt } from "./github/jwt.mjs";
import { inflict, respond } from "./inflict.mjs";
import { HOST_NAMES } from "./outside/directory.mjs";
import { answer } from "./services/answer.mjs";
import { GITHUB, OUTSIDE, SERVICE_NAMES } from "./services/directory.mjs";

export { Ecosystem } from "./ecosystem.mjs";

const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];
const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** Payloads of GitHub may be longer; the Durable Object still accepts a request of this size. */
const MAX_CONTROL_BYTES = 30 * 1024 * 1024;

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    if (env.CHITTY_SANDBOX !== "local" || !LOOPBACK.includes(url.hostname)) return respond(refusal());
    if (url.pathname === "/") return new Response(frontPage(), { headers: { "content-type": "text/plain; charset=utf-8" } });
    const read = await readRequest(request, url);
    if (read.refused) return respond(read.refused);
    const ecosystem = env.ECOSYSTEM.getByName("local");
    if (url.pathname.startsWith("/_sandbox/")) return respond(await delivered(await ecosystem.control(controlRequest(request, url, read)), ecosystem));
    return serveCall(request, url, read, ecosystem, ctx);
  },
};

async function serveCall(request, url, { text, query }, ecosystem, ctx) {
  const callee = calleeOf(url.pathname);
  if (!callee) return respond(answer(404, { error: "unknown_service", services: SERVICE_NAMES }));
  const { record, input: described } = await describe(request, { ...callee, query, search: url.search, text });
  const input = callee.service === GITHUB ? await forGithub(described, url) : described;
  const followed = (reply) => {
    // GitHub answers the request for a redelivery first, and delivers afterwards.
    if (reply?.deliver) ctx.waitUntil(deliver(reply.deliver, ecosystem));
    return reply;
  };
  const { seq, fault, answer: reply } = await ecosystem.receive(record, input);
  followed(reply);
  if (!fault) return respond(reply);
  const response = inflict(fault, { request, answer: reply, finish: async () => followed(await ecosystem.finish(seq, input)) });
  // The work of a delayed call is done even if its caller has disconnected, as at a real service.
  if (fault.mode === "delay") ctx.waitUntil(response);
  return response;
}

/**
 * Adds what only the Worker knows: the origin for GitHub's links, and whether the App has signed the call.
 */
async function forGithub(input, { origin }) {
  return { ...input, origin, isApp: await isAppJwt(input.authorization, Date.now()) };
}

/** Sends the deliveries that a control answer asks for, and returns the answer with their results. */
async function delivered(reply, ecosystem) {
  if (!reply.deliver) return reply;
  const deliveries = await deliver(reply.deliver, ecosystem);
  if (!reply.deliver.several) return answer(200, deliveries[0]);
  const codes = Map.groupBy(deliveries, (delivery) => String(delivery?.status_code));
  return answer(200, { total: deliveries.length, statuses: Object.fromEntries([...codes].map(([code, those]) => [code, those.length])), deliveries });
}

/** The called service, host outside or part of GitHub, and the path below it. */
function calleeOf(pathname) {
  const [, host, rest] = /^\/_outside\/([^/]+)(.*)$/.exec(pathname) ?? [];
  if (host) return { service: OUTSIDE, host: host.toLowerCase(), path: rest || "/" };
  const [, its, route] = /^\/_github\/([^/]+)(.*)$/.exec(pathname) ?? [];
  if (its) return GITHUB_HOSTS.includes(its) ? { service: GITHUB, host: its, path: route || "/" } : null;
  const [, name, path] = /^\/([^/]*)(.*)$/.exec(pathname);
  // A service also answers at the host of its whole name, `chittycases.chitty.cc`. The case of a host means nothing.
  const service = SERVICE_NAMES.find((one) => [one, `chitty${one}`].includes(name.toLowerCase()));
  return service ? { service, host: null, path: path || "/" } : null;
}

async function readRequest(request, url) {
  const bytes = await request.arrayBuffer();
  if (bytes.byteLength > (url.pathname.startsWith("/_sandbox/") ? MAX_CONTROL_BYTES : MAX_BODY_BYTES)) return { refused: answer(413, { error: "body_too_large" }) };
  try {
    // The services decode their paths; a host outside accepts any path.
    if (!url.pathname.startsWith("/_outside/")) decodeURIComponent(url.pathname);
  } catch {
    return { refused: answer(400, { error: "malformed_path" }) };
  }
  return { text: new TextDecoder().decode(bytes), query: Object.fromEntries(url.searchParams) };
}

function controlRequest(request, url, { text, query }) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    // The routes that need a body refuse a missing one themselves.
  }
  return { method: request.method, path: url.pathname, query, body, at: Date.now() };
}

function refusal() {
  return answer(503, {
    error: "sandbox_refused",
    message:
      "This is the local stand-in for the ChittyOS services. It answers only on a loopback address and only when started with the variable CHITTY_SANDBOX=local. If you see this on a deployed address, delete that Worker and point SERVICE_URL_TEMPLATE at the real services.",
  });
}

function frontPage() {
  const routes = CONTROL_ROUTES.map(({ method, path, purpose }) => `  ${method.padEnd(6)} ${path.padEnd(28)} ${purpose}`);
  return [
    "ChittyOS sandbox: a stand-in for the ChittyOS services, for local use and tests.",
    "",
    "Services, each under /{name}/:",
    `  ${SERVICE_NAMES.join(" ")}`,
    "",
    "Hosts outside, each under /_outside/{host}/; any other one says that it was reached:",
    `  ${HOST_NAMES.join(" ")}`,
    "",
    "GitHub, under /_github/{name}/:",
    `  ${GITHUB_HOSTS.join(" ")}`,
    "",
    "Control:",
    ...routes,
    "",
  ].join("\n");
}
