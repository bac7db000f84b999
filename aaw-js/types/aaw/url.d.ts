export function socketUrl(url: string | URL | undefined): string;
export function httpUrl(url: string | URL | undefined): string;
