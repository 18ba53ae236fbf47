// What the Workers runtime loads: the doors of src/lib.rs as a handler, and the Durable Objects.
// "worker-glue" is what wasm-bindgen made of the compiled worker; scripts/build.mjs puts it there.
//
// A panic ends a wasm instance, and so does an exception that nothing in it catches: its memory may
// not be used again. wasm-bindgen starts a new instance before the next call of any export. A plain
// object as the handler costs nothing for that; only objects that live in the old memory need care.
import * as worker from "worker-glue";

// The commit that scripts/build.mjs has found, "+" behind it where files differed from it; empty without a
// repository. Put here and not into the wasm: a commit alone must not compile anything anew.
globalThis.CHITTYCONNECT_BUILD = BUILT_FROM;

export default {
  fetch(request, env, context) {
    const response = worker.fetch(request, env, context);
    // The runtime ends a request whose client has gone. A change must not end between an id's mint and its row.
    if (request.method !== "GET") context.waitUntil(response);
    return response;
  },
  queue: (batch, env, context) => worker.queue(batch, env, context),
  scheduled: (event, env, context) => worker.scheduled(event, env, context),
};

export const ServiceConnection = durableObject(worker.ServiceConnection);

/**
 * A Durable Object whose wasm half is made again in each new instance. What it must remember is in
 * its storage, which the runtime keeps.
 *
 * @param {new (state: object, env: object) => object} Half the class that wasm-bindgen made
 */
function durableObject(Half) {
  return class {
    #state;
    #env;
    #half;
    #instance;

    constructor(state, env) {
      this.#state = state;
      this.#env = env;
      this.#current();
    }

    #current() {
      // Also starts a new instance where the last one has ended: a stale half must never be called.
      const { instanceId } = worker.__worker_init_state();
      if (instanceId !== this.#instance) {
        this.#half = new Half(this.#state, this.#env);
        this.#instance = instanceId;
      }
      return this.#half;
    }

    static {
      for (const method of ["fetch", "alarm", "webSocketMessage", "webSocketClose", "webSocketError"]) {
        if (!(method in Half.prototype)) continue;
        this.prototype[method] = function (...args) {
          return this.#current()[method](...args);
        };
      }
    }
  };
}
