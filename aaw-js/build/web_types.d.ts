// Types of the Web API. A program without TypeScript's DOM library has them from `@types/node` or `@types/bun`. One that
// has neither gets the part that the client uses. In this file they hide the global types of the same names.

/** The type of a global class, or `Fallback` if the program does not know the class. */
type Global<Name extends string, Fallback> =
    typeof globalThis extends Record<Name, { prototype: infer T }> ? T : Fallback;

type AbortSignal = Global<"AbortSignal", {
    readonly aborted: boolean;
    readonly reason: any;
    addEventListener(type: "abort", listener: (event: any) => void, options?: { once?: boolean }): void;
    removeEventListener(type: "abort", listener: (event: any) => void): void;
}>;
type URL = Global<"URL", { readonly href: string }>;
type ReadableStream<T> = Global<"ReadableStream", AsyncIterable<T>>;
type Response = Global<"Response", { readonly body: ReadableStream<Uint8Array> | null }>;
type HeadersInit = typeof globalThis extends { Headers: new (init?: infer T) => any } ? NonNullable<T>
    : Record<string, string> | [string, string][];
declare const fetch: typeof globalThis extends { fetch: infer T } ? T : (url: string, init?: any) => Promise<any>;

type Event = Global<"Event", { readonly type: string }>;
type CloseEvent = Event & { readonly code: number; readonly reason: string; readonly wasClean: boolean };
type MessageEvent<T> = Event & { readonly data: T };
declare const EventTarget: typeof globalThis extends { EventTarget: infer T extends new () => object } ? T : new () => {
    addEventListener(type: string, listener: ((event: any) => void) | null, options?: any): void;
    removeEventListener(type: string, listener: ((event: any) => void) | null, options?: any): void;
    dispatchEvent(event: any): boolean;
};
