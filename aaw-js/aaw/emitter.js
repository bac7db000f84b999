// Who listens to what.

/** Reports what a listener threw as the platform reports what nobody caught; others go on. @param {unknown} error */
export const report = (error) => {
  if (typeof reportError === "function") reportError(error);
  else console.error(error);
};

/** Listeners by the name of the event. They survive connections. */
export class Emitter {
  /** @type {Map<string, ((detail: any) => unknown)[]>} */
  #listeners = new Map();

  /**
   * @param {string} event
   * @param {(detail: any) => unknown} callback
   */
  on(event, callback) {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), callback]);
  }

  /**
   * Removes the listener that was added last, or the one given, once.
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
  isHeard(event) {
    return this.#listeners.has(event);
  }

  /** @param {string} event @param {unknown} detail */
  emit(event, detail) {
    // `on` and `off` make a new list: this one stays as it is while it is gone through.
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        const returned = listener(detail);
        // An `async` listener throws into its promise.
        if (returned instanceof Promise) returned.catch(report);
      } catch (error) {
        report(error);
      }
    }
  }
}
