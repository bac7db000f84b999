export function bindMethods<O extends object>(object: O, ...names: (keyof O)[]): void;
