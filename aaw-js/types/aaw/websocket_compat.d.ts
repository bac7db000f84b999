/**
 * Fires `open`, `close` and `error` for each of the client's sockets in turn, and `message` with the text of each
 * message.
 */
export class WebSocketCompat extends EventTarget {
    /** @type {((event: Event) => unknown) | null} */
    onopen: ((event: Event) => unknown) | null;
    /** @type {((event: CloseEvent) => unknown) | null} */
    onclose: ((event: CloseEvent) => unknown) | null;
    /** @type {((event: Event) => unknown) | null} */
    onerror: ((event: Event) => unknown) | null;
    /** @type {((event: MessageEvent<string>) => unknown) | null} */
    onmessage: ((event: MessageEvent<string>) => unknown) | null;
    /** Whether there may be a `message` listener. Without one, the client skips creating the events. */
    get wantsMessages(): boolean;
    #private;
}
export function fire(target: WebSocketCompat, event: Event): void;
