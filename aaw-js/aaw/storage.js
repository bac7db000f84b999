// Where a token outlives its page, if somebody wants that.

import { report } from "./emitter.js";

/**
 * `localStorage` and `sessionStorage` are such.
 *
 * @typedef {object} TokenStorage
 * @property {(key: string) => string | null} getItem
 * @property {(key: string, token: string) => void} setItem
 * @property {(key: string) => void} removeItem
 */

/** The token of one client. A storage that fails (full, forbidden) is reported, and the client goes on without. */
export class KeptToken {
  #storage;
  #key;
  /** What this client has read or written last. @type {string | null} */
  #own = null;

  /** @param {TokenStorage | undefined} storage @param {string} key */
  constructor(storage, key) {
    this.#storage = storage;
    this.#key = key;
  }

  /** @returns {string | null} */
  read() {
    this.#try((storage) => (this.#own = storage.getItem(this.#key) || null));
    return this.#own;
  }

  /** @param {string | null} token `null`: there is none any more. */
  write(token) {
    this.#try((storage) => {
      // Another window may have logged in anew, and keeps its token here, too.
      if (token === null && storage.getItem(this.#key) === this.#own) storage.removeItem(this.#key);
      else if (token !== null && token !== this.#own) storage.setItem(this.#key, token);
    });
    this.#own = token;
  }

  /** @param {(storage: TokenStorage) => void} act */
  #try(act) {
    try {
      if (this.#storage) act(this.#storage);
    } catch (error) {
      report(error);
    }
  }
}
