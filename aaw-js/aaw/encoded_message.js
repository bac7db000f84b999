// A call or one-way send that is serialized already and not written yet.

import { CallError } from "./call_error.js";
import { FRAME_OVERHEAD } from "./frame.js";
import { byteLength, toJson, wellFormed } from "./json.js";

/**
 * The end of the frame is missing, because a call is assigned its id only when it is written.
 *
 * @typedef {object} EncodedMessage
 * @property {string} event
 * @property {string} head `["event",body`, without the end of the frame.
 * @property {number} size Upper bound of the frame's size, in bytes.
 */

/**
 * Serializes the payload at once: changing the payload object later does not change what is sent.
 *
 * @param {string} event
 * @param {unknown} payload
 * @returns {EncodedMessage}
 * @throws {CallError} `bad_body`: the payload cannot be serialized to JSON. `bad_frame`: the event's name is not a
 *   string, or is reserved.
 */
export const encodeMessage = (event, payload) => {
  if (typeof event !== "string") {
    const error = `The name of an event must be a string, not ${typeof event}`;
    throw new CallError({ error, code: "bad_frame" }, { sent: false });
  }
  if (RESERVED_NAMES.has(event)) {
    throw new CallError({ error: `The event name ${event} is reserved`, code: "bad_frame" }, { sent: false });
  }
  const head = `[${toJson(event)},${toJson(payload)}`;
  return { event: wellFormed(event), head, size: byteLength(head) + FRAME_OVERHEAD };
};

/** Frames that control the connection. Other names under `aaw/` are events that can be called: `aaw/login`, say. */
const RESERVED_NAMES = new Set(
  ["hello", "welcome", "error", "ping", "pong", "ack", "gap"].map((name) => `aaw/${name}`),
);

/** The frame of a one-way send. @param {EncodedMessage} message */
export const oneWayFrame = ({ head }) => `${head}]`;

/**
 * The frame of a call.
 *
 * @param {EncodedMessage} message
 * @param {number} id
 * @param {{ upload: boolean, credit: number | null }} streams Whether the caller uploads items, and its credit for the
 *   response's items; `null` if it reads a single response.
 */
export const callFrame = ({ head }, id, { upload, credit }) => {
  const meta = { in: upload || undefined, credit: credit ?? undefined };
  return upload || credit !== null ? `${head},${id},"call",${JSON.stringify(meta)}]` : `${head},${id}]`;
};
