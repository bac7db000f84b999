// Frames: a message on the wire is the JSON array `[event, data, id, kind, meta]` (PROTOCOL.md, section 2).

import { fromJson, toJson } from "./json.js";

/**
 * @typedef {object} Frame
 * @property {string} event
 * @property {unknown} data
 * @property {unknown} id `null` if it has none.
 * @property {string | null} kind
 */

/** A message that is not a valid frame, or a frame that is not allowed where it arrived. It is reported and ignored. */
export class BadFrame extends Error {}

/** Upper bound of the bytes that an id, a kind, the meta object and punctuation add around event and data. */
export const FRAME_OVERHEAD = 96;

/**
 * Parses a message.
 *
 * @param {string} text
 * @param {boolean} bigint Whether integers beyond 2^53 become `BigInt`s.
 * @returns {Frame}
 * @throws {BadFrame}
 */
export const decodeFrame = (text, bigint) => {
  let frame;
  try {
    frame = fromJson(text, bigint);
  } catch (error) {
    throw new BadFrame(`not JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (!Array.isArray(frame)) throw new BadFrame("expected a JSON array [event, data, id, kind, meta]");
  if (frame.length < 1 || frame.length > 5) throw new BadFrame(`expected 1 to 5 elements, got ${frame.length}`);
  // By index, because destructuring an array iterates over it.
  const event = frame[0];
  const kind = frame[3];
  if (typeof event !== "string") throw new BadFrame("the event (element 1) must be a string");
  if (kind !== undefined && typeof kind !== "string") throw new BadFrame("the kind (element 4) must be a string");
  return { event, data: frame[1] ?? null, id: frame[2] ?? null, kind: kind ?? null };
};

/**
 * Encodes a frame that belongs to an existing call, of either direction. Without a kind, it is a response.
 *
 * @param {string} event
 * @param {string} json
 * @param {number} id
 * @param {"item" | "end" | "credit" | "cancel" | "error"} [kind]
 */
export const encodeFrame = (event, json, id, kind) =>
  `[${toJson(event)},${json},${id}${kind ? `,"${kind}"` : ""}]`;
