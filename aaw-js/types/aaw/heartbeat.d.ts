/** Pings after an idle interval, and times out after another one. Any incoming message counts as activity. */
export class Heartbeat {
    /**
     * @param {number} interval In ms; `Infinity` disables the heartbeat.
     * @param {number} now
     */
    constructor(interval: number, now: number);
    /** A message has arrived. */
    handleActivity(now: number): void;
    /** The caller sends a ping now, outside the schedule; it times out sooner than a scheduled one. */
    probe(now: number): void;
    pollTimeout(): number;
    /**
     * @param {number} now
     * @returns {"idle" | "ping" | "timedOut"} `idle`: nothing to do. `ping`: send one. `timedOut`: the connection is
     *   dead.
     */
    handleTimeout(now: number): "idle" | "ping" | "timedOut";
    #private;
}
