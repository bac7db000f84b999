// The listeners that an application registers with `on`.

/** Reports an error that a listener threw, as the platform reports uncaught errors. @param {unknown} error */
export const report = (error) => {
  if (typeof reportError === "function") reportError(error);
  else console.error(error);
};

/** Listeners by event name. They stay registered across reconnects. */
export class Emitter {
  /** @type {Map<string, ((detail: any) => unknown)[]>} */
  #listeners = new Map();

  /**
   * Adds a listener.
   *
   * @param {string} event
   * @param {(detail: any) => unknown} callback
   */
  on(event, callback) {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), callback]);
  }

  /**
   * Removes the given listener, or the most recently added one. A callback that was added twice is removed once.
   *
   * @param {string} event
   * @param {(detail: any) => unknown} [callback]
   */
  off(event, callback) {
    const listeners = [...(this.#listeners.get(event) ?? [])];
    const at = callback ? listeners.lastIndexOf(callback) : listeners.length - 1;
    if (at < 0) return;
    listeners.splice(at, 1);
    if (listeners.length) this.#listeners.set(event, listeners);
    else this.#listeners.delete(event);
  }

  /** @param {string} event */
  hasListeners(event) {
    return this.#listeners.has(event);
  }

  /**
   * Calls the listeners of an event. An error that one of them throws is reported; the others are still called.
   *
   * @param {string} event
   * @param {unknown} detail
   */
  emit(event, detail) {
    const listeners = this.#listeners.get(event);
    if (!listeners) return;
    // `on` and `off` replace the list, so this one does not change during the loop.
    for (const listener of listeners) {
      try {
        const returned = listener(detail);
        // An `async` listener rejects instead of throwing.
        if (returned instanceof Promise) returned.catch(report);
      } catch (error) {
        report(error);
      }
    }
  }
}
