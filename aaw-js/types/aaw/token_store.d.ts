/** Holds one session, the most recent one. */
export class TokenStore {
    /** @param {string | null} token The token of an earlier client, to resume its session. */
    constructor(token: string | null);
    /** @type {string | null} */
    token: string | null;
    /** @type {Identity | null} */
    identity: Identity | null;
    /**
     * Reads a successful response. Responses of other events change nothing.
     *
     * @param {string} event
     * @param {unknown} data
     * @returns {boolean} Whether the session has changed.
     */
    handleResponse(event: string, data: unknown): boolean;
    /** Removes the session. @returns {boolean} Whether there was one. */
    clear(): boolean;
}
export function isSessionEnded({ error, code }: {
    error: unknown;
    code?: string;
}): boolean;
/**
 * The user that a session belongs to.
 */
export type Identity = {
    id: string;
    email: string;
    /**
     * The protected events that the user may call, as patterns: `*`, `auth/teamplay/*`, or
     * an exact name. If absent, all of them.
     */
    allowed?: string[] | undefined;
};
