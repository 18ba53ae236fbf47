// The module that the Workers runtime loads: the doors of src/lib.rs as a handler, and the Durable Objects.
// wasm-bindgen generates "worker-glue" from the compiled worker; scripts/build.mjs puts it there.
//
// A panic ends a wasm instance, and so does an exception that nothing in the instance catches: nothing may
// use its memory again. wasm-bindgen starts a new instance before the next call of any export. The handler is
// a plain object, so it needs nothing for that; only objects that live in the old memory need care.
import * as worker from "worker-glue";

// The commit that scripts/build.mjs has found, followed by "+" if files differed from it; empty without a
// repository. It stands here and not in the wasm, so that a new commit alone compiles nothing again.
globalThis.CHITTYCONNECT_BUILD = BUILT_FROM;

export default {
  fetch(request, env, context) {
    const response = worker.fetch(request, env, context);
    // The runtime ends a request when its client has gone. A request that changes something must not end
    // between the mint of an id and the write of its row.
    if (request.method !== "GET") context.waitUntil(response);
    return response;
  },
  queue: (batch, env, context) => worker.queue(batch, env, context),
  scheduled: (event, env, context) => worker.scheduled(event, env, context),
};

export const ServiceConnection = durableObject(worker.ServiceConnection);

/**
 * A Durable Object whose wasm half is created again in each new instance. It keeps all its state in its
 * storage, which the runtime keeps.
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
      // Also starts a new instance if the last one has ended: a stale half must never be called.
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
