// aaw-js 0.1.0 (MIT). Generated from the modules in aaw-js/aaw.
// Types of the Web API. A program without TypeScript's DOM library has them from `@types/node` or `@types/bun`. One that
// has neither gets the part that the client uses. In this file they hide the global types of the same names.

/** The type of a global class, or `Fallback` if the program does not know the class. */
type Global<Name extends string, Fallback> =
    typeof globalThis extends Record<Name, { prototype: infer T }> ? T : Fallback;

type AbortSignal = Global<"AbortSignal", {
    readonly aborted: boolean;
    readonly reason: any;
    addEventListener(type: "abort", listener: (event: any) => void, options?: { once?: boolean }): void;
    removeEventListener(type: "abort", listener: (event: any) => void): void;
}>;
type URL = Global<"URL", { readonly href: string }>;
type ReadableStream<T> = Global<"ReadableStream", AsyncIterable<T>>;
type Response = Global<"Response", { readonly body: ReadableStream<Uint8Array> | null }>;
type HeadersInit = typeof globalThis extends { Headers: new (init?: infer T) => any } ? NonNullable<T>
    : Record<string, string> | [string, string][];
declare const fetch: typeof globalThis extends { fetch: infer T } ? T : (url: string, init?: any) => Promise<any>;

type Event = Global<"Event", { readonly type: string }>;
type CloseEvent = Event & { readonly code: number; readonly reason: string; readonly wasClean: boolean };
type MessageEvent<T> = Event & { readonly data: T };
declare const EventTarget: typeof globalThis extends { EventTarget: infer T extends new () => object } ? T : new () => {
    addEventListener(type: string, listener: ((event: any) => void) | null, options?: any): void;
    removeEventListener(type: string, listener: ((event: any) => void) | null, options?: any): void;
    dispatchEvent(event: any): boolean;
};

/**
 * Why a call failed, and how far it has come.
 *
 * `code` is the server's (`unknown_event`, `handler`, `busy`, …) or one of the client's own:
 *
 * | code | meaning |
 * |---|---|
 * | `timeout` | No response arrived in time. If the server reports it, it has dropped the handler |
 * | `cancelled` | The call's `signal` was aborted; `name` is that of the signal's reason, usually `AbortError` |
 * | `outcome_unknown` | The call was sent, and then the connection was lost for good: it may or may not have run |
 * | `no_connection` | Not sent: the client is closed |
 * | `busy` | Not sent: the queue of waiting messages is full. (Servers use it too) |
 * | `too_large` | Not sent: the message exceeds the server's size limit. (From a server: the response does) |
 * | `bad_body` | Not sent: the payload cannot be serialized. (From a server: it does not match the event's type) |
 */
declare class CallError extends Error {
    /**
     * @param {Failure} failure
     * @param {Partial<Delivery> & { sent: boolean, cause?: unknown }} known
     */
    constructor({ error, code, data }: Failure, { sent, taken, cause }: Partial<Delivery> & {
        sent: boolean;
        cause?: unknown;
    });
    /** The message, for people. */
    error: string;
    /** The kind of error, for programs. */
    code: string;
    /** Whether the server may have received the call. If `false`, the call is safe to retry. */
    sent: boolean;
    /**
     * Whether the server has received the call for certain: it has acknowledged or answered it. If `false` and `sent`, the
     * call may still be on its way, or lost with the connection.
     */
    taken: boolean;
    /** Details that the handler added. */
    data: unknown;
}
/**
 * The error of a call as it is sent over the wire (PROTOCOL.md, section 7).
 */
type Failure = {
    /**
     * The message, for people. A string, except from servers of the original package, which may
     * send any JSON value.
     */
    error: unknown;
    /**
     * The kind of error, for programs. Default `handler`: the handler returned an error.
     */
    code?: string | undefined;
    /**
     * Details that the handler added.
     */
    data?: unknown;
};
/**
 * How far a call has come.
 */
type Delivery = {
    /**
     * The server may have received it: it was written at least once.
     */
    sent: boolean;
    /**
     * The server has received it.
     */
    taken: boolean;
};

/**
 * The user that a session belongs to.
 */
type Identity = {
    id: string;
    email: string;
    /**
     * The protected events that the user may call, as patterns: `*`, `auth/teamplay/*`, or
     * an exact name. If absent, all of them.
     */
    allowed?: string[] | undefined;
};

/**
 * Each delay is random, between zero and a ceiling that grows with each failure ("full jitter"), so that the clients of
 * a restarted server do not all reconnect at the same moment.
 */
type Backoff = {
    /**
     * The ceiling of the first delay, in ms.
     */
    min: number;
    /**
     * The highest ceiling, in ms. A connection that lasted at least this long resets the ceiling to
     * `min`. A shorter one does not, or a server that accepts connections and closes them at once would be contacted
     * without pause.
     */
    max: number;
    /**
     * Each failure multiplies the ceiling by this. At least 1.
     */
    factor: number;
    /**
     * The delay after an attempt that the server has refused: random between half of this and
     * this, in ms. It does not grow. The server answers, and refuses the next attempt as well until a person changes its
     * configuration or that of the client. `Infinity`: no further attempt.
     */
    refused: number;
};

/**
 * `localStorage` and `sessionStorage` implement this.
 */
type TokenStorage = {
    getItem: (key: string) => string | null;
    setItem: (key: string, token: string) => void;
    removeItem: (key: string) => void;
};

/**
 * The part of the WebSocket API that the client uses. Browsers, Node, Bun and the package `ws` all provide it.
 */
type Socket = {
    protocol: string;
    bufferedAmount: number;
    send: (text: string) => void;
    close: (code?: number, reason?: string) => void;
    addEventListener: (type: "open" | "close" | "error" | "message", listener: (event: any) => void) => void;
};
type SocketClass = new (url: string, protocols: string[]) => Socket;

/**
 * The server's URL, or a function that returns it, which is called before each attempt to connect.
 */
type UrlSource = string | URL | null | (() => string | URL | Promise<string | URL>);

/**
 * All options are optional; `undefined` and `null` select the default. Times are positive numbers of ms, limits are
 * positive integers, sizes are in bytes. `Infinity` is accepted where its meaning is stated, and for all limits. A
 * value of another type is a `TypeError`, also a numeric string, 0 and `false`.
 */
type Options = {
    /**
     * The timeout of calls that do not set their own. `Infinity`: none. Default 3000, as in
     * the original.
     */
    timeout?: number | undefined;
    /**
     * The credit of a stream: how many items the server may send before the first is read. A
     * larger one costs memory, and allows more throughput over connections with a high latency. From 1 to 2147483647, default 64.
     */
    window?: number | undefined;
    /**
     * The delays between attempts to connect. `min` and `max`
     * are finite, and the factor is at least 1. `refused` applies where it is known that the server has refused the
     * client: Node, Bun and the package `ws` tell the status of a handshake, browsers do not. Default
     * `{ min: 100, max: 10000, factor: 2, refused: 30000 }`.
     */
    backoff?: Partial<Backoff> | undefined;
    /**
     * The original's option: sets `backoff.min` and `backoff.max`.
     */
    reconnectInterval?: number | undefined;
    /**
     * The idle time after which the client sends a ping; after as much again without any
     * message, the connection counts as lost. Default 20000, because proxies drop connections that are idle for 30 to
     * 60 s. `Infinity` disables it. (Classic servers have no pings.)
     */
    heartbeat?: number | undefined;
    /**
     * For an attempt to connect, including the URL function. `Infinity`: the platform's
     * own. Default 10000.
     */
    connectTimeout?: number | undefined;
    /**
     * Calls that are sent and have not ended; further ones wait. Default 1024. The
     * server's limit, usually 256, applies too.
     */
    maxInFlight?: number | undefined;
    /**
     * The size of one message. Default 16 MiB. The server's limit, usually 1 MiB, applies
     * too.
     */
    maxMessage?: number | undefined;
    /**
     * The total size of the calls that wait for a connection; a further one fails with
     * `busy`. Default 16 MiB.
     */
    maxWaitingCalls?: number | undefined;
    /**
     * The same for `sendSync`, which then throws. Default 1 MiB: they have no timeout,
     * and an event that is sent long after it was made is rarely of use.
     */
    maxWaitingSends?: number | undefined;
    /**
     * Whether the connection continues when its socket breaks, if the server
     * supports it: calls, streams and pushes go on over the next socket. Otherwise calls that were sent fail with
     * `outcome_unknown`. An object is `true`, with options. Default `true`.
     */
    resumption?: boolean | ResumptionOptions | undefined;
    /**
     * Whether integers beyond 2^53 that the server sends become `BigInt`s. Otherwise they are
     * numbers, and lose their last digits. `BigInt`s that are sent become integers either way. Default `false`.
     */
    bigint?: boolean | undefined;
    /**
     * The token of a session to resume, which the application has stored itself, as in
     * the original. It takes precedence over `storage`. At most 1024 characters; an empty one is none.
     */
    token?: string | null | undefined;
    /**
     * Where the session's token is kept beyond the
     * page's lifetime: `localStorage`, or `sessionStorage`, which lasts until the tab is closed. Every script of the page
     * can read the token there. Default: in memory only.
     */
    storage?: TokenStorage | null | undefined;
    /**
     * The token's key in the storage. Clients of different servers need different keys, or
     * each sends the other's token to its server. Default `aaw/token`.
     */
    storageKey?: string | undefined;
    /**
     * The WebSocket class. Default: the global `WebSocket`.
     */
    WebSocket?: SocketClass | undefined;
};
/**
 * The options of resumption.
 */
type ResumptionOptions = {
    /**
     * Whether the connection also continues when the page is loaded again, or another page of
     * its origin is loaded in its tab. From `pagehide` until a page of the tab creates a client with this option, the state is in
     * `sessionStorage`: a secret key, the messages that the server has not acknowledged, the user's identity, and the session's
     * token. A client that is closed before it has connected leaves it there for the next
     * client. The server cannot know whether a page is closed or loaded again: it keeps the connection in its rooms for its window
     * (60 s by default) either way. Outside of pages it does nothing. Default `false`.
     */
    afterReload?: boolean | undefined;
    /**
     * The key of the state in `sessionStorage`. Clients of the same page need different keys: only
     * the first one with a key continues. Default `aaw/resumption`.
     */
    storageKey?: string | undefined;
};

/**
 * Fires `open`, `close` and `error` for each of the client's sockets in turn, and `message` with the text of each
 * message.
 */
declare class WebSocketCompat extends EventTarget {
    /** @type {((event: Event) => unknown) | null} */
    onopen: ((event: Event) => unknown) | null;
    /** @type {((event: CloseEvent) => unknown) | null} */
    onclose: ((event: CloseEvent) => unknown) | null;
    /** @type {((event: Event) => unknown) | null} */
    onerror: ((event: Event) => unknown) | null;
    /** @type {((event: MessageEvent<string>) => unknown) | null} */
    onmessage: ((event: MessageEvent<string>) => unknown) | null;
    #private;
}

type CallOptions = {
    /**
     * A positive number of ms, including the time that the call waits for a connection.
     * `Infinity`: none.
     */
    timeout?: number | undefined;
    /**
     * Cancels the call: it rejects with the code `cancelled`, and the server drops its
     * handler.
     */
    signal?: AbortSignal | undefined;
};
type StreamOptions = {
    /**
     * Cancels the stream: the server drops the handler, items that were not read are
     * discarded, and the iteration throws a `CallError` with the code `cancelled`.
     */
    signal?: AbortSignal | undefined;
};

/**
 * The items of a response, to be read once with `for await`. Leaving the loop cancels the call, and the server drops
 * its handler.
 *
 * The server sends only as many items as the client has granted credit for: at first the option `window` (64 by
 * default), then more as they are read. So a slow reader slows the handler down. If the call fails, the error is thrown
 * after the items that arrived before it. If the connection is lost for good, that is a `CallError` with the code
 * `outcome_unknown`; if it is resumed, the stream continues.
 *
 * @template T
 */
declare class ItemStream<T> {
    /**
     * Resolves with the next item. It may be called again before the previous promise has resolved.
     *
     * @returns {Promise<IteratorResult<T, undefined>>}
     */
    next(): Promise<IteratorResult<T, undefined>>;
    /** Cancels the stream, as leaving the loop does. @returns {Promise<IteratorResult<T, undefined>>} */
    return(): Promise<IteratorResult<T, undefined>>;
    [Symbol.asyncIterator](): this;
    #private;
}

/**
 * The items of a response, as in any stream, and an upload: a stream of items to the handler.
 *
 * The two directions are independent: the response continues after `end`. Leaving the loop ends both.
 *
 * @template U The type of the items that are sent.
 * @template T The type of the items that are read.
 * @extends {ItemStream<T>}
 */
declare class Duplex<U, T> extends ItemStream<T> {
    /**
     * Sends an item. Items that are sent without awaiting the previous ones keep their order; up to 1 MiB of them is
     * buffered until the server grants credit.
     *
     * @param {U} item
     * @returns {Promise<boolean>} `true` once the server had credit for the item and it was written; `false` if the call
     *   is over (the iteration says why) or `end` was called. Rejects with a `CallError` if the item cannot be serialized
     *   to JSON (`bad_body`), exceeds the size limit of messages (`too_large`), or does not fit in the buffer (`busy`).
     *   The call continues without the item.
     */
    send(item: U): Promise<boolean>;
    /** Ends the upload: the handler's stream ends after the items that were sent. */
    end(): void;
    #private;
}

/**
 * Handles a call that the server makes. The response is what it returns, or what the returned promise resolves with. If
 * it throws or rejects, the call fails with the error's message and the code `handler`.
 */
type Handler = (body: any, call: {
    signal: AbortSignal;
}) => unknown;

/**
 * A client of one server. It connects when it is created, and reconnects whenever the connection is lost, until it is
 * closed. If the server supports resumption, the connection goes on over the next socket: calls, streams and pushes continue.
 *
 * Its methods work without `this`. It also implements the WebSocket interface, as the original's client does.
 */
declare class Client extends WebSocketCompat {
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
     * @returns {Promise<T>} Rejects with a `CallError`: `error` is the message, `code` the kind of error, `sent`
     *   whether the server may have received the call, and `taken` whether it has for certain. Or with a `TypeError`: the options are invalid.
     */
    sendAsync<T = any>(event: string, payload?: unknown, options?: number | CallOptions): Promise<T>;
    /**
     * Sends an event without waiting for a response. It is written now (on Node, while calls are in flight, at the end of
     * the event loop's current callback) or, without a connection, to the next one. It is lost if the connection breaks for
     * good while it is in transit; use `sendAsync` if that matters.
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
     * @throws {TypeError} The options are invalid.
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
     * @throws {CallError | TypeError} As `stream` does.
     */
    duplex<U = any, T = any>(event: string, payload?: unknown, options?: StreamOptions): Duplex<U, T>;
    /**
     * Adds a listener for the pushes of an event. It stays across reconnects. It also receives the responses to calls of
     * that event.
     *
     * The client itself emits `open` (with the socket's `Event`), `close` (a `CloseEvent`; also after a failed attempt),
     * `interrupted` (`{ reason }`: the socket broke, and the connection goes on with the next one), `resumed` (it does; if it
     * does not, `close` follows), `gap` (`{ lost }`: so many pushes were dropped while the connection was interrupted),
     * `error` (the socket's `Event`, or a `CallError`), `unauthorized` (a `CallError`: the session has ended) and
     * `aaw/state` (the new `state`). The server sends `aaw/joined` and `aaw/left` for the rooms that this client is in.
     *
     * @param {string} event
     * @param {(detail: any) => unknown} callback
     * @returns {void}
     * @throws {TypeError} The event is not a string, or the callback not a function.
     */
    on(event: string, callback: (detail: any) => unknown): void;
    /**
     * Removes a listener: the given callback, or, without one, the listener that was added last.
     *
     * @param {string} event
     * @param {(detail: any) => unknown} [callback]
     * @returns {void}
     * @throws {TypeError} As `on` does.
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
     * @throws {TypeError} The event has a handler already. Or it is not a string, or the handler not a function.
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
     * Lets the Node process end although the client is not closed, as sockets do. Calls and streams that have not ended,
     * messages that wait to be sent, and `close` still keep it running; the connection, its heartbeat and the delays
     * between attempts do not. An attempt to connect does until it has succeeded or failed.
     *
     * Works with the WebSocket of Node (from 20.16 or 22.3 on), the class of the package `ws`, and classes with a method
     * `unref`. Elsewhere, in Bun for example, an open connection keeps the process running. In pages it does nothing.
     *
     * @returns {this}
     */
    unref(): this;
    /** The opposite of `unref`, and the default: the connection keeps the process running. @returns {this} */
    ref(): this;
    /**
     * Sends a message as over a WebSocket: the JSON text of `[event, data]`. The same as `sendSync(event, data)`.
     *
     * @param {string} text
     * @returns {void}
     * @throws {Error} The text is not such an array, or `sendSync` throws.
     */
    send(text: string): void;
    /**
     * The state of the socket, also while the connection is interrupted. When it changes, `aaw/state` is emitted.
     *
     * @returns {State}
     */
    get state(): State;
    /** The client key: a random name of the current connection, chosen by the client, which the server logs. */
    get sid(): string;
    /** The server's id of the connection, as in its handlers and its log; `null` while there is no connection. */
    get connection(): string | null;
    /**
     * Whether the connection is that of the page before this one: with the option `resumption.afterReload` it is still in its
     * rooms, and has its session. Known when `open` is emitted; `false` for a new connection.
     */
    get restored(): boolean;
    /**
     * As in a WebSocket: 0 while there is no connection, 1 (`WebSocket.OPEN`) while there is or it is interrupted, 3 once the
     * client is closed.
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
/**
 * The response to a log-in.
 */
type LoggedIn = {
    token: string;
    user: Identity;
};
/**
 * `waiting`: for the next attempt to connect.
 */
type State = "connecting" | "open" | "waiting" | "closed";

/**
 * Returns a client that makes one HTTP request for each call. It has no connection, so it receives no pushes.
 *
 * @param {string | URL} [url] The server's URL, with the scheme `http`, `https`, `ws` or `wss`. Default, in a page: the
 *   page's host.
 * @param {HttpOptions} [options]
 * @throws {TypeError} The URL or an option is invalid, or the URL is missing outside of a page.
 */
declare function http(url?: string | URL, options?: HttpOptions): HttpClient;
/** Calls events over HTTP. Its methods work without `this`. */
declare class HttpClient {
    /**
     * Calls an event and resolves with its response. For a streaming event that is an array of its items; for a one-way
     * event, `null`.
     *
     * @template [T=any]
     * @param {string} event
     * @param {unknown} [payload] Any value that can be serialized to JSON.
     * @param {number | CallOptions} [options] The timeout in ms, or an object. Default 3000 ms.
     * @returns {Promise<T>} Rejects with a `CallError`, as over a WebSocket. If the server cannot be reached, its code is
     *   `outcome_unknown`, because `fetch` does not report whether the request was sent.
     */
    sendAsync<T = any>(event: string, payload?: unknown, options?: number | CallOptions): Promise<T>;
    /**
     * Calls a streaming event: `for await (const item of http.stream("users/all")) …`. The request is made at once, and
     * is aborted when the loop is left. A slow reader slows the handler down, through TCP's flow control.
     *
     * @template [T=any]
     * @param {string} event
     * @param {unknown} [payload]
     * @param {StreamOptions} [options]
     * @returns {HttpStream<T>}
     * @throws {CallError} `bad_body`: the payload cannot be serialized to JSON. `unknown_event`: no event can have this
     *   name.
     * @throws {TypeError} The options are invalid.
     */
    stream<T = any>(event: string, payload?: unknown, options?: StreamOptions): HttpStream<T>;
    #private;
}
/**
 * The items of a response, to be read once with `for await`. Leaving the loop aborts the request, and the server drops
 * the handler. If the call fails, the error is thrown after the items that arrived before it.
 *
 * @template T
 */
declare class HttpStream<T> {
    /** Resolves with the next item. @returns {Promise<IteratorResult<T, undefined>>} */
    next(): Promise<IteratorResult<T, undefined>>;
    /** Cancels the stream, as leaving the loop does. @returns {Promise<IteratorResult<T, undefined>>} */
    return(): Promise<IteratorResult<T, undefined>>;
    [Symbol.asyncIterator](): this;
    #private;
}
type HttpOptions = {
    /**
     * The timeout of calls that do not set their own, in ms: a positive number, or
     * `Infinity` for none. Default 3000.
     */
    timeout?: number | undefined;
    /**
     * Sent with every request, and read for each. A value that is `undefined` or `null`
     * is an error.
     */
    headers?: HeadersInit | undefined;
    /**
     * Whether integers beyond 2^53 in responses become `BigInt`s. Default `false`.
     */
    bigint?: boolean | undefined;
    /**
     * The size limit of one item of a stream, in characters. `Infinity`: none. Default
     * 16 Mi (16777216).
     */
    maxItem?: number | undefined;
    /**
     * The function that makes requests. Default: the global `fetch`.
     */
    fetch?: typeof fetch | undefined;
};

type ServerSentEvent = {
    /**
     * The event's type; `message` by default.
     */
    event: string;
    data: string;
    /**
     * The id of this event, or else of the last event that had one; empty if none had.
     */
    id: string;
    /**
     * The reconnection time in ms, if the server has sent one since the previous event.
     */
    retry?: number | undefined;
};

/**
 * Reads server-sent events from a `fetch` response, whatever the method and the server:
 * `for await (const { event, data, id } of aaw.sse(await fetch(url, { method: "POST" }))) …`.
 *
 * The body is read only as the loop requests events, and leaving the loop cancels it, which ends the request. The
 * iteration throws the body's errors, and a `CallError` with the code `http_STATUS` if the response is not `ok`. It
 * does not reconnect.
 *
 * @param {Response | ReadableStream<Uint8Array>} response
 * @param {SseOptions} [options]
 * @returns {SseStream}
 * @throws {TypeError} An argument is invalid: a promise of a response, for example.
 */
declare function sse(response: Response | ReadableStream<Uint8Array>, options?: SseOptions): SseStream;
/**
 * The events of a response, to be read once with `for await`.
 *
 */
declare class SseStream {
    /** Resolves with the next event. @returns {Promise<IteratorResult<ServerSentEvent, undefined>>} */
    next(): Promise<IteratorResult<ServerSentEvent, undefined>>;
    /**
     * Cancels the body, as leaving the loop does.
     *
     * @returns {Promise<IteratorResult<ServerSentEvent, undefined>>}
     */
    return(): Promise<IteratorResult<ServerSentEvent, undefined>>;
    [Symbol.asyncIterator](): this;
    #private;
}
type SseOptions = {
    /**
     * The size limit of one event in characters, including field names and an unfinished
     * line. A larger one makes the iteration throw an `EventTooLarge`, and the body is cancelled. `Infinity`: none.
     * Default 4 Mi (4194304).
     */
    maxEvent?: number | undefined;
};

/**
 * Creates a client. It connects to the server at once, and reconnects whenever the connection is lost, until it is
 * closed.
 *
 * @param {UrlSource} [url] A URL with the scheme `ws`, `wss`, `http` or `https`, or a path on the page's host. Or a
 *   function that returns the URL or a promise of it, and is called before each attempt: to choose among several
 *   servers, for example. Handlers do not see the URL. Default, in a page: the page's host.
 * @param {Options} [options]
 * @throws {TypeError} The URL or an option is invalid, or the URL is missing outside of a page. Or there is no
 *   WebSocket class.
 */
declare function aaw(url?: UrlSource, options?: Options): Client;
declare namespace aaw {
    export { CallError };
    export { http };
    export { sse };
}

export { CallError, aaw as default, http, sse };
export type { CallOptions, Client, Duplex, Failure, Handler, HttpClient, HttpOptions, HttpStream, Identity, ItemStream, LoggedIn, Options, ResumptionOptions, ServerSentEvent, SseOptions, SseStream, State, StreamOptions, TokenStorage, UrlSource };
