// The type declarations of the npm package, as one file: generated from the sources by TypeScript, then bundled.

import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { rollup } from "rollup";
import { dts } from "rollup-plugin-dts";
import ts from "typescript";

/** What programs import by name as a type, and the modules that define it. */
const TYPES = {
  "./aaw/call_error.js": ["Failure"],
  "./aaw/call_options.js": ["CallOptions", "StreamOptions"],
  "./aaw/client.js": ["Client", "LoggedIn", "State"],
  "./aaw/driver.js": ["UrlSource"],
  "./aaw/duplex.js": ["Duplex"],
  "./aaw/handler_registry.js": ["Handler"],
  "./aaw/http.js": ["HttpClient", "HttpOptions", "HttpStream"],
  "./aaw/options.js": ["Options", "ResumptionOptions"],
  "./aaw/persistent_token.js": ["TokenStorage"],
  "./aaw/sse.js": ["SseOptions", "SseStream"],
  "./aaw/sse_parser.js": ["ServerSentEvent"],
  "./aaw/stream.js": ["ItemStream"],
  "./aaw/token_store.js": ["Identity"],
};

/**
 * Generates the declarations for `import` and for `require`.
 *
 * @param {string} folder The folder of the package.
 */
export const declarations = async (folder) => {
  const temporary = await mkdtemp(join(tmpdir(), "aaw-types-"));
  try {
    const tsc = fileURLToPath(import.meta.resolve("typescript/bin/tsc"));
    await promisify(execFile)(process.execPath, [tsc, "-p", join(folder, "tsconfig.types.json"), "--outDir", temporary]);
    for (const file of await readdir(temporary, { recursive: true })) {
      if (!file.endsWith(".d.ts")) continue;
      const path = join(temporary, file);
      await writeFile(path, withoutInternals(await readFile(path, "utf8")));
    }
    const types = Object.entries(TYPES).map(([file, names]) => `export type { ${names.join(", ")} } from "${file}";\n`);
    const input = join(temporary, "index.d.ts");
    await writeFile(input, `export { default } from "./aaw.js";\n${types.join("")}`);
    const bundle = await rollup({ input, plugins: [dts()] });
    const { output } = await bundle.generate({ format: "es" });
    const [code, rest] = output[0].code.split(/^export (?=\{)/m);
    if (rest === undefined) throw new Error("the bundle of the declarations has no exports");
    const body = `${await readFile(new URL("web_types.d.ts", import.meta.url), "utf8")}\n${code.trimEnd()}\n\n`;
    const names = Object.values(TYPES).flat().sort().join(", ");
    return {
      module: `${body}export { CallError, aaw as default, http, sse };\nexport type { ${names} };\n`,
      commonJs: `${body}declare namespace aaw {\n    export { aaw as default };\n    export type { ${names} };\n}\nexport = aaw;\n`,
    };
  } finally {
    await rm(temporary, { recursive: true });
  }
};

/**
 * Removes from a declaration file what programs do not need: class members with the tag `@internal` (TypeScript's
 * `stripInternal` ignores those of JavaScript files), `implements` clauses, whose types have other parameters in older
 * versions of TypeScript, and comments that declare types, which TypeScript has converted.
 *
 * @param {string} text
 */
const withoutInternals = (text) => {
  const source = ts.createSourceFile("x.d.ts", text, ts.ScriptTarget.Latest, true);
  /** @type {[start: number, end: number][]} */
  const removed = [];
  for (const statement of source.statements) {
    if (!ts.isClassDeclaration(statement)) continue;
    for (const member of statement.members) {
      if (ts.getJSDocTags(member).some(({ tagName }) => tagName.text === "internal")) removed.push([member.pos, member.end]);
    }
    for (const clause of statement.heritageClauses ?? []) {
      if (clause.token === ts.SyntaxKind.ImplementsKeyword) removed.push([clause.pos, clause.end]);
    }
  }
  for (const [start, end] of removed.sort(([a], [b]) => b - a)) text = text.slice(0, start) + text.slice(end);
  return text
    .replace(/^ *\/\*\*(?:(?!\*\/)[^])*?@(?:typedef|callback|import)\b(?:(?!\*\/)[^])*\*\/\n/gm, "")
    .replace(/^ \* @implements .*\n/gm, "");
};
