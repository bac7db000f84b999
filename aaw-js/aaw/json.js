// Payloads as JSON text.

import { CallError } from "./call_error.js";

/**
 * Serializes a value. What JSON cannot represent (`undefined`, a function) becomes `null`, as it does within an array.
 *
 * @param {unknown} value
 * @throws {CallError} `bad_body`: `JSON.stringify` throws, for a cycle or a `BigInt`, say.
 */
export const toJson = (value) => {
  try {
    return JSON.stringify(value) ?? "null";
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const error = `The payload cannot be serialized to JSON: ${reason}`;
    throw new CallError({ error, code: "bad_body" }, { sent: false, cause });
  }
};

const encoder = new TextEncoder();

/** The size of a text in UTF-8. @param {string} text */
export const byteLength = (text) => encoder.encode(text).length;
