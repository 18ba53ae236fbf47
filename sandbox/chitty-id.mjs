/**
 * The canonical ChittyID `VV-G-LLL-SSSS-T-YYMM-C-XX`: composing, checking and
 * the error ids. Pure: no clock and no state.
 */

const CANONICAL = /^(\d{2})-([1-9])-([A-Z]{3})-(\d{4})-([PLTEA])-(\d{4})-([0-5])-(\d{2})$/;
const ERROR_ID = /^\d{2}-0-ERR-(\d{4})-[PLTEA]-\d{4}-\d-\d{2}$/;

/** The error name for each SSSS segment of an error id. */
export const ERROR_NAMES = {
  "0001": "MINT_UNAVAILABLE",
  "0002": "MINT_TIMEOUT",
  "0003": "MINT_REJECTED",
  "0004": "DRAND_UNAVAILABLE",
  "0005": "CERT_UNAVAILABLE",
  "0006": "TRUST_UNAVAILABLE",
  "0007": "RATE_LIMITED",
  "0008": "INVALID_REQUEST",
  "0099": "INTERNAL_ERROR",
};

const MINTED_REGION = "1";
/** Differs from the region of minted ids, so that an id computed from a name never equals a minted one. */
const NAMED_REGION = "9";
const NAMED_YEAR_MONTH = "2501";

const SEQUENCE_SIZE = 10_000;
const LETTER_CODES = 26 ** 3;
const FIRST_JURISDICTION = letterCode("USA");
const ERR_OFFSET = (letterCode("ERR") - FIRST_JURISDICTION + LETTER_CODES) % LETTER_CODES;

/** The two check digits for the first seven segments, joined with or without dashes. */
export function checkDigits(segments) {
  let remainder = 0;
  for (const character of segments.replaceAll("-", "")) {
    const isDigit = character >= "0" && character <= "9";
    const value = isDigit ? Number(character) : character.charCodeAt(0) - 55;
    remainder = (remainder * (isDigit ? 10 : 100) + value) % 97;
  }
  return String((98 - remainder) % 97).padStart(2, "0");
}

/** Whether `id` is canonical with correct check digits; if not, the reason. */
export function inspect(id) {
  const match = CANONICAL.exec(id);
  if (!match) return { valid: false, error: "Invalid ChittyID format" };
  if (checkDigits(id.slice(0, -3)) !== match[8]) return { valid: false, error: "Checksum mismatch" };
  return { valid: true, components: componentsOf(id) };
}

/** `{code, name}` of an error id, `null` for anything else. */
export function errorOf(id) {
  const code = ERROR_ID.exec(id)?.[1];
  return code ? { code, name: ERROR_NAMES[code] ?? "UNKNOWN" } : null;
}

/** The segments, by name, of an id that has eight. */
export function componentsOf(id) {
  const [version, region, jurisdiction, sequence, type, yearMonth, trust, checksum] = id.split("-");
  return { version, region, jurisdiction, sequence, type, yearMonth, trust, checksum };
}

/**
 * The id of the `number`-th mint: never the same for two numbers below 175
 * million, whatever their type and month.
 */
export function mintedId(number, type, time) {
  const jurisdiction = jurisdictionAt(Math.floor(number / SEQUENCE_SIZE));
  return compose(MINTED_REGION, jurisdiction, number % SEQUENCE_SIZE, type, yearMonthOf(time));
}

/** The person id of a development actor: the same for a name at every start. */
export function actorId(name) {
  return namedId(name, "P");
}

/** The thing id of a service: the same for a name at every start. */
export function serviceId(name) {
  return namedId(name, "T");
}

function namedId(name, type) {
  const hash = fnv1a(name);
  const jurisdiction = jurisdictionAt(Math.floor(hash / SEQUENCE_SIZE));
  return compose(NAMED_REGION, jurisdiction, hash % SEQUENCE_SIZE, type, NAMED_YEAR_MONTH);
}

/** The placeholder that the authority returns instead of an id. It is not an identity. */
export function errorId(code, type, time) {
  return seal(`03-0-ERR-${code}-${type}-${yearMonthOf(time)}-0`);
}

function compose(region, jurisdiction, sequence, type, yearMonth) {
  return seal(`03-${region}-${jurisdiction}-${String(sequence).padStart(4, "0")}-${type}-${yearMonth}-0`);
}

function seal(segments) {
  return `${segments}-${checkDigits(segments)}`;
}

/** The jurisdiction that follows USA by `step`, wrapping round the alphabet and skipping ERR. */
function jurisdictionAt(step) {
  const offset = step % (LETTER_CODES - 1);
  const code = (FIRST_JURISDICTION + offset + (offset >= ERR_OFFSET ? 1 : 0)) % LETTER_CODES;
  const letters = [Math.floor(code / 676), Math.floor(code / 26) % 26, code % 26];
  return String.fromCharCode(...letters.map((letter) => 65 + letter));
}

function letterCode(letters) {
  return [...letters].reduce((code, letter) => code * 26 + letter.charCodeAt(0) - 65, 0);
}

function yearMonthOf(time) {
  const date = new Date(time);
  return `${String(date.getUTCFullYear() % 100).padStart(2, "0")}${String(date.getUTCMonth() + 1).padStart(2, "0")}`;
}

/** 32-bit FNV-1a: spreads names well enough and, unlike a digest of WebCrypto, is synchronous. */
function fnv1a(text) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
