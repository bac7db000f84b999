/**
 * Each delay is random, between zero and a ceiling that grows with each failure ("full jitter"), so that the clients of
 * a restarted server do not all reconnect at the same moment.
 *
 * @typedef {object} Backoff
 * @property {number} min The ceiling of the first delay, in ms.
 * @property {number} max The highest ceiling, in ms. A connection that lasted at least this long resets the ceiling to
 *   `min`. A shorter one does not, or a server that accepts connections and closes them at once would be contacted
 *   without pause.
 * @property {number} factor Each failure multiplies the ceiling by this.
 */
/** Computes the delays. The random source is a parameter, so that tests are deterministic. */
export class ReconnectDelays {
    /**
     * @param {Backoff} backoff
     * @param {() => number} random Returns a number in [0, 1).
     */
    constructor(backoff: Backoff, random: () => number);
    /** A connection that was open for `duration` ms has ended. */
    handleConnectionEnded(duration: number): void;
    /** Starts again with the shortest ceiling. */
    reset(): void;
    /** Returns the next delay, in ms. */
    nextDelay(): number;
    #private;
}
/**
 * Each delay is random, between zero and a ceiling that grows with each failure ("full jitter"), so that the clients of
 * a restarted server do not all reconnect at the same moment.
 */
export type Backoff = {
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
     * Each failure multiplies the ceiling by this.
     */
    factor: number;
};
