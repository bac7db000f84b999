// Generates what is checked in beside the sources: the bundles and the type declarations of the npm package, and the
// copy of the bundle that aaw-server serves as `/aaw.js`.
//
//   node build/build.mjs            writes the files that have changed
//   node build/build.mjs --check    fails if a file is not current

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, brotliDecompress, gunzip, gzip } from "node:zlib";

import * as esbuild from "esbuild";

import { declarations } from "./declarations.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PACKAGE = join(ROOT, "aaw-js");
/** What aaw-server embeds. It is in the folder of that crate, because `cargo package` takes no files from elsewhere. */
const SERVED = join(ROOT, "aaw-server/src/http/client_script");

const TARGET = "es2022";

/**
 * The metadata that the npm package shares with the crates: version and repository.
 *
 * @param {string} cargoToml
 */
const sharedMetadata = (cargoToml) => {
  const [, workspace = ""] = /^\[workspace\.package\]\n((?:(?!\[).*\n)*)/m.exec(cargoToml) ?? [];
  const value = (/** @type {string} */ key) => new RegExp(`^${key} *= *"([^"]*)"`, "m").exec(workspace)?.[1];
  const [version, address, homepage] = ["version", "repository", "homepage"].map(value);
  // A placeholder is not published.
  const repository = address && !new URL(address).hostname.endsWith(".invalid") ? address.replace(/\.git$/, "") : undefined;
  return {
    version,
    repository: repository && { type: "git", url: `git+${repository}.git`, directory: "aaw-js" },
    homepage: homepage ?? (repository && `${repository}#readme`),
    bugs: repository && { url: `${repository}/issues` },
  };
};

const metadata = sharedMetadata(await readFile(join(ROOT, "Cargo.toml"), "utf8"));
const BANNER = `// aaw-js ${metadata.version} (MIT). Generated from the modules in aaw-js/aaw.\n`;

/**
 * Bundles the client. The code keeps its names and lines, so stack traces and debuggers need no source map. Comments are
 * removed, because they are a third of it.
 *
 * @param {"esm" | "cjs"} format
 */
const bundle = async (format) => {
  const bundled = await esbuild.build({
    entryPoints: [join(PACKAGE, "aaw.js")],
    bundle: true,
    write: false,
    format,
    target: TARGET,
    // Removes comments, which esbuild does only together with whitespace. The second pass adds whitespace again.
    minifyWhitespace: true,
    // `require("aaw-js")` returns the function. `default` is for compilers that expect a module there.
    footer: { js: format === "cjs" ? "module.exports = aaw;\nmodule.exports.default = aaw;" : "" },
  });
  const { code } = await esbuild.transform(bundled.outputFiles[0].text, { target: TARGET });
  return BANNER + code;
};

const [esm, commonJs, types, licence, packageJson] = await Promise.all([
  bundle("esm"),
  bundle("cjs"),
  declarations(PACKAGE),
  readFile(join(ROOT, "LICENSE")),
  readFile(join(PACKAGE, "package.json"), "utf8").then(JSON.parse),
]);

/** @type {[path: string, content: string | Buffer, codec?: [Function, Function]][]} */
const files = [
  [join(PACKAGE, "dist/aaw.js"), esm],
  [join(PACKAGE, "dist/aaw.cjs"), commonJs],
  [join(PACKAGE, "dist/aaw.d.ts"), BANNER + types.module],
  [join(PACKAGE, "dist/aaw.d.cts"), BANNER + types.commonJs],
  [join(PACKAGE, "LICENSE"), licence],
  [join(PACKAGE, "package.json"), `${JSON.stringify({ ...packageJson, ...metadata }, null, 2)}\n`],
  [join(SERVED, "aaw.js"), esm],
  [join(SERVED, "aaw.js.gz"), esm, [gzip, gunzip]],
  [join(SERVED, "aaw.js.br"), esm, [brotliCompress, brotliDecompress]],
];

const isCheck = process.argv.includes("--check");
const outdated = [];
for (const [path, content, [compress, decompress] = []] of files) {
  const present = await readFile(path).catch(() => null);
  // Compressed files are compared by what they contain: versions of zlib compress differently.
  const plain = present && decompress ? await promisify(decompress)(present).catch(() => null) : present;
  if (plain?.equals(Buffer.from(content))) continue;
  outdated.push(relative(ROOT, path));
  if (isCheck) continue;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, compress ? await promisify(compress)(content, { level: 9 }) : content);
}
if (isCheck && outdated.length) {
  console.error(`Not current: ${outdated.join(", ")}. Run \`npm run build\` in aaw-js, and commit the result.`);
  process.exitCode = 1;
} else if (!isCheck) {
  console.log(outdated.length ? `Wrote ${outdated.join(", ")}` : "All files are current");
}
