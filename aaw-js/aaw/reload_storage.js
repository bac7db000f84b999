// Where a page leaves its connection to the next page of its tab: an entry of `sessionStorage`, written at `pagehide`. The next
// client with the same key removes it when it is created, or writes it again if it is closed before it has connected. A page
// without such a client leaves it there, until the tab is closed. A tab that is duplicated copies the storage, so a page whose
// client is open has no entry.

import { readConnection } from "./saved_connection.js";

/** @import { SavedConnection } from "./saved_connection.js" */

/** The storage of one client. If it is forbidden or full, the client works without it. */
export class ReloadStorage {
  #platform;
  #key;
  /** What this client has written last. @type {string | null} */
  #written = null;

  /** @param {import("./platform.js").Platform} platform @param {string} key */
  constructor(platform, key) {
    this.#platform = platform;
    this.#key = key;
  }

  /** Takes what an earlier page has written. No other page can take it then. @returns {SavedConnection | null} */
  take() {
    return this.#try((storage) => {
      const text = storage.getItem(this.#key);
      if (text === null) return null;
      storage.removeItem(this.#key);
      return readConnection(text, this.#platform.wallClock());
    });
  }

  /**
   * Writes what the next page continues. What another client with the same key has written stays: of a frame of the page, for
   * example.
   *
   * @param {SavedConnection} saved
   * @returns {boolean} Whether it is stored.
   */
  write(saved) {
    const isWritten = this.#try((storage) => {
      const present = storage.getItem(this.#key);
      if (present !== this.#written && readConnection(present, this.#platform.wallClock())) return false;
      const text = JSON.stringify(saved);
      storage.setItem(this.#key, text);
      this.#written = text;
      return true;
    });
    return isWritten ?? false;
  }

  /** Removes what this client has written. @returns {boolean} Whether no other page has taken it. */
  withdraw() {
    const isOwn = this.#try((storage) => {
      if (this.#written === null || storage.getItem(this.#key) !== this.#written) return false;
      storage.removeItem(this.#key);
      return true;
    });
    this.#written = null;
    return isOwn ?? false;
  }

  /** Whether no other page has taken what this client has written. */
  get isPresent() {
    return this.#written !== null && this.#try((storage) => storage.getItem(this.#key) === this.#written) === true;
  }

  /** @template R @param {(storage: import("./persistent_token.js").TokenStorage) => R} operation @returns {R | null} */
  #try(operation) {
    try {
      return operation(this.#platform.sessionStorage());
    } catch {
      return null;
    }
  }
}
