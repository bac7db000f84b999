/** @typedef {import("./handler_registry.js").Handler} Handler */
/** @typedef {import("./options.js").Options} Options */
/** @typedef {import("./output_queue.js").CallResult} CallResult */
/** @typedef {import("./stream.js").StreamOptions} StreamOptions */
/** @typedef {import("./token_store.js").Identity} Identity */
/**
 * @typedef {object} CallOptions
 * @property {number} [timeout] In ms, including the time that the call waits for a connection. `Infinity`: none.
 * @property {AbortSignal} [signal] Cancels the call: it rejects with the code `cancelled`, and the server drops its
 *   handler.
 */
/** @typedef {{ token: string, user: Identity }} LoggedIn The response to a log-in. */
/** @typedef {"connecting" | "open" | "waiting" | "closed"} State `waiting`: for the next attempt to connect. */
/**
 * A client of one server. It connects when it is created, and reconnects whenever the connection is lost, until it is
 * closed.
 *
 * Its methods work without `this`. It also implements the WebSocket interface, as the original's client does.
 */
export class Client extends WebSocketCompat {
    /**
     * @param {import("./driver.js").UrlSource | undefined} url
     * @param {Options} options
     * @param {import("./platform.js").Platform} platform
     */
    constructor(url: import("./driver.js").UrlSource | undefined, options: Options, platform: import("./platform.js").Platform);
    /**
     * Calls an event and resolves with its response. Any number of calls can be in flight; they reach the server in the
     * order in which they were made. While there is no connection, they wait for one.
     *
     * For a streaming event the response is an array of its items. For a one-way event it is `null`, once the handler has
     * returned. (The original's server sends no response for those, so the call times out.)
     *
     * @template [T=any]
     * @param {string} event
     * @param {unknown} [payload] Any value that can be serialized to JSON.
     * @param {number | CallOptions} [options] The timeout in ms, or an object. Default 3000 ms.
     * @returns {Promise<T>} Rejects with a `CallError`: `error` is the message, `code` the kind of error, and `sent`
     *   whether the server may have received the call.
     */
    sendAsync<T = any>(event: string, payload?: unknown, options?: number | CallOptions): Promise<T>;
    /**
     * Sends an event without waiting for a response. It is written now or, without a connection, to the next one. It is
     * lost if the connection breaks while it is in transit; use `sendAsync` if that matters.
     *
     * If the event responds and there are listeners for its name, they receive the response, as with the original.
     *
     * @param {string} event
     * @param {unknown} [payload] Any value that can be serialized to JSON.
     * @returns {void}
     * @throws {CallError} It will not be sent: `bad_body` (it cannot be serialized), `bad_frame` (the event's name is not
     *   a string, or reserved), `too_large`, `busy` (the queue of waiting events is full) or `no_connection` (the client
     *   is closed).
     */
    sendSync(event: string, payload?: unknown): void;
    /**
     * Calls a streaming event: `for await (const item of ws.stream("users/all")) …`. The call is made at once, and is
     * cancelled when the loop is left. The response of a unary event is a stream of one item, that of a one-way event a
     * stream of none.
     *
     * @template [T=any]
     * @param {string} event
     * @param {unknown} [payload]
     * @param {StreamOptions} [options]
     * @returns {ItemStream<T>}
     * @throws {CallError} `bad_body`: the payload cannot be serialized to JSON. `bad_frame`: the event's name is not a
     *   string, or reserved. Other errors are thrown by the iteration.
     */
    stream<T = any>(event: string, payload?: unknown, options?: StreamOptions): ItemStream<T>;
    /**
     * Calls an event that takes an upload: a stream of items from its caller. Read the response like any stream, and
     * `send` items meanwhile.
     *
     * @template [U=any]
     * @template [T=any]
     * @param {string} event
     * @param {unknown} [payload]
     * @param {StreamOptions} [options]
     * @returns {Duplex<U, T>}
     * @throws {CallError} As `stream` does.
     */
    duplex<U = any, T = any>(event: string, payload?: unknown, options?: StreamOptions): Duplex<U, T>;
    /**
     * Adds a listener for the pushes of an event. It stays across reconnects. It also receives the responses to calls of
     * that event.
     *
     * The client itself emits `open` (with the socket's `Event`), `close` (a `CloseEvent`; also after a failed attempt),
     * `error` (the socket's `Event`, or a `CallError`), `unauthorized` (a `CallError`: the session has ended) and
     * `aaw/state` (the new `state`). The server sends `aaw/joined` and `aaw/left` for the rooms that this client is in.
     *
     * @param {string} event
     * @param {(detail: any) => unknown} callback
     * @returns {void}
     */
    on(event: string, callback: (detail: any) => unknown): void;
    /**
     * Removes a listener: the given callback, or, without one, the listener that was added last.
     *
     * @param {string} event
     * @param {(detail: any) => unknown} [callback]
     * @returns {void}
     */
    off(event: string, callback?: (detail: any) => unknown): void;
    /**
     * Registers the handler of a client call, that is, of calls that the server makes:
     * `ws.handle("confirm", (body) => confirm(body.text))`. The handler may return a promise; the timeout is the
     * server's. Calls of events without a handler fail with `unknown_event`.
     *
     * @param {string} event
     * @param {Handler} handler
     * @returns {() => void} Removes the handler.
     * @throws {TypeError} The event has a handler already.
     */
    handle(event: string, handler: Handler): () => void;
    /**
     * Logs in. The client keeps the session's token, and resumes the session on each new connection, before anything else
     * is sent and before `open` is emitted.
     *
     * @param {string} email
     * @param {string} password
     * @param {number | CallOptions} [options]
     * @returns {Promise<LoggedIn>} Rejects with `Invalid credentials` if the address or the password is wrong.
     */
    login(email: string, password: string, options?: number | CallOptions): Promise<LoggedIn>;
    /**
     * Creates an account and logs in.
     *
     * @param {string} email
     * @param {string} password
     * @param {number | CallOptions} [options]
     * @returns {Promise<LoggedIn>} Rejects with `Email already registered` if the address is taken.
     */
    register(email: string, password: string, options?: number | CallOptions): Promise<LoggedIn>;
    /**
     * Resumes a session whose token the application has stored itself.
     *
     * @param {string} token
     * @param {number | CallOptions} [options]
     * @returns {Promise<LoggedIn>} Rejects with `Session expired` if the session has ended.
     */
    resume(token: string, options?: number | CallOptions): Promise<LoggedIn>;
    /**
     * Ends the session, on all connections that use it.
     *
     * @param {number | CallOptions} [options]
     * @returns {Promise<{ ok: true }>}
     */
    logout(options?: number | CallOptions): Promise<{
        ok: true;
    }>;
    /**
     * Requests a password reset: if the account exists, the server's password-reset hook delivers a token for `setNew`.
     * The response is the same if it does not exist.
     *
     * @param {string} email
     * @param {number | CallOptions} [options]
     * @returns {Promise<{ ok: true }>}
     */
    requestReset(email: string, options?: number | CallOptions): Promise<{
        ok: true;
    }>;
    /**
     * Sets a new password, ends all sessions of the account, and logs in.
     *
     * @param {string} token The token that `requestReset` had delivered. It can be used once.
     * @param {string} password
     * @param {number | CallOptions} [options]
     * @returns {Promise<LoggedIn>} Rejects with `Reset link is invalid or expired`.
     */
    setNew(token: string, password: string, options?: number | CallOptions): Promise<LoggedIn>;
    /**
     * The user of the session, from the response to the last log-in; `null` without a session, and until the session of a
     * stored token is resumed. It does not change while the connection is lost.
     *
     * @returns {Identity | null}
     */
    get identity(): Identity | null;
    /**
     * The session's token: a bearer secret, so do not show or log it. `null` without a session.
     *
     * @returns {string | null}
     */
    get token(): string | null;
    /**
     * Closes the client for good. Events that wait to be sent are written if there is a connection; all calls reject.
     *
     * @returns {Promise<void>} Resolves when the connection is closed.
     */
    close(): Promise<void>;
    /**
     * Sends a message as over a WebSocket: the JSON text of `[event, data]`. The same as `sendSync(event, data)`.
     *
     * @param {string} text
     * @returns {void}
     * @throws {Error} The text is not such an array, or `sendSync` throws.
     */
    send(text: string): void;
    /** The state of the connection. When it changes, `aaw/state` is emitted. @returns {State} */
    get state(): State;
    /** The client key: a random name of the current connection, chosen by the client, which the server logs. */
    get sid(): string;
    /** The server's id of the connection, as in its handlers and its log; `null` while there is no connection. */
    get connection(): string | null;
    /**
     * As in a WebSocket: 0 while there is no connection, 1 (`WebSocket.OPEN`) while there is, 3 once the client is
     * closed.
     */
    get readyState(): number;
    /** The URL of the current connection or attempt, as in a WebSocket. */
    get url(): string;
    /** The sub-protocol, as in a WebSocket: `aaw.v1` with an aaw server, `sid` with a server of the original package. */
    get protocol(): string;
    /** The bytes that the socket has buffered, as in a WebSocket. */
    get bufferedAmount(): number;
    #private;
}
export type Handler = import("./handler_registry.js").Handler;
export type Options = import("./options.js").Options;
export type CallResult = import("./output_queue.js").CallResult;
export type StreamOptions = import("./stream.js").StreamOptions;
export type Identity = import("./token_store.js").Identity;
export type CallOptions = {
    /**
     * In ms, including the time that the call waits for a connection. `Infinity`: none.
     */
    timeout?: number | undefined;
    /**
     * Cancels the call: it rejects with the code `cancelled`, and the server drops its
     * handler.
     */
    signal?: AbortSignal | undefined;
};
/**
 * The response to a log-in.
 */
export type LoggedIn = {
    token: string;
    user: Identity;
};
/**
 * `waiting`: for the next attempt to connect.
 */
export type State = "connecting" | "open" | "waiting" | "closed";
import { WebSocketCompat } from "./websocket_compat.js";
import { ItemStream } from "./stream.js";
import { Duplex } from "./duplex.js";
