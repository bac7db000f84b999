export function encodeMessage(event: string, payload: unknown): EncodedMessage;
export function oneWayFrame({ head }: EncodedMessage): string;
export function callFrame({ head }: EncodedMessage, id: number, { upload, credit }: {
    upload: boolean;
    credit: number | null;
}): string;
/**
 * The end of the frame is missing, because a call is assigned its id only when it is written.
 */
export type EncodedMessage = {
    event: string;
    /**
     * `["event",body`, without the end of the frame.
     */
    head: string;
    /**
     * Upper bound of the frame's size, in bytes.
     */
    size: number;
};
