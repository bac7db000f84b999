/**
 * `localStorage` and `sessionStorage` implement this.
 *
 * @typedef {object} TokenStorage
 * @property {(key: string) => string | null} getItem
 * @property {(key: string, token: string) => void} setItem
 * @property {(key: string) => void} removeItem
 */
/**
 * The stored token of one client. If the storage throws (it is full, or forbidden), the error is reported and the
 * client continues without it.
 */
export class PersistentToken {
    /** @param {TokenStorage | undefined} storage @param {string} key */
    constructor(storage: TokenStorage | undefined, key: string);
    /** @returns {string | null} */
    read(): string | null;
    /** @param {string | null} token `null` removes it. */
    write(token: string | null): void;
    #private;
}
/**
 * `localStorage` and `sessionStorage` implement this.
 */
export type TokenStorage = {
    getItem: (key: string) => string | null;
    setItem: (key: string, token: string) => void;
    removeItem: (key: string) => void;
};
