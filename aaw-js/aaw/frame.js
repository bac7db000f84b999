// A message on the wire is a frame, the JSON array `[event, data, id, kind, meta]` (PROTOCOL.md, section 2).

import { CallError } from "./failure.js";

/**
 * @typedef {object} Frame
 * @property {string} event
 * @property {unknown} data
 * @property {unknown} id `null` if there is none.
 * @property {string | null} kind
 */

/** A message that is no frame, or a frame that does not belong where it is. It is reported and changes nothing. */
export class BadFrame extends Error {}

/**
 * Takes a message apart.
 *
 * @param {string} text
 * @returns {Frame}
 * @throws {BadFrame}
 */
export const decode = (text) => {
  let frame;
  try {
    frame = JSON.parse(text);
  } catch (error) {
    throw new BadFrame(`not JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (!Array.isArray(frame)) throw new BadFrame("expected a JSON array [event, data, id, kind, meta]");
  if (frame.length < 1 || frame.length > 5) throw new BadFrame(`a frame has 1 to 5 elements, this one ${frame.length}`);
  const [event, data = null, id = null, kind] = /** @type {unknown[]} */ (frame);
  if (typeof event !== "string") throw new BadFrame("the event (element 1) must be a string");
  if (kind !== undefined && typeof kind !== "string") throw new BadFrame("the kind (element 4) must be a string");
  return { event, data, id, kind: kind ?? null };
};

/** Bytes that an id, a kind, meta and the brackets may take around a draft. */
const AROUND = 96;

/**
 * A call or a send as its author leaves it: without the id, which it gets when it is written.
 *
 * @typedef {object} Draft
 * @property {string} event
 * @property {string} head `["event",body`, to be gone on with.
 * @property {number} size Bytes that its message will have at most.
 */

/**
 * The payload is read now: what happens to it later does not change what is sent.
 *
 * @param {string} event
 * @param {unknown} payload
 * @returns {Draft}
 * @throws {CallError} `bad_body`: the payload cannot be JSON. `bad_frame`: the name is none, or is aaw's own.
 */
export const draft = (event, payload) => {
  if (typeof event !== "string") {
    throw new CallError({ error: "The name of an event is a string", code: "bad_frame" }, { sent: false });
  }
  if (OWN_NAMES.has(event)) {
    throw new CallError({ error: `The name ${event} belongs to aaw itself`, code: "bad_frame" }, { sent: false });
  }
  const head = `[${JSON.stringify(event)},${toJson(payload)}`;
  return { event, head, size: byteLength(head) + AROUND };
};

/** What the two sides say to each other. Other names under `aaw/` are events like any other: `aaw/login`, say. */
const OWN_NAMES = new Set(["hello", "welcome", "error", "ping", "pong", "ack", "gap"].map((name) => `aaw/${name}`));

/**
 * @param {unknown} value
 * @throws {CallError} `bad_body`
 */
export const toJson = (value) => {
  try {
    // What JSON has no word for (`undefined`, a function) is `null`, as it is within an array.
    return JSON.stringify(value) ?? "null";
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CallError({ error: `The payload cannot be JSON: ${why}`, code: "bad_body" }, { sent: false, cause });
  }
};

const encoder = new TextEncoder();

/** @param {string} text */
export const byteLength = (text) => encoder.encode(text).length;

/** @param {Draft} draft */
export const sendFrame = ({ head }) => `${head}]`;

/**
 * @param {Draft} draft
 * @param {number} id
 * @param {{ upload: boolean, credit: number | null }} streams What is read of the answer, and whether there is an upload.
 */
export const callFrame = ({ head }, id, { upload, credit }) => {
  const meta = { in: upload || undefined, credit: credit ?? undefined };
  return upload || credit !== null ? `${head},${id},"call",${JSON.stringify(meta)}]` : `${head},${id}]`;
};

/**
 * A frame about a call that was made before.
 *
 * @param {string} event
 * @param {string} json
 * @param {number} id
 * @param {"item" | "end" | "credit" | "cancel" | "error"} kind
 */
export const aboutCall = (event, json, id, kind) => `[${JSON.stringify(event)},${json},${id},"${kind}"]`;
