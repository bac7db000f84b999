// The options of one call or stream.

import { duration, invalid, object } from "./check.js";

/**
 * @typedef {object} CallOptions
 * @property {number} [timeout] A positive number of ms, including the time that the call waits for a connection.
 *   `Infinity`: none.
 * @property {AbortSignal} [signal] Cancels the call: it rejects with the code `cancelled`, and the server drops its
 *   handler.
 */

/**
 * @typedef {object} StreamOptions
 * @property {AbortSignal} [signal] Cancels the stream: the server drops the handler, items that were not read are
 *   discarded, and the iteration throws a `CallError` with the code `cancelled`.
 */

/** @param {unknown} value @returns {AbortSignal | undefined} */
const abortSignal = (value) => {
  if (value === undefined || value === null) return undefined;
  if (isAbortSignal(value)) return value;
  throw invalid("the option `signal`", "an AbortSignal", value);
};

/** Whether a value is an `AbortSignal`, of any implementation. @param {unknown} value @returns {value is AbortSignal} */
const isAbortSignal = (value) =>
  typeof value === "object" &&
  value !== null &&
  "aborted" in value &&
  typeof value.aborted === "boolean" &&
  "addEventListener" in value &&
  typeof value.addEventListener === "function";

/** A signal is an object too, so passing it in place of the options would ignore it. @param {unknown} options */
const rejectSignal = (options) => {
  if (isAbortSignal(options)) throw new TypeError("aaw: pass the AbortSignal as { signal }");
};

/**
 * The third argument of a call: a timeout in ms, or an object.
 *
 * @param {number | CallOptions | null | undefined} options
 * @param {number} defaultTimeout
 * @returns {{ timeout: number, signal: AbortSignal | undefined }}
 */
export const callOptions = (options, defaultTimeout) => {
  if (typeof options === "number") return { timeout: duration("the timeout", options, defaultTimeout), signal: undefined };
  rejectSignal(options);
  const { timeout, signal } = object("the options of a call", options, "a timeout in ms or an object");
  return { timeout: duration("the option `timeout`", timeout, defaultTimeout), signal: abortSignal(signal) };
};

/**
 * The third argument of a streaming call.
 *
 * @param {StreamOptions | null | undefined} options
 * @returns {{ signal: AbortSignal | undefined }}
 */
export const streamOptions = (options) => {
  rejectSignal(options);
  const given = object("the options of a stream", options);
  if ("timeout" in given && given.timeout !== undefined) {
    throw new TypeError("aaw: a stream has no timeout; pass { signal: AbortSignal.timeout(ms) }");
  }
  return { signal: abortSignal(given.signal) };
};
