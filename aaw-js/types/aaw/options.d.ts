export function connectionConfig(options: Options, token?: string | null): ConnectionConfig;
export type ConnectionConfig = import("./connection.js").ConnectionConfig;
/**
 * All options are optional. Times are in ms, sizes in bytes.
 */
export type Options = {
    /**
     * The timeout of calls that do not set their own. Default 3000, as in the original.
     */
    timeout?: number | undefined;
    /**
     * The credit of a stream: how many items the server may send before the first is read. A
     * larger one costs memory, and allows more throughput over connections with a high latency. Default 64.
     */
    window?: number | undefined;
    /**
     * The delays between attempts to connect. Default
     * `{ min: 100, max: 10000, factor: 2 }`.
     */
    backoff?: Partial<import("./backoff.js").Backoff> | undefined;
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
     * For an attempt to connect, including the URL function. Default 10000.
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
     * Where the session's token is kept beyond the
     * page's lifetime: `localStorage`, or `sessionStorage`, which lasts until the tab is closed. Every script of the page
     * can read the token there. Default: in memory only.
     */
    storage?: import("./persistent_token.js").TokenStorage | undefined;
    /**
     * The token's key in the storage. Clients of different servers need different keys, or
     * each sends the other's token to its server. Default `aaw/token`.
     */
    storageKey?: string | undefined;
    /**
     * The WebSocket class. Default: the global `WebSocket`.
     */
    WebSocket?: import("./platform.js").SocketClass | undefined;
};
