// Who the server has said that the caller is, and the token by which it says so again after a reconnect.

/**
 * Whom a session belongs to.
 *
 * @typedef {object} Identity
 * @property {string} id
 * @property {string} email
 * @property {string[]} [allowed] Which protected events they may call: `*`, `auth/teamplay/*`, an exact name. Without
 *   it, all.
 */

/** What answers with a token and its user when it succeeds. */
const LOGINS = new Set(["aaw/login", "aaw/register", "aaw/resume", "aaw/password/set-new"]);

/** A token is 36 characters. What is kept of something else would only have the server hang up, each time. */
const LONGEST = 1024;

/** One session at a time: the last that an answer told of. */
export class Keeper {
  /** @type {string | null} */
  token;
  /** @type {Identity | null} */
  identity = null;

  /** @param {string | null} token From an earlier client. */
  constructor(token) {
    this.token = token !== null && token.length <= LONGEST ? token : null;
  }

  /**
   * Reads a successful answer. Whatever is not about a session changes nothing.
   *
   * @param {string} event
   * @param {unknown} data
   * @returns {boolean} Whether it was about a session.
   */
  handleAnswer(event, data) {
    if (event === "aaw/logout") return this.forget();
    if (!LOGINS.has(event) || typeof data !== "object" || data === null) return false;
    // The original's way to fail, over a connection that has no other.
    if (!("token" in data) || typeof data.token !== "string") return false;
    this.token = data.token;
    const user = "user" in data ? data.user : null;
    this.identity = typeof user === "object" && user !== null ? /** @type {Identity} */ (user) : null;
    return true;
  }

  /** There is no session any more. @returns {boolean} Whether there was one. */
  forget() {
    const had = this.token !== null || this.identity !== null;
    this.token = null;
    this.identity = null;
    return had;
  }
}

/**
 * Whether a failure says that a session is over, and not merely that it could not be resumed just now. The original has
 * no codes.
 *
 * @param {{ error: unknown, code?: string }} failure
 */
export const saysOver = ({ error, code }) =>
  code === "not_authenticated" || error === "Session expired" || error === "Not authenticated";
