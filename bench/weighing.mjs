/** The built gateway, with the size of its linear memory at `GET /bench-memory`: `{bytes, instances}`. */
const memories = [];
const { Instance } = WebAssembly;
WebAssembly.Instance = class extends Instance {
  constructor(...args) {
    super(...args);
    memories.push(this.exports.memory);
  }
};
const gateway = await import("../build/release/index.js");

export const { ServiceConnection } = gateway;

export default {
  ...gateway.default,
  fetch(request, env, context) {
    if (new URL(request.url).pathname !== "/bench-memory") return gateway.default.fetch(request, env, context);
    return Response.json({ bytes: memories.at(-1).buffer.byteLength, instances: memories.length });
  },
};
