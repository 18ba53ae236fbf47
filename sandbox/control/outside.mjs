/** The control routes of the hosts outside. */
import { changePartner, partnerSettings } from "../outside/partner.mjs";
import { answer, isObject } from "../services/answer.mjs";

export const OUTSIDE_ROUTES = [
  ["GET /_sandbox/outside", "the settings of the hosts outside", settings],
  ["PUT /_sandbox/outside", "change them: {expires_in: seconds of the next access tokens, partner_good: whether partner-good is}", change],
];

const RULES = {
  expires_in: (value) => Number.isInteger(value) && value >= 0 && value <= 31_536_000,
  partner_good: (value) => typeof value === "boolean",
};

function settings(_request, state) {
  return answer(200, partnerSettings(state));
}

function change({ body }, state) {
  if (!isObject(body) || !Object.entries(body).every(([name, value]) => RULES[name]?.(value))) {
    return answer(422, { error: "invalid_settings", message: "expires_in is a whole number of seconds up to a year; partner_good is true or false." });
  }
  changePartner(body, state);
  return settings(null, state);
}
