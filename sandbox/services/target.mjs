/** Services that are only targets of connections: they accept keys that ChittyAuth created for them. */
import { answer, iso } from "./answer.mjs";
import { provisioned } from "./credentials.mjs";
import { echo } from "./echo.mjs";

/** `cases.chitty.cc` and the like. A key's service may be called `cases` or `chittycases`. */
export function target(name) {
  return (call, state) => {
    const route = `${call.method} ${call.path}`;
    if (route === "GET /health") return answer(200, { status: "ok", service: `chitty${name}`, timestamp: iso(call.at) });
    const asksWho = route === "GET /api/whoami";
    if (!asksWho && !/^\/api\/echo(\/|$)/.test(call.path)) return answer(404, { error: "Not found" });
    const { key, error } = keyOf(call, name, state);
    if (!key) return answer(401, { error });
    return asksWho ? answer(200, { service: `chitty${name}`, chittyId: key.chittyId, scopes: key.scope, key_id: key.id }) : echo(call);
  };
}

function keyOf({ authorization, at }, name, state) {
  const secret = /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? "";
  const { credential, error = "A key of this service is required" } = provisioned(secret, at, state) ?? {};
  const isItsOwn = credential?.kind === "key" && [name, `chitty${name}`].includes(credential.service);
  return isItsOwn ? { key: credential } : { error };
}
