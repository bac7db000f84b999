// What goes wrong, in the one form in which callers meet it.

/**
 * What a server says of a call that failed (PROTOCOL.md, section 7).
 *
 * @typedef {object} Failure
 * @property {unknown} error What went wrong. A text for people; only servers of the original may say something else.
 * @property {string} [code] A word for programs. Without it, `handler`: the handler failed, in its own words.
 * @property {unknown} [data] What the handler added.
 */

/**
 * Why a call has no answer, and what is known about it.
 *
 * `code` is the server's (`unknown_event`, `handler`, `busy`, …) or one of this client's own words:
 *
 * | code | the call |
 * |---|---|
 * | `timeout` | was not answered in time. If the server says so, it dropped the handler |
 * | `cancelled` | was given up by its `signal`; `name` is then that of the signal's reason, `AbortError` mostly |
 * | `outcome_unknown` | was sent, and then the connection was lost: it may have run or not |
 * | `no_connection` | was not sent: the client is closed |
 * | `busy` | was not sent: too much waits for a connection already. (A server says it too) |
 * | `too_large` | was not sent: its message would be larger than the server takes. (Or its answer is, says a server) |
 * | `bad_body` | was not sent: its payload cannot be JSON. (Or does not fit what the event takes, says a server) |
 */
export class CallError extends Error {
  /**
   * @param {Failure} failure
   * @param {{ sent: boolean, cause?: unknown }} known
   */
  constructor({ error, code = "handler", data }, { sent, cause }) {
    const text = typeof error === "string" ? error : (JSON.stringify(error) ?? String(error));
    super(text, cause === undefined ? undefined : { cause });
    this.name = cause instanceof Error && code === "cancelled" ? cause.name : "CallError";
    // The original rejects with a plain `{ error }`: pages take it apart, spread it, show it as JSON.
    /** What went wrong, a text for people. */
    this.error = /** @type {string} */ (error);
    /** What went wrong, a word for programs. */
    this.code = code;
    /** Whether the server may have seen the call. If not, it is safe to make it again. */
    this.sent = sent;
    /** What the handler added to its failure. */
    this.data = data;
    for (const hidden of ["name", "sent", ...(data === undefined ? ["data"] : [])]) {
      Object.defineProperty(this, hidden, { enumerable: false });
    }
  }
}

/** @param {unknown} cause Why the signal was aborted. @param {boolean} sent */
export const cancelled = (cause, sent) =>
  new CallError({ error: "The call was cancelled", code: "cancelled" }, { sent, cause });

/**
 * Reads a failure that came over the wire. One that makes no sense is a failure all the same.
 *
 * @param {unknown} data
 * @returns {Failure}
 */
export const readFailure = (data) => {
  if (typeof data !== "object" || data === null || !("error" in data) || typeof data.error !== "string") {
    return { error: "The call failed, and its error cannot be read", code: "bad_frame" };
  }
  const { error } = data;
  return {
    error,
    code: "code" in data && typeof data.code === "string" ? data.code : undefined,
    data: "data" in data ? data.data : undefined,
  };
};
