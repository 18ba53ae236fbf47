/**
 * GitHub's rate limits: the primary limit counts the calls of each caller by the hour, the secondary limit
 * applies only when a test sets it. A caller is the App, an installation or a user.
 */
import { refused } from "./reply.mjs";

const KIND = "github.bucket";
const SETTINGS = { primary: "github.rate", secondary: "github.secondary" };
const LIMIT = 5000;
const WINDOW_MS = 3_600_000;
const SECONDARY_MESSAGE = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";

/** The caller's count: `{limit, used, reset_at}`. */
export function bucketOf(name, now, state) {
  const bucket = state.documents.get(KIND, name) ?? state.settings.get(SETTINGS.primary, null) ?? { limit: LIMIT, used: 0, reset_at: 0 };
  return bucket.reset_at > now ? bucket : { limit: bucket.limit, used: 0, reset_at: wholeSecond(now + WINDOW_MS) };
}

export function isUsedUp({ limit, used }) {
  return used >= limit;
}

/** Counts a call and returns the new count. */
export function use(name, bucket, state) {
  return state.documents.put(KIND, name, { ...bucket, used: bucket.used + 1 });
}

export function rateHeaders(bucket) {
  const shown = Object.entries(rateView(bucket)).map(([name, value]) => [`x-ratelimit-${name}`, String(value)]);
  return { ...Object.fromEntries(shown), "x-ratelimit-resource": "core" };
}

export function rateView({ limit, used, reset_at }) {
  return { limit, used, remaining: Math.max(0, limit - used), reset: reset_at / 1000 };
}

/** The refusal of a caller that has used up its limit. */
export function primaryRefusal(caller) {
  return refused(403, `API rate limit exceeded for ${caller}.`);
}

/** The refusal while the secondary limit is in force, or `null`. */
export function secondaryRefusal(now, state) {
  const limit = state.settings.get(SETTINGS.secondary, null);
  if (!limit || (limit.times === undefined && limit.until <= now)) return null;
  if (limit.times !== undefined) state.settings.write(SETTINGS.secondary, limit.times > 1 ? { ...limit, times: limit.times - 1 } : null);
  const answer = refused(limit.status, SECONDARY_MESSAGE);
  const wait = limit.times === undefined ? Math.ceil((limit.until - now) / 1000) : limit.retry_after;
  return { ...answer, headers: { ...answer.headers, "retry-after": String(wait) } };
}

/** Sets the primary limit and what is left of it, for one caller or, from now on, for every caller. */
export function setPrimary({ bucket, limit = LIMIT, remaining = limit, reset_in = WINDOW_MS / 1000 }, now, state) {
  const given = { limit, used: limit - remaining, reset_at: wholeSecond(now + reset_in * 1000) };
  if (bucket !== undefined) return state.documents.put(KIND, bucket, given);
  state.documents.trim(KIND, 0);
  state.settings.write(SETTINGS.primary, given);
}

/** Sets the secondary limit, for `times` calls or until `retry_after` is over. `null` removes it. */
export function setSecondary(given, now, state) {
  const { status = 403, retry_after = 1, times } = given ?? {};
  state.settings.write(SETTINGS.secondary, given && { status, retry_after, times, until: now + retry_after * 1000 });
}

/** The limits in force, for the control routes. */
export function limitsInForce(state) {
  return { primary: state.settings.get(SETTINGS.primary, null), secondary: state.settings.get(SETTINGS.secondary, null) };
}

function wholeSecond(time) {
  return Math.ceil(time / 1000) * 1000;
}
