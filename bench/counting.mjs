/**
 * The built gateway behind bindings that count: each call that goes out to D1, KV or a queue is
 * counted where it leaves the gateway, and the rows that D1 says it read and wrote. A reply says in
 * `x-bench-calls` what was called before it, `GET /bench-calls` what was called in all; both are exact
 * while one request is under way.
 */
import gateway from "../build/release/index.js";
export * from "../build/release/index.js";

/** What goes out, by a member of the binding that only this kind has. Preparing and binding do not. */
const KINDS = [
  { kind: "d1", mark: "prepare", calls: ["batch", "exec", "dump"] },
  { kind: "kv", mark: "getWithMetadata", calls: ["get", "getWithMetadata", "put", "delete", "list"] },
  { kind: "queue", mark: "sendBatch", calls: ["send", "sendBatch"] },
];
const STATEMENT = { kind: "d1", calls: ["first", "run", "all", "raw"] };

const counts = { d1: 0, kvReads: 0, kvWrites: 0, queue: 0, rowsRead: 0, rowsWritten: 0 };

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/bench-calls") return Response.json(counts);
    const before = { ...counts };
    const response = await gateway.fetch(request, countedAll(env), ctx);
    const calls = Object.entries(counts).map(([kind, count]) => [kind, count - before[kind]]);
    const told = new Response(response.body, response);
    told.headers.set("x-bench-calls", JSON.stringify(Object.fromEntries(calls)));
    return told;
  },
  queue: (batch, env, ctx) => gateway.queue(batch, countedAll(env), ctx),
  scheduled: (event, env, ctx) => gateway.scheduled(event, countedAll(env), ctx),
};

function countedAll(env) {
  return Object.fromEntries(Object.entries(env).map(([name, binding]) => [name, counted(binding)]));
}

function counted(binding) {
  const kind = KINDS.find(({ mark }) => typeof binding?.[mark] === "function");
  return kind ? counting(binding, kind) : binding;
}

function counting(target, { kind, calls }) {
  return new Proxy(target, {
    get(_, name) {
      const member = target[name];
      if (typeof member !== "function") return member;
      return (...args) => {
        if (calls.includes(name)) counts[counterOf(kind, name)] += 1;
        if (kind === "d1" && calls.includes(name)) return asked(target, name, args.map(bare));
        const result = member.apply(target, args);
        return name === "prepare" || name === "bind" ? statement(result) : result;
      };
    },
  });
}

function counterOf(kind, name) {
  if (kind !== "kv") return kind;
  return name.startsWith("get") ? "kvReads" : "kvWrites";
}

/** Asks D1 and counts the rows. D1 says nothing about the rows of `raw`, which only reads, so `all` counts them. */
async function asked(target, name, args) {
  const result = await target[name === "raw" ? "all" : name](...args);
  for (const { meta } of [result].flat()) {
    counts.rowsRead += meta?.rows_read ?? 0;
    counts.rowsWritten += meta?.rows_written ?? 0;
  }
  return name === "raw" ? target.raw(...args) : result;
}

const originals = new WeakMap();

function statement(original) {
  const proxy = counting(original, STATEMENT);
  originals.set(proxy, original);
  return proxy;
}

/** The binding wants its own statements in a batch, not what stands before them. */
function bare(argument) {
  return Array.isArray(argument) ? argument.map((item) => originals.get(item) ?? item) : argument;
}
