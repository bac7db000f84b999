// The log-in of a connection: the session's token, and the call that resumes the session on a new connection.

import { CallError } from "./call_error.js";
import { isSessionEnded, TokenStore } from "./token_store.js";

/** @import { Failure } from "./call_error.js" */
/** @import { CallResult } from "./output_queue.js" */
/** @import { Identity } from "./token_store.js" */

/**
 * The call that resumes the session on this connection. Other messages wait until it has ended or `isLate`.
 *
 * @typedef {object} ResumeCall
 * @property {number} id
 * @property {string} token
 * @property {number} deadline When the other messages stop waiting.
 * @property {boolean} isLate The deadline has passed. A response is still accepted.
 */

export const RESUME = "aaw/resume";
const LOGOUT = "aaw/logout";

/** Events that end sessions. The server may announce the end of the session before it responds to them. */
const SESSION_ENDING_EVENTS = new Set([LOGOUT, "aaw/password/set-new"]);

export class LoginState {
  #tokens;
  #outputs;
  /** @type {ResumeCall | null} */
  #resume = null;

  /**
   * @param {string | null} token The token of an earlier client.
   * @param {import("./output_queue.js").OutputQueue<any>} outputs
   */
  constructor(token, outputs) {
    this.#tokens = new TokenStore(token);
    this.#outputs = outputs;
  }

  /** The token of the session that is resumed on the next connection. */
  get token() {
    return this.#tokens.token;
  }

  /** The user of the session. It does not change while the connection is lost. */
  get identity() {
    return this.#tokens.identity;
  }

  /** An earlier page had this session. @param {string | null} token @param {Identity | null} identity */
  restore(token, identity) {
    this.#tokens.restore(token, identity);
  }

  /** Whether other messages have to wait, because the user they are sent as is not known yet. */
  get isResuming() {
    return this.#resume !== null && !this.#resume.isLate;
  }

  /** Whether the resume call counts as a call in flight. */
  get hasResumeCall() {
    return this.#resume !== null;
  }

  /** @param {number} id */
  isResumeCall(id) {
    return this.#resume?.id === id;
  }

  /** The resume call was written, with the current token. @param {number} id @param {string} token */
  handleResumeWritten(id, token) {
    this.#resume = { id, token, deadline: Infinity, isLate: false };
  }

  /** The server has accepted the connection: from now on the resume call has a deadline. @param {number} deadline */
  setResumeDeadline(deadline) {
    if (this.#resume) this.#resume.deadline = deadline;
  }

  /** The resume call has ended. @param {CallResult} result */
  handleResumeDone(result) {
    const token = this.#resume?.token;
    this.#resume = null;
    if (result.type === "response") {
      this.handleResponse(RESUME, result.data);
    } else if (result.type === "failed") {
      const { error, code, data } = result.error;
      if (!isSessionEnded(result.error))
        this.#outputs.warn({ error: `The session was not resumed: ${error}`, code, data });
      // After the deadline the user may have logged in, and so have another token.
      else if (this.#tokens.token === token) this.#endSession({ error, code, data });
    }
  }

  /** The connection is lost or being closed. */
  dropResumeCall() {
    this.#resume = null;
  }

  pollTimeout() {
    return this.#resume?.deadline ?? Infinity;
  }

  /**
   * Stops waiting for a slow resume call. The session stays: a slow server has not rejected the token.
   *
   * @param {number} now
   */
  handleTimeout(now) {
    if (!this.#resume || this.#resume.isLate || this.#resume.deadline > now) return;
    this.#resume.isLate = true;
    this.#resume.deadline = Infinity;
    this.#outputs.warn({ error: "The session is not resumed yet", code: "timeout" });
  }

  /**
   * The server announces that the session has ended.
   *
   * @param {unknown} data
   * @param {string[]} events The events of the calls in flight. If one of them ends sessions, the end was caused by
   *   this client, and is not reported.
   */
  handleSessionEnded(data, events) {
    const isOwn = events.some((event) => SESSION_ENDING_EVENTS.has(event));
    if (isOwn) this.#clear();
    else this.#endSession({ error: "Session expired", code: "not_authenticated", data });
  }

  /** A call has ended. @param {string} event @param {CallResult} result */
  handleCallDone(event, result) {
    if (result.type === "response") this.handleResponse(event, result.data);
    // The session had ended already, which is what the log-out was for.
    else if (result.type === "failed" && event === LOGOUT && isSessionEnded(result.error)) this.#clear();
  }

  /** Stores the token of a successful response, if it has one. @param {string} event @param {unknown} data */
  handleResponse(event, data) {
    if (this.#tokens.handleResponse(event, data)) this.#reportToken();
  }

  /** @param {Failure} failure */
  #endSession(failure) {
    this.#clear();
    this.#outputs.push({ type: "unauthorized", error: new CallError(failure, { sent: true }) });
  }

  #clear() {
    if (this.#tokens.clear()) this.#reportToken();
  }

  #reportToken() {
    this.#outputs.push({ type: "tokenChanged", token: this.#tokens.token });
  }
}
