// The session's token and identity, as the responses of the built-in events report them.

/**
 * The user that a session belongs to.
 *
 * @typedef {object} Identity
 * @property {string} id
 * @property {string} email
 * @property {string[]} [allowed] The protected events that the user may call, as patterns: `*`, `auth/teamplay/*`, or
 *   an exact name. If absent, all of them.
 */

/** The events whose successful response carries a token and its user. */
const LOGIN_EVENTS = new Set(["aaw/login", "aaw/register", "aaw/resume", "aaw/password/set-new"]);

/**
 * The maximum length of a stored token, in characters. A real token has 36; the server would close each connection that
 * sends a value that is far longer.
 */
export const MAX_TOKEN_LENGTH = 1024;

/** Holds one session, the most recent one. */
export class TokenStore {
  /** @type {string | null} */
  token;
  /** @type {Identity | null} */
  identity = null;

  /** @param {string | null} token The token of an earlier client, to resume its session. */
  constructor(token) {
    this.token = token !== null && token.length <= MAX_TOKEN_LENGTH ? token : null;
  }

  /** An earlier page had this session. @param {string | null} token @param {Identity | null} identity */
  restore(token, identity) {
    this.token = token;
    this.identity = token === null ? null : identity;
  }

  /**
   * Reads a successful response. Responses of other events change nothing.
   *
   * @param {string} event
   * @param {unknown} data
   * @returns {boolean} Whether the session has changed.
   */
  handleResponse(event, data) {
    if (event === "aaw/logout") return this.clear();
    if (!LOGIN_EVENTS.has(event) || typeof data !== "object" || data === null) return false;
    // A classic server may report a failed log-in as a response without a token.
    if (!("token" in data) || typeof data.token !== "string") return false;
    this.token = data.token;
    const user = "user" in data ? data.user : null;
    this.identity = typeof user === "object" && user !== null ? /** @type {Identity} */ (user) : null;
    return true;
  }

  /** Removes the session. @returns {boolean} Whether there was one. */
  clear() {
    const hadSession = this.token !== null || this.identity !== null;
    this.token = null;
    this.identity = null;
    return hadSession;
  }
}

/**
 * Whether an error means that the session has ended, as opposed to a temporary failure to resume it. Servers of the
 * original package send no codes, so their texts are compared.
 *
 * @param {{ error: unknown, code?: string }} failure
 */
export const isSessionEnded = ({ error, code }) =>
  code === "not_authenticated" || error === "Session expired" || error === "Not authenticated";
