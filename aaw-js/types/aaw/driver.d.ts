export class Driver {
    /**
     * @param {UrlSource | undefined} urlSource
     * @param {import("./connection.js").ConnectionConfig} config
     * @param {SocketClass} SocketClass
     * @param {Platform} platform
     * @param {DriverDelegate} delegate
     */
    constructor(urlSource: UrlSource | undefined, config: import("./connection.js").ConnectionConfig, SocketClass: SocketClass, platform: Platform, delegate: DriverDelegate);
    /** Resolves once the client is closed. @type {Promise<void>} */
    closed: Promise<void>;
    /** The URL of the current connection or attempt. */
    url: string;
    /** The client key of the current connection: the server logs it, and the original's identifies its clients by it. */
    sid: string;
    /** The server's id of the current connection. @type {string | null} */
    connectionId: string | null;
    get state(): "closed" | "connecting" | "open" | "waiting";
    /** The sub-protocol of the connection; empty while there is none. */
    get protocol(): string;
    /** Bytes that the socket has buffered. */
    get bufferedAmount(): number;
    get maxMessage(): number;
    get token(): string | null;
    get identity(): import("./token_store.js").Identity | null;
    /**
     * Makes a call. The observer identifies it in the other methods.
     *
     * @param {CallObserver} observer
     * @param {EncodedMessage} message
     * @param {Omit<CallSettings, "deadline"> & { timeout?: number }} settings `timeout` in ms; default: none.
     * @throws {CallError} It will not be sent; only if `isSend` is set. Otherwise the observer receives the error.
     */
    call(observer: CallObserver, message: EncodedMessage, { timeout, ...settings }: Omit<CallSettings, "deadline"> & {
        timeout?: number;
    }): void;
    /**
     * Cancels a call. Its observer receives nothing more.
     *
     * @param {CallObserver} observer
     * @returns {boolean} Whether the server may have received the call.
     */
    cancel(observer: CallObserver): boolean;
    /** Makes a one-way send. @param {EncodedMessage} message @throws {CallError} It will not be sent. */
    send(message: EncodedMessage): void;
    /** @param {CallObserver} observer @param {number} items The total that the reader accepts. */
    grantCredit(observer: CallObserver, items: number): void;
    /** @param {CallObserver} observer @param {string} json @returns {boolean} Whether there was credit for it. */
    uploadItem(observer: CallObserver, json: string): boolean;
    /** @param {CallObserver} observer */
    uploadEnd(observer: CallObserver): void;
    /** @param {ClientCall} call @param {string} json */
    respond(call: ClientCall, json: string): void;
    /** @param {ClientCall} call @param {Failure} failure */
    respondError(call: ClientCall, failure: Failure): void;
    close(): void;
    #private;
}
export type Failure = import("./call_error.js").Failure;
export type EncodedMessage = import("./encoded_message.js").EncodedMessage;
export type CallResult = import("./output_queue.js").CallResult;
export type ClientCall = import("./output_queue.js").ClientCall;
export type CallSettings = import("./pending_call.js").CallSettings;
export type Platform = import("./platform.js").Platform;
export type Socket = import("./platform.js").Socket;
export type SocketClass = import("./platform.js").SocketClass;
/**
 * Receives the events of one call.
 */
export type CallObserver = {
    /**
     * Called exactly once, last.
     */
    handleDone: (result: CallResult) => void;
    handleItem?: ((data: unknown) => void) | undefined;
    /**
     * The server accepts items up to the `items`-th in total.
     */
    handleUploadCredit?: ((items: number) => void) | undefined;
};
/**
 * Receives the events of the connection.
 */
export type DriverDelegate = {
    handleOpen: (event: Event) => void;
    handleClose: (event: CloseEvent) => void;
    handleError: (error: Event | CallError) => void;
    handleMessage: (text: string) => void;
    handlePush: (event: string, data: unknown) => void;
    /**
     * Ends with `respond` or `respondError`.
     */
    handleClientCall: (call: ClientCall, data: unknown) => void;
    handleClientCallCancelled: (call: ClientCall) => void;
    /**
     * The session is a new one, or has ended (`null`).
     */
    handleTokenChanged: (token: string | null) => void;
    handleUnauthorized: (error: CallError) => void;
    handleStateChanged: () => void;
};
/**
 * The server's URL, or a function that returns it, which is called before each attempt to connect.
 */
export type UrlSource = string | URL | (() => string | URL | Promise<string | URL>);
import { CallError } from "./call_error.js";
