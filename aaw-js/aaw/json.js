// Payloads as JSON text, and JSON text as values.

import { CallError } from "./call_error.js";

/**
 * Serializes a value. What JSON cannot represent (`undefined`, a function) becomes `null`, as it does within an array.
 * A `BigInt` becomes an integer. Text is made well-formed: a surrogate without its other half, as text has that was cut
 * in the middle of an emoji, becomes U+FFFD. Servers that read JSON as UTF-8 cannot represent it.
 *
 * @param {unknown} value
 * @throws {CallError} `bad_body`: `JSON.stringify` throws, for a cycle, say.
 */
export const toJson = (value) => {
  try {
    return replaceLoneSurrogates(stringify(value) ?? "null");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const error = `The payload cannot be serialized to JSON: ${reason}`;
    throw new CallError({ error, code: "bad_body" }, { sent: false, cause });
  }
};

/**
 * Parses a text.
 *
 * @param {string} json
 * @param {boolean} bigint Whether integers that a number cannot represent exactly become `BigInt`s.
 * @returns {any}
 * @throws {SyntaxError}
 */
export const fromJson = (json, bigint) => (bigint && /\d{16}/.test(json) ? parseBigInts(json) : JSON.parse(json));

const encoder = new TextEncoder();

/** The size of a text in UTF-8. @param {string} text */
export const byteLength = (text) => encoder.encode(text).length;

/**
 * Whether the size of a text in UTF-8 exceeds a limit. Only long texts are encoded for it, because none has more than
 * three bytes for each UTF-16 unit.
 *
 * @param {string} text
 * @param {number} limit In bytes.
 */
export const exceeds = (text, limit) => text.length * 3 > limit && byteLength(text) > limit;

/** Replaces lone surrogates with U+FFFD, as `toWellFormed` of ES2024 does. @param {string} text @returns {string} */
export const wellFormed = (text) => JSON.parse(replaceLoneSurrogates(JSON.stringify(text)));

/**
 * `JSON.stringify` escapes exactly the lone surrogates as `\\ud…`. An escaped backslash before `ud…` is text, so all
 * escapes are matched.
 *
 * @param {string} json
 */
const replaceLoneSurrogates = (json) =>
  json.includes("\\ud")
    ? json.replace(/\\(?:ud[0-9a-f]{3}|[^])/g, (escape) => (escape.length > 2 ? "\ufffd" : escape))
    : json;

// --- BigInt ----------------------------------------------------------------------------------------------------------

// `JSON.rawJSON` and the source text of a reviver do this too, but not on all platforms that the client supports. So
// integers pass through `JSON` as strings with a prefix, which is random, because other strings must not start with it.

/** @type {string | undefined} */
let prefix;
const integerPrefix = () => (prefix ??= `aaw-integer-${crypto.getRandomValues(new Uint32Array(4)).join("-")}:`);

/** @param {unknown} value @returns {string | undefined} */
const stringify = (value) => {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // Most likely a `BigInt`, for which `JSON.stringify` throws.
    const start = integerPrefix();
    let hasBigInt = false;
    const json = JSON.stringify(value, (_, part) => {
      if (typeof part !== "bigint") return part;
      hasBigInt = true;
      return `${start}${part}`;
    });
    if (!hasBigInt) throw error;
    return json.replace(new RegExp(`"${start}(-?\\d+)"`, "g"), "$1");
  }
};

/** The most digits of a `BigInt`. Converting a text takes more than linear time, and a server may send any. */
const MAX_DIGITS = 1000;

/** @param {string} json */
const parseBigInts = (json) => {
  const start = integerPrefix();
  try {
    return JSON.parse(quoteBigIntegers(json, start), (_, value) =>
      typeof value === "string" && value.startsWith(start) ? BigInt(value.slice(start.length)) : value,
    );
  } catch {
    // For the error of the text itself.
    return JSON.parse(json);
  }
};

/** Makes a string of each integer that a number cannot represent exactly. @param {string} json @param {string} start */
const quoteBigIntegers = (json, start) => {
  let result = "";
  let copied = 0;
  const token = /"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  for (let match = token.exec(json); match; match = token.exec(json)) {
    const [found] = match;
    if (found === '"') {
      token.lastIndex = endOfString(json, token.lastIndex);
    } else if (found.length >= 16 && found.length <= MAX_DIGITS && /^-?\d+$/.test(found) && !Number.isSafeInteger(Number(found))) {
      result += `${json.slice(copied, match.index)}"${start}${found}"`;
      copied = token.lastIndex;
    }
  }
  return result + json.slice(copied);
};

/** The index after the closing quote. @param {string} json @param {number} from The index after the opening one. */
const endOfString = (json, from) => {
  for (let quote = json.indexOf('"', from); quote >= 0; quote = json.indexOf('"', quote + 1)) {
    let backslashes = 0;
    while (json[quote - 1 - backslashes] === "\\") backslashes += 1;
    if (backslashes % 2 === 0) return quote + 1;
  }
  return json.length;
};
