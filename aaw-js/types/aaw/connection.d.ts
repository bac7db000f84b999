/** @template W The observer of a call, which also identifies it. The connection only stores and returns it. */
export class ClientConnection<W> {
    /**
     * Its first output is `connect`.
     *
     * @param {ConnectionConfig} config
     * @param {() => number} random Returns a number in [0, 1).
     * @param {number} now
     */
    constructor(config: ConnectionConfig, random: () => number, now: number);
    /**
     * Makes a call. It ends with exactly one `callDone`, unless it is cancelled.
     *
     * @param {number} now
     * @param {W} observer
     * @param {EncodedMessage} message
     * @param {CallSettings} [settings]
     * @throws {CallError} As `send` does, if `isSend` is set.
     */
    call(now: number, observer: W, message: EncodedMessage, settings?: CallSettings): void;
    /**
     * Cancels a call. It ends without an output; a v1 server is notified. Does nothing if the call has ended.
     *
     * @param {number} now
     * @param {W} observer
     * @returns {boolean} Whether the server may have received the call.
     */
    cancel(now: number, observer: W): boolean;
    /**
     * Makes a one-way send, on this connection or the next.
     *
     * @param {EncodedMessage} message
     * @throws {CallError} `too_large`, `busy` (the queue is full) or `no_connection` (the client is closed).
     */
    send(message: EncodedMessage): void;
    /**
     * The reader of a stream accepts items up to the `items`-th in total.
     *
     * @param {W} observer
     * @param {number} items
     */
    grantCredit(observer: W, items: number): void;
    /**
     * Writes the next item of an upload.
     *
     * @param {W} observer
     * @param {string} json
     * @returns {boolean} Whether it was written: the call is open, and there is credit for it.
     */
    uploadItem(observer: W, json: string): boolean;
    /** Writes the end of an upload. No item may follow. @param {W} observer */
    uploadEnd(observer: W): void;
    /** Responds to a client call. Does nothing if it was cancelled. @param {ClientCall} call @param {string} json */
    respond(call: ClientCall, json: string): void;
    /** The same, with an error. @param {ClientCall} call @param {Failure} failure */
    respondError(call: ClientCall, failure: Failure): void;
    /**
     * Closes the client. If there is a connection, queued one-way sends are written first. All calls end.
     *
     * @param {number} now
     */
    close(now: number): void;
    /**
     * Checks the connection now, because the network is back or the page is visible again: ends a wait between attempts,
     * and sends a ping over an open connection.
     *
     * @param {number} now
     */
    wake(now: number): void;
    /** The size limit of messages on this connection. A classic server does not state one. */
    get maxMessage(): number;
    /** @returns {"connecting" | "open" | "waiting" | "closed"} */
    get state(): "connecting" | "open" | "waiting" | "closed";
    /** The token of the session that is resumed on the next connection. @returns {string | null} */
    get token(): string | null;
    /** The user of the session. It does not change while the connection is lost. */
    get identity(): import("./token_store.js").Identity | null;
    /** Whether there are calls that have not ended. */
    get hasCalls(): boolean;
    /** The WebSocket handshake succeeded. @param {number} now @param {Dialect} dialect */
    handleConnected(now: number, dialect: Dialect): void;
    /** The attempt to connect failed. @param {number} now */
    handleConnectFailed(now: number): void;
    /** The connection is closed. @param {number} now @param {number} code @param {string} reason */
    handleDisconnected(now: number, code: number, reason: string): void;
    /**
     * The socket's send buffer is full: the queue is not written for now. Frames that do not wait in the queue, such as
     * credit and responses to client calls, still are.
     */
    handleBlocked(): void;
    /** The socket accepts messages again. */
    handleWritable(): void;
    /** A text message has arrived. @param {number} now @param {string} text */
    handleText(now: number, text: string): void;
    /** A binary message has arrived, which the protocol does not use. @param {number} now */
    handleBinary(now: number): void;
    /** Does what is due at `pollTimeout`. Does nothing if it is called earlier. @param {number} now */
    handleTimeout(now: number): void;
    /** When to call `handleTimeout`, at the latest; `Infinity`: never. */
    pollTimeout(): number;
    /**
     * Returns the next output, if any. Queued messages become outputs here, one at a time, so that they can still be
     * cancelled while the socket is blocked.
     *
     * @returns {import("./output_queue.js").Output<W> | undefined}
     */
    pollOutput(): import("./output_queue.js").Output<W> | undefined;
    #private;
}
export type Failure = import("./call_error.js").Failure;
export type EncodedMessage = import("./encoded_message.js").EncodedMessage;
export type Frame = import("./frame.js").Frame;
export type CallResult = import("./output_queue.js").CallResult;
export type ClientCall = import("./output_queue.js").ClientCall;
export type CallSettings = import("./pending_call.js").CallSettings;
/**
 * The server chooses it in the WebSocket handshake (PROTOCOL.md, section 1).
 */
export type Dialect = "v1" | "classic";
/**
 * Times in ms, sizes in bytes.
 */
export type ConnectionConfig = {
    backoff: import("./backoff.js").Backoff;
    /**
     * The idle time before a ping, and again before the connection counts as lost.
     */
    heartbeat: number;
    /**
     * For an attempt to connect, and again for the server's welcome.
     */
    connectTimeout: number;
    /**
     * For the server's part of the closing handshake.
     */
    closeTimeout: number;
    /**
     * How long other messages wait for the session to be resumed on a new connection.
     */
    resumeTimeout: number;
    /**
     * The token of a session to resume.
     */
    token: string | null;
    /**
     * Calls that are written and have not ended. The server's limit applies too.
     */
    maxInFlight: number;
    /**
     * The size of one message. The server's limit applies too.
     */
    maxMessage: number;
    /**
     * The size of the calls that wait to be written.
     */
    maxWaitingCalls: number;
    /**
     * The size of the one-way sends that wait to be written.
     */
    maxWaitingSends: number;
};
/**
 * A connection is in `greeting` until the server's welcome has arrived and the session is resumed.
 */
export type ConnectionPhase = {
    name: "connecting";
    until: number;
} | {
    name: "greeting";
    since: number;
    refusal: Failure | null;
    welcome: {
        connection: string | null;
    } | null;
} | {
    name: "open";
    since: number;
} | {
    name: "waiting";
    until: number;
} | {
    name: "closing";
    until: number;
} | {
    name: "closed";
};
