/** @typedef {import("./call_error.js").Failure} Failure */
/** @typedef {import("./output_queue.js").CallResult} CallResult */
/**
 * The call that resumes the session on this connection. Other messages wait until it has ended or `isLate`.
 *
 * @typedef {object} ResumeCall
 * @property {number} id
 * @property {string} token
 * @property {number} deadline When the other messages stop waiting.
 * @property {boolean} isLate The deadline has passed. A response is still accepted.
 */
export const RESUME: "aaw/resume";
export class LoginState {
    /**
     * @param {string | null} token The token of an earlier client.
     * @param {import("./output_queue.js").OutputQueue<any>} outputs
     */
    constructor(token: string | null, outputs: import("./output_queue.js").OutputQueue<any>);
    /** The token of the session that is resumed on the next connection. */
    get token(): string | null;
    /** The user of the session. It does not change while the connection is lost. */
    get identity(): import("./token_store.js").Identity | null;
    /** Whether other messages have to wait, because the user they are sent as is not known yet. */
    get isResuming(): boolean;
    /** Whether the resume call counts as a call in flight. */
    get hasResumeCall(): boolean;
    /** @param {number} id */
    isResumeCall(id: number): boolean;
    /** The resume call was written, with the current token. @param {number} id @param {string} token */
    handleResumeWritten(id: number, token: string): void;
    /** The server has accepted the connection: from now on the resume call has a deadline. @param {number} deadline */
    setResumeDeadline(deadline: number): void;
    /** The resume call has ended. @param {CallResult} result */
    handleResumeDone(result: CallResult): void;
    /** The connection is lost or being closed. */
    dropResumeCall(): void;
    pollTimeout(): number;
    /**
     * Stops waiting for a slow resume call. The session stays: a slow server has not rejected the token.
     *
     * @param {number} now
     */
    handleTimeout(now: number): void;
    /**
     * The server announces that the session has ended.
     *
     * @param {unknown} data
     * @param {string[]} events The events of the calls in flight. If one of them ends sessions, the end was caused by
     *   this client, and is not reported.
     */
    handleSessionEnded(data: unknown, events: string[]): void;
    /** A call has ended. @param {string} event @param {CallResult} result */
    handleCallDone(event: string, result: CallResult): void;
    /** Stores the token of a successful response, if it has one. @param {string} event @param {unknown} data */
    handleResponse(event: string, data: unknown): void;
    #private;
}
export type Failure = import("./call_error.js").Failure;
export type CallResult = import("./output_queue.js").CallResult;
/**
 * The call that resumes the session on this connection. Other messages wait until it has ended or `isLate`.
 */
export type ResumeCall = {
    id: number;
    token: string;
    /**
     * When the other messages stop waiting.
     */
    deadline: number;
    /**
     * The deadline has passed. A response is still accepted.
     */
    isLate: boolean;
};
