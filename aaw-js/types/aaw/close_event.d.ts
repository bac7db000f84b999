export function closeEvent(code: number, reason: string, wasClean?: boolean): CloseEvent;
