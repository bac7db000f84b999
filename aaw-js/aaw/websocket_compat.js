// The WebSocket interface of the client. The original's client is a WebSocket, and pages use it as one: they check
// `readyState` before they send, or set `onopen`.

import { report } from "./emitter.js";

/**
 * Fires `open`, `close` and `error` for each of the client's sockets in turn, and `message` with the text of each
 * message.
 */
export class WebSocketCompat extends EventTarget {
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

  /** Whether there may be a `message` listener. Without one, the client skips creating the events. @internal */
  get wantsMessages() {
    return this.#hasMessageListeners || this.onmessage !== null;
  }
}

/**
 * Fires an event: calls the `on…` property, then the listeners. An error that the property throws is reported.
 *
 * @param {WebSocketCompat} target
 * @param {Event} event It must not be in dispatch already.
 */
export const fire = (target, event) => {
  try {
    const property = /** @type {"onopen"} */ (`on${event.type}`);
    const handler = /** @type {((event: any) => unknown) | null} */ (target[property]);
    if (typeof handler === "function") handler.call(target, event);
  } catch (error) {
    report(error);
  }
  target.dispatchEvent(event);
};
