export function toJson(value: unknown): string;
export function byteLength(text: string): number;
