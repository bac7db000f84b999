// The server's greeting on a v1 connection (PROTOCOL.md, section 3).

import { BadFrame } from "./frame.js";

/** @import { ResumptionTerms } from "./resumption.js" */

/**
 * @typedef {object} ServerLimits
 * @property {number} calls Calls in flight.
 * @property {number} message The size of one message, in bytes.
 */

/** The limits of a v1 server that does not state its own. @type {ServerLimits} */
export const DEFAULT_LIMITS = { calls: 256, message: 1 << 20 };

/**
 * @typedef {object} Welcome
 * @property {string | null} connection
 * @property {ServerLimits} limits
 * @property {boolean} resumed The state of an earlier socket continues.
 * @property {ResumptionTerms | null} resumption `null`: the connection ends with its socket.
 */

/**
 * @param {unknown} data
 * @returns {Welcome}
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
    resumed: "resumed" in data && data.resumed === true,
    resumption: "resumption" in data ? readTerms(data.resumption) : null,
  };
};

/** @param {unknown} data @returns {ResumptionTerms | null} */
const readTerms = (data) => {
  if (typeof data !== "object" || data === null) return null;
  const { window, log, received } = /** @type {Record<string, unknown>} */ (data);
  if (typeof window !== "number" || typeof log !== "number") return null;
  return { window, log, received: Number.isSafeInteger(received) ? Number(received) : null };
};
