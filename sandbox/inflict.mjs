/** Turns a fault into a response. All waiting happens here, in the Worker. */

const LONGEST_MS = 120_000;
const HUGE_CHUNK = 64 * 1024;
const HUGE_CHUNKS = 48;
const EMPTY_STATUSES = [204, 205, 304];
const text = new TextEncoder();

/** A plain answer as a response. */
export function respond({ status, headers, body }) {
  return new Response(body, { status, headers });
}

/**
 * The response under `fault`. `finish` makes the service answer the call; it is called at most once. `answer`
 * is set if the service has answered already.
 */
export async function inflict(fault, { request, answer, finish }) {
  switch (fault.mode) {
    case "delay":
      await scheduler.wait(fault.delay_ms ?? 1000);
      return respond(answer ?? (await finish()));
    case "fallback":
      return respond(answer);
    case "fail":
      return nonsense(fault, 503, JSON.stringify({ error: "sandbox_fault", message: "This failure was asked for." }));
    case "garbage":
      return nonsense(fault, 200, "this is not JSON {");
    case "hang":
      return hang();
    case "reset":
      return reset();
    case "drip":
      return drip(fault.delay_ms ?? 100);
    case "huge":
      return huge();
    case "redirect":
      return redirect(request.url, fault.status ?? 302);
  }
}

function nonsense(fault, defaultStatus, defaultBody) {
  const status = fault.status ?? defaultStatus;
  const headers = { "content-type": fault.content_type ?? "application/json" };
  if (fault.retry_after !== undefined) headers["retry-after"] = String(fault.retry_after);
  const body = typeof fault.body === "string" ? fault.body : JSON.stringify(fault.body);
  return new Response(EMPTY_STATUSES.includes(status) ? null : (body ?? defaultBody), { status, headers });
}

/**
 * Never answers. The runtime ends this when the caller disconnects; it does not notice a half-closed
 * connection.
 */
async function hang() {
  await scheduler.wait(LONGEST_MS);
  return new Response(null, { status: 504 });
}

/** Announces 1000 bytes, sends some of them and breaks the connection. */
function reset() {
  const { readable, writable } = new FixedLengthStream(1000);
  const writer = writable.getWriter();
  writer
    .write(text.encode('{"success":true,"chittyId":"03-'))
    .then(() => writer.abort(new Error("reset")))
    .catch(() => {});
  return new Response(readable, { headers: { "content-type": "application/json" } });
}

function drip(everyMs) {
  const until = Date.now() + LONGEST_MS;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(text.encode('{"drip":"')),
    async pull(controller) {
      await scheduler.wait(everyMs);
      if (Date.now() > until) return controller.close();
      controller.enqueue(text.encode("."));
    },
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}

function huge() {
  let sent = 0;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(text.encode('{"success":true,"filler":"')),
    pull(controller) {
      sent += 1;
      if (sent <= HUGE_CHUNKS) return controller.enqueue(text.encode("x".repeat(HUGE_CHUNK)));
      controller.enqueue(text.encode('"}'));
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}

/** Redirects to another host name of this machine, so that the log shows a client that follows. */
function redirect(from, status) {
  const target = new URL(from);
  const [, ...path] = target.pathname.slice(1).split("/");
  target.hostname = target.hostname === "localhost" ? "127.0.0.1" : "localhost";
  target.pathname = `/elsewhere/${path.join("/")}`;
  return new Response(null, { status, headers: { location: target.href } });
}
