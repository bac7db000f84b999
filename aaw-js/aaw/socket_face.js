// The original's client is a WebSocket, and pages use it as one besides: they look at `readyState` before they send, or
// have `onopen`. This is that face, over all the sockets that a client has in its time.

import { report } from "./emitter.js";

/** @typedef {"open" | "close" | "error" | "message"} SocketEventType */

/** `open`, `close` and `error` as of the sockets, one after the other, and `message` with each text as it came. */
export class SocketFace extends EventTarget {
  /** @type {((event: Event) => unknown) | null} */
  onopen = null;
  /** @type {((event: CloseEvent) => unknown) | null} */
  onclose = null;
  /** @type {((event: Event) => unknown) | null} */
  onerror = null;
  /** @type {((event: MessageEvent<string>) => unknown) | null} */
  onmessage = null;
  #hasMessageListeners = false;

  /**
   * @param {string} type
   * @param {EventListenerOrEventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @override
   */
  addEventListener(type, listener, options) {
    if (type === "message") this.#hasMessageListeners = true;
    super.addEventListener(type, listener, options);
  }

  /** Whether an event for each message is worth making. */
  get wantsMessages() {
    return this.#hasMessageListeners || this.onmessage !== null;
  }
}

/**
 * @param {SocketFace} face
 * @param {Event & { type: string }} event One that nothing else dispatches at the moment.
 */
export const show = (face, event) => {
  try {
    const handler = /** @type {((event: any) => unknown) | null} */ (face[/** @type {"onopen"} */ (`on${event.type}`)]);
    if (typeof handler === "function") handler.call(face, event);
  } catch (error) {
    report(error);
  }
  face.dispatchEvent(event);
};
