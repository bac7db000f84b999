/**
 * @typedef {object} ServerLimits
 * @property {number} calls Calls in flight.
 * @property {number} message The size of one message, in bytes.
 */
/** The limits of a v1 server that does not state its own. @type {ServerLimits} */
export const DEFAULT_LIMITS: ServerLimits;
export function readWelcome(data: unknown): {
    connection: string | null;
    limits: ServerLimits;
};
export type ServerLimits = {
    /**
     * Calls in flight.
     */
    calls: number;
    /**
     * The size of one message, in bytes.
     */
    message: number;
};
