// The session's token in a storage that outlives the page, if the application configured one.

import { report } from "./emitter.js";

/**
 * `localStorage` and `sessionStorage` implement this.
 *
 * @typedef {object} TokenStorage
 * @property {(key: string) => string | null} getItem
 * @property {(key: string, token: string) => void} setItem
 * @property {(key: string) => void} removeItem
 */

/**
 * The stored token of one client. If the storage throws (it is full, or forbidden), the error is reported and the
 * client continues without it.
 */
export class PersistentToken {
  #storage;
  #key;
  /** The value that this client last read or wrote. @type {string | null} */
  #lastValue = null;

  /** @param {TokenStorage | undefined} storage @param {string} key */
  constructor(storage, key) {
    this.#storage = storage;
    this.#key = key;
  }

  /** @returns {string | null} */
  read() {
    this.#try((storage) => (this.#lastValue = storage.getItem(this.#key) || null));
    return this.#lastValue;
  }

  /** Whether the storage has this token. @param {string} token */
  holds(token) {
    let stored = null;
    this.#try((storage) => (stored = storage.getItem(this.#key)));
    return stored === token;
  }

  /** @param {string | null} token `null` removes it. */
  write(token) {
    this.#try((storage) => {
      // Another window may have logged in meanwhile and stored its own token under this key: that one stays.
      if (token === null && storage.getItem(this.#key) === this.#lastValue) storage.removeItem(this.#key);
      else if (token !== null && token !== this.#lastValue) storage.setItem(this.#key, token);
    });
    this.#lastValue = token;
  }

  /** @param {(storage: TokenStorage) => void} operation */
  #try(operation) {
    try {
      if (this.#storage) operation(this.#storage);
    } catch (error) {
      report(error);
    }
  }
}
