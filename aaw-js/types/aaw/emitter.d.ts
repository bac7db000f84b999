export function report(error: unknown): void;
/** Listeners by event name. They stay registered across reconnects. */
export class Emitter {
    /**
     * Adds a listener.
     *
     * @param {string} event
     * @param {(detail: any) => unknown} callback
     */
    on(event: string, callback: (detail: any) => unknown): void;
    /**
     * Removes the given listener, or the most recently added one. A callback that was added twice is removed once.
     *
     * @param {string} event
     * @param {(detail: any) => unknown} [callback]
     */
    off(event: string, callback?: (detail: any) => unknown): void;
    /** @param {string} event */
    hasListeners(event: string): boolean;
    /**
     * Calls the listeners of an event. An error that one of them throws is reported; the others are still called.
     *
     * @param {string} event
     * @param {unknown} detail
     */
    emit(event: string, detail: unknown): void;
    #private;
}
