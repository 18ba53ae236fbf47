/** The webhook's deliveries: what is kept of each, and what the App and a test see of it. */
import { isObject } from "../services/answer.mjs";
import { githubConfig } from "./settings.mjs";

/** Keeps a delivery before it is sent. Until its end is known its status is "pending", its code null. */
export function beginDelivery({ guid, event, redelivery = false, ...about }, payload, now, state) {
  const delivery = { guid, delivered_at: new Date(now).toISOString(), redelivery, duration: null, status: "pending", status_code: null, event, ...about };
  const { webhook_url: url } = githubConfig(state);
  return state.github.addDelivery({ ...delivery, throttled_at: null, url, request: null, response: null }, payload);
}

/** What the numbers of a payload say: which action, installation and repository it is about. */
export function aboutOf(payload) {
  const body = isObject(payload) ? payload : {};
  return { action: body.action ?? null, installation_id: body.installation?.id ?? null, repository_id: body.repository?.id ?? null };
}

/** Everything that sending a delivery takes, for the Worker. `null` where a reset came in between. */
export function outgoing(id, state) {
  const delivery = state.github.delivery(id);
  if (!delivery) return null;
  const { guid, event, url } = delivery;
  return { guid, event, url, timeout: githubConfig(state).delivery_timeout_ms, payload: state.github.payload(id) };
}

/** Notes how a delivery ended, and gives it as a list shows it; `null` likewise. */
export function endDelivery(id, end, state) {
  const delivery = state.github.delivery(id);
  return delivery && deliveryView(state.github.putDelivery({ ...delivery, ...end }));
}

/** As in a list. */
export function deliveryView({ request: _, response: __, url: ___, ...delivery }) {
  return delivery;
}

/** With what was sent, and what came back. */
export function deliveryDetail(delivery, payload) {
  return { ...delivery, request: { headers: delivery.request ?? {}, payload: parsed(payload) }, response: delivery.response ?? { headers: {}, payload: null } };
}

export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
