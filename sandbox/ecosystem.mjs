/**
 * The one Durable Object that holds the state of the whole simulated ecosystem, so that it survives a
 * restart. The object never waits: the Worker waits for a delay or a hang, so that no other call is held up.
 */
import { DurableObject } from "cloudflare:workers";
import { control } from "./control.mjs";
import { endDelivery, outgoing } from "./github/deliveries.mjs";
import { GitHubStore } from "./github/store.mjs";
import { answer } from "./services/answer.mjs";
import { serve } from "./services/directory.mjs";
import { fallbackMint } from "./services/identity.mjs";
import { Calls } from "./state/calls.mjs";
import { ChronicleEntries } from "./state/chronicle-entries.mjs";
import { Documents } from "./state/documents.mjs";
import { Faults } from "./state/faults.mjs";
import { Mints } from "./state/mints.mjs";
import { RateLimit, Settings } from "./state/settings.mjs";
import { Sightings } from "./state/sightings.mjs";

export class Ecosystem extends DurableObject {
  #state;

  constructor(ctx, env) {
    super(ctx, env);
    const sql = ctx.storage.sql;
    const settings = new Settings(sql);
    this.#state = {
      calls: new Calls(sql),
      chronicle: new ChronicleEntries(sql),
      documents: new Documents(sql),
      faults: new Faults(sql),
      github: new GitHubStore(sql),
      mints: new Mints(sql),
      rateLimit: new RateLimit(settings),
      settings,
      sightings: new Sightings(sql),
    };
  }

  /**
   * Logs a call and answers it, or returns the fault that applies to it. With a fault there is an answer only
   * if the fault has `effect`, or is a `fallback`.
   */
  receive(record, input) {
    const call = { ...input, at: Date.now() };
    const fault = this.#state.faults.take(call);
    const reply = fault ? this.#replyInSpiteOf(fault, call) : this.#serve(call);
    const outcome = fault ? `fault:${fault.mode}` : "answered";
    const status = fault ? statusOf(fault, reply) : reply.status;
    const seq = this.#state.calls.append({ ...record, at: new Date(call.at).toISOString() }, outcome, status);
    return { seq, fault, answer: reply };
  }

  /** Answers a call whose delay is over. */
  finish(seq, input) {
    const reply = this.#serve({ ...input, at: Date.now() });
    this.#state.calls.settle(seq, reply.status);
    return reply;
  }

  /** Answers a request to /_sandbox: at once, or after a signature has been computed. */
  control(request) {
    return control(request, this.#state);
  }

  /** The payload and the address of a delivery of GitHub. */
  outgoing(id) {
    return outgoing(id, this.#state);
  }

  /** Records the result of a delivery. */
  delivered(id, end) {
    return endDelivery(id, end, this.#state);
  }

  #replyInSpiteOf(fault, call) {
    if (fault.mode === "fallback") return fallbackMint(call);
    return fault.effect ? this.#serve(call) : null;
  }

  #serve(call) {
    try {
      return serve(call, this.#state);
    } catch (error) {
      return answer(500, { error: "sandbox_defect", message: String(error) });
    }
  }
}

/** The status that the caller will see; `null` if there is none, or none yet. */
function statusOf(fault, reply) {
  switch (fault.mode) {
    case "fail":
      return fault.status ?? 503;
    case "garbage":
      return fault.status ?? 200;
    case "redirect":
      return fault.status ?? 302;
    case "hang":
    case "reset":
      return null;
    case "delay":
      return reply?.status ?? null;
    default:
      return 200;
  }
}
