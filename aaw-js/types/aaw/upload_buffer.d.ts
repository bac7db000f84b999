/** Buffers the items of one upload. */
export class UploadBuffer {
    /**
     * Connects the buffer to its call.
     *
     * @param {(json: string) => boolean} write Writes an item. Returns `false` if there is no credit for it.
     * @param {() => void} writeEnd
     */
    attach(write: (json: string) => boolean, writeEnd: () => void): void;
    /**
     * Writes an item, or buffers it until there is credit. Items keep their order.
     *
     * @param {string} json
     * @returns {Promise<boolean>} `true` once the item is written; `false` if the call is over or `end` was called.
     * @throws {CallError} `busy`: the buffer is full. A single item is accepted whatever its size.
     */
    send(json: string): Promise<boolean>;
    /** Ends the upload after the items that were sent. */
    end(): void;
    /** The server has granted credit. */
    handleCredit(): void;
    /** The call is over, for whatever reason. */
    handleCallDone(): void;
    #private;
}
