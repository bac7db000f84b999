// The server's greeting on a v1 connection (PROTOCOL.md, section 3).

import { BadFrame } from "./frame.js";

/**
 * @typedef {object} ServerLimits
 * @property {number} calls Calls in flight.
 * @property {number} message The size of one message, in bytes.
 */

/** The limits of a v1 server that does not state its own. @type {ServerLimits} */
export const DEFAULT_LIMITS = { calls: 256, message: 1 << 20 };

/**
 * @param {unknown} data
 * @returns {{ connection: string | null, limits: ServerLimits }}
 * @throws {BadFrame}
 */
export const readWelcome = (data) => {
  if (typeof data !== "object" || data === null) throw new BadFrame("the data of aaw/welcome must be an object");
  const connection = "connection" in data && typeof data.connection === "string" ? data.connection : null;
  const limits = "limits" in data && typeof data.limits === "object" && data.limits !== null ? data.limits : {};
  /** @param {unknown} value @param {number} fallback */
  const limit = (value, fallback) => (typeof value === "number" && value >= 0 ? value : fallback);
  return {
    connection,
    limits: {
      calls: limit("calls" in limits ? limits.calls : undefined, DEFAULT_LIMITS.calls),
      message: limit("message" in limits ? limits.message : undefined, DEFAULT_LIMITS.message),
    },
  };
};
