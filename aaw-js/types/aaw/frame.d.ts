/**
 * @typedef {object} Frame
 * @property {string} event
 * @property {unknown} data
 * @property {unknown} id `null` if it has none.
 * @property {string | null} kind
 */
/** A message that is not a valid frame, or a frame that is not allowed where it arrived. It is reported and ignored. */
export class BadFrame extends Error {
}
/** Upper bound of the bytes that an id, a kind, the meta object and punctuation add around event and data. */
export const FRAME_OVERHEAD: 96;
export function decodeFrame(text: string): Frame;
export function encodeFrame(event: string, json: string, id: number, kind?: "item" | "end" | "credit" | "cancel" | "error"): string;
export type Frame = {
    event: string;
    data: unknown;
    /**
     * `null` if it has none.
     */
    id: unknown;
    kind: string | null;
};
