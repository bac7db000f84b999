// The error that every failed call rejects with.

/**
 * The error of a call as it is sent over the wire (PROTOCOL.md, section 7).
 *
 * @typedef {object} Failure
 * @property {unknown} error The message, for people. A string, except from servers of the original package, which may
 *   send any JSON value.
 * @property {string} [code] The kind of error, for programs. Default `handler`: the handler returned an error.
 * @property {unknown} [data] Details that the handler added.
 */

/**
 * How far a call has come.
 *
 * @typedef {object} Delivery
 * @property {boolean} sent The server may have received it: it was written at least once.
 * @property {boolean} taken The server has received it.
 */

/** @type {Delivery} */
export const NOT_SENT = { sent: false, taken: false };

/**
 * Why a call failed, and how far it has come.
 *
 * `code` is the server's (`unknown_event`, `handler`, `busy`, …) or one of the client's own:
 *
 * | code | meaning |
 * |---|---|
 * | `timeout` | No response arrived in time. If the server reports it, it has dropped the handler |
 * | `cancelled` | The call's `signal` was aborted; `name` is that of the signal's reason, usually `AbortError` |
 * | `outcome_unknown` | The call was sent, and then the connection was lost for good: it may or may not have run |
 * | `no_connection` | Not sent: the client is closed |
 * | `busy` | Not sent: the queue of waiting messages is full. (Servers use it too) |
 * | `too_large` | Not sent: the message exceeds the server's size limit. (From a server: the response does) |
 * | `bad_body` | Not sent: the payload cannot be serialized. (From a server: it does not match the event's type) |
 */
export class CallError extends Error {
  /**
   * @param {Failure} failure
   * @param {Partial<Delivery> & { sent: boolean, cause?: unknown }} known
   */
  constructor({ error, code = "handler", data }, { sent, taken = false, cause }) {
    const text = typeof error === "object" ? JSON.stringify(error, bigIntAsText) : String(error);
    super(text, cause === undefined ? undefined : { cause });
    this.name = cause instanceof Error && code === "cancelled" ? cause.name : "CallError";
    // The original rejects with a plain `{ error }`, which pages destructure, spread and serialize. So these are
    // properties of the object itself, and the others are not enumerable.
    /** The message, for people. */
    this.error = /** @type {string} */ (error);
    /** The kind of error, for programs. */
    this.code = code;
    /** Whether the server may have received the call. If `false`, the call is safe to retry. */
    this.sent = sent;
    /**
     * Whether the server has received the call for certain: it has acknowledged or answered it. If `false` and `sent`, the
     * call may still be on its way, or lost with the connection.
     */
    this.taken = taken;
    /** Details that the handler added. */
    this.data = data;
    for (const hidden of ["name", "sent", "taken", ...(data === undefined ? ["data"] : [])]) {
      Object.defineProperty(this, hidden, { enumerable: false });
    }
  }
}

/** @param {string} _ @param {unknown} value */
const bigIntAsText = (_, value) => (typeof value === "bigint" ? String(value) : value);

/**
 * The error of a call whose signal was aborted.
 *
 * @param {unknown} cause The signal's reason.
 * @param {Delivery} delivery
 */
export const cancelled = (cause, delivery) =>
  new CallError({ error: "The call was cancelled", code: "cancelled" }, { ...delivery, cause });

/**
 * The error of a call that was sent and lost its connection.
 *
 * @param {string} reason
 * @param {{ taken?: boolean, cause?: unknown }} [known]
 */
export const outcomeUnknown = (reason, known) =>
  new CallError({ error: `The outcome is unknown: ${reason}`, code: "outcome_unknown" }, { sent: true, ...known });

/**
 * Parses an error that a server sent. A malformed one becomes a `bad_frame` error, so that the call fails either way.
 *
 * @param {unknown} data
 * @returns {Failure}
 */
export const readFailure = (data) => {
  if (typeof data !== "object" || data === null || !("error" in data) || typeof data.error !== "string") {
    return { error: "The call failed with a malformed error", code: "bad_frame" };
  }
  const { error } = data;
  return {
    error,
    code: "code" in data && typeof data.code === "string" ? data.code : undefined,
    data: "data" in data ? data.data : undefined,
  };
};
