export function onAbort(signal: AbortSignal | undefined, callback: (reason: unknown) => void): () => void;
