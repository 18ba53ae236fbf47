/** The webhook's deliveries: how they are stored, and how the App and tests see them. */
import { isObject } from "../services/answer.mjs";
import { githubConfig } from "./settings.mjs";

/** Stores a delivery before it is sent. Until it has a result, its status is "pending" and its code null. */
export function beginDelivery({ guid, event, redelivery = false, ...about }, payload, now, state) {
  const delivery = { guid, delivered_at: new Date(now).toISOString(), redelivery, duration: null, status: "pending", status_code: null, event, ...about };
  const { webhook_url: url } = githubConfig(state);
  return state.github.addDelivery({ ...delivery, throttled_at: null, url, request: null, response: null }, payload);
}

/** The action, installation and repository of a payload. */
export function aboutOf(payload) {
  const body = isObject(payload) ? payload : {};
  return { action: body.action ?? null, installation_id: body.installation?.id ?? null, repository_id: body.repository?.id ?? null };
}

/** All data that the Worker needs to send a delivery; `null` if a reset has deleted it. */
export function outgoing(id, state) {
  const delivery = state.github.delivery(id);
  if (!delivery) return null;
  const { guid, event, url } = delivery;
  return { guid, event, url, timeout: githubConfig(state).delivery_timeout_ms, payload: state.github.payload(id) };
}

/** Records the result of a delivery and returns it as in a list; `null` if a reset has deleted it. */
export function endDelivery(id, end, state) {
  const delivery = state.github.delivery(id);
  return delivery && deliveryView(state.github.putDelivery({ ...delivery, ...end }));
}

/** A delivery as a list shows it. */
export function deliveryView({ request: _, response: __, url: ___, ...delivery }) {
  return delivery;
}

/** A delivery with its request and its response. */
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
