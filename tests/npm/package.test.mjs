// The npm package as programs use it: packed, installed into a folder of its own, and run on Node and Bun, through
// bundlers, and through the type checker. The server is the one at the path in AAW_SERVER_BIN.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { build as esbuild } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { build as vite } from "vite";

import aaw from "../../aaw-js/aaw.js";
import { BUN, start, STOCK } from "../js/server.mjs";

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const path = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));

/** How long a command may take, in ms. A passing test never reaches it, even on a busy machine. */
const TIMEOUT = 120_000;

/** Node 22, which has a global WebSocket; `null` on systems for which the npm packages have none. */
const NODE_22 = (() => {
  try {
    return require.resolve(`node-${process.platform}-${process.arch}/bin/node`);
  } catch {
    return null;
  }
})();

const [major] = process.versions.node.split(".").map(Number);
/** The Node that runs this test. Version 20 has a WebSocket behind a flag. */
const NODE = [process.execPath, ...(major < 22 ? ["--experimental-websocket"] : [])];

/** What `programs/program.*` prints. */
const EXPECTED = {
  pong: { pong: true },
  items: [1, 2, 3],
  isCallError: true,
  code: "handler",
  overHttp: { text: "ü" },
  events: ["message", "end"],
  state: "closed",
};

/** A folder without any other project above it. */
let temporary = "";
/** A copy of the package's folder as a fresh clone has it, without `node_modules`. */
let clone = "";
let tarball = "";
/** The paths in the tarball. @type {string[]} */
let packed = [];
/** A project that has installed the tarball. */
let project = "";
/** @type {Awaited<ReturnType<typeof start>>} */
let server;

before(async () => {
  temporary = await realpath(await mkdtemp(join(tmpdir(), "aaw-npm-")));
  clone = join(temporary, "clone");
  await cp(path("../../aaw-js"), clone, { recursive: true, filter: (source) => !source.endsWith("/node_modules") });
  const [summary] = JSON.parse(await npm(clone, "pack", "--json", "--pack-destination", temporary));
  tarball = join(temporary, summary.filename);
  packed = summary.files.map((/** @type {{ path: string }} */ file) => file.path).sort();
  project = await newProject("project", tarball);
  server = await start({ events: STOCK });
}, { timeout: 600_000 });

after(async () => {
  await server?.stop();
  await rm(temporary, { recursive: true, force: true });
});

/** Runs npm without network: neither packing nor installing needs it. @param {string} cwd @param {string[]} args */
const npm = async (cwd, ...args) => (await run("npm", [...args, "--offline"], { cwd, timeout: TIMEOUT })).stdout;

/** Creates a project with the test's programs, and installs the package. @param {string} name @param {string} source */
const newProject = async (name, source) => {
  const folder = join(temporary, name);
  await mkdir(folder);
  await writeFile(join(folder, "package.json"), `{ "name": "${name}", "private": true, "type": "module" }`);
  await npm(folder, "install", source, "--no-audit", "--no-fund");
  for (const programs of ["programs", "types"]) await cp(path(programs), join(folder, programs), { recursive: true });
  for (const dependency of ["react", "react-test-renderer", "react-is", "scheduler", "ws"]) {
    await cp(path(`node_modules/${dependency}`), join(folder, "node_modules", dependency), { recursive: true });
  }
  return folder;
};

/** Runs a program that prints a line of JSON. @param {string[]} command @param {string} [cwd] */
const output = async ([program, ...args], cwd = project) => {
  const env = { ...process.env, AAW_URL: server.url };
  const { stdout } = await run(program, args, { cwd, env, timeout: TIMEOUT });
  return JSON.parse(stdout);
};

// --- The package -----------------------------------------------------------------------------------------------------

test("the package contains the modules, the generated files, and nothing else", async () => {
  const files = await readdir(path("../../aaw-js/aaw"));
  const modules = files.filter((name) => name.endsWith(".js")).map((name) => `aaw/${name}`);
  assert.ok(modules.length > 30, `${modules.length} modules`);
  const generated = ["dist/aaw.cjs", "dist/aaw.d.cts", "dist/aaw.d.ts", "dist/aaw.js"];
  assert.deepEqual(packed, ["LICENSE", "README.md", "aaw.js", "package.json", ...generated, ...modules].sort());
  const { size } = await stat(tarball);
  assert.ok(size < 155_000, `${size} bytes`);
});

test("the package has no dependencies and no install scripts, and names its licence and the Node it needs", async () => {
  const metadata = JSON.parse(await readFile(join(project, "node_modules/aaw-js/package.json"), "utf8"));
  const scripts = Object.keys(metadata.scripts ?? {});
  assert.deepEqual([metadata.dependencies, metadata.peerDependencies, metadata.bin], [undefined, undefined, undefined]);
  assert.deepEqual(scripts.filter((name) => /install|prepare|pack/.test(name)), []);
  assert.deepEqual([metadata.license, metadata.engines], ["MIT", { node: ">=20" }]);
  assert.ok(metadata.description && metadata.keywords.length > 4);
});

test("publint finds no mistake in the package", async () => {
  const { messages, pkg } = await publint({ pkgDir: join(project, "node_modules/aaw-js"), pack: false, strict: true });
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), []);
});

test("the documentation for npm links to no file outside of the package", async () => {
  const readme = await readFile(join(project, "node_modules/aaw-js/README.md"), "utf8");
  const links = [...readme.matchAll(/\]\(([^)#\s]+)/g)].map(([, link]) => link);
  assert.deepEqual(links.filter((link) => !link.startsWith("https://") && !packed.includes(link)), []);
});

test("the folder of a fresh clone can be installed, and the program runs", async () => {
  const folder = await newProject("from-folder", clone);
  assert.deepEqual(await output([...NODE, "programs/program.mjs"], folder), EXPECTED);
  assert.deepEqual(await output([...NODE, "programs/program.cjs"], folder), EXPECTED);
});

// --- Programs --------------------------------------------------------------------------------------------------------

for (const program of ["program.mjs", "program.cjs"]) {
  test(`${program} runs on the Node of this test (${process.versions.node})`, async () => {
    assert.deepEqual(await output([...NODE, `programs/${program}`]), EXPECTED);
  });

  test(`${program} runs on Node 22 without a flag`, { skip: !NODE_22 && "npm has no Node 22 for this system" }, async () => {
    assert.match(await output([String(NODE_22), "-p", "JSON.stringify(process.version)"]), /^v22\./);
    assert.deepEqual(await output([String(NODE_22), `programs/${program}`]), EXPECTED);
  });

  test(`${program} runs on Bun`, async () => {
    assert.deepEqual(await output([BUN, `programs/${program}`]), EXPECTED);
  });
}

test("without a WebSocket, the error says what to pass", { skip: major >= 22 && "this Node has one" }, async () => {
  const failed = output([process.execPath, "programs/program.mjs"]);
  await assert.rejects(failed, /TypeError: aaw: there is no global WebSocket; pass one as the option `WebSocket`/);
});

// --- How processes end -----------------------------------------------------------------------------------------------

/** Runs `lifetime.mjs`, which has to end by itself. @param {string[]} runtime @param {string} mode @param {string} [url] */
const lifetime = ([program, ...args], mode, url = server.url) =>
  new Promise((resolve, reject) => {
    const options = { cwd: project, env: { ...process.env, AAW_URL: url }, timeout: TIMEOUT };
    const child = execFile(program, [...args, "programs/lifetime.mjs", mode], options, (error, stdout, stderr) => {
      if (error && child.exitCode === null) reject(error);
      else resolve({ code: child.exitCode, lines: stdout.trim().split("\n").map((line) => line && JSON.parse(line)), stderr });
    });
  });

const NODES = [[`Node ${process.versions.node}`, NODE], ...(NODE_22 ? [["Node 22", [NODE_22]]] : [])];
const RUNTIMES = [...NODES, ["Bun", [BUN]]];

/** Node 20 warns that its WebSocket is experimental. */
const withoutWarnings = ({ stderr, ...ended }) => ({ ...ended, stderr: stderr.replace(/^\(.*\n/gm, "") });

/** A server that answers every handshake in this way. @param {(socket: import("node:stream").Duplex) => void} answer */
const handshakes = async (answer) => {
  const listening = createServer().on("upgrade", (_, socket) => answer(socket)).listen(0, "127.0.0.1");
  await once(listening, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (listening.address());
  return { url: `ws://127.0.0.1:${port}/?token=SECRET`, close: () => void listening.close() };
};

for (const [name, runtime] of NODES) {
  test(`after unref, a program on ${name} ends when nothing waits for the connection`, async () => {
    const ended = (/** @type {unknown[]} */ ...lines) => ({ code: 0, lines, stderr: "" });
    assert.deepEqual(withoutWarnings(await lifetime(runtime, "unref")), ended([{ pong: true }]));
    assert.deepEqual(withoutWarnings(await lifetime(runtime, "unref-ws")), ended([{ pong: true }]));
    assert.deepEqual(withoutWarnings(await lifetime(runtime, "unref-idle")), ended(["connecting"]));
    assert.deepEqual(withoutWarnings(await lifetime(runtime, "unref-stream")), ended([[1, 2, 3]]));
    assert.deepEqual(withoutWarnings(await lifetime(runtime, "unref-closed")), ended([{ pong: true }], ["closed"]));
    const refusing = await handshakes((socket) => socket.destroy());
    assert.deepEqual(withoutWarnings(await lifetime(runtime, "unref-lost", refusing.url)), ended([1006]));
    refusing.close();
  });
}

for (const [name, runtime] of RUNTIMES) {
  test(`on ${name}, the error of a call names the status of a refusal, and an unreachable server`, async () => {
    const refusing = await handshakes((socket) => void socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"));
    const address = refusing.url.replace(/\/\?.*/, "");
    const refused = await lifetime(runtime, "refused", refusing.url);
    assert.match(refused.lines[0][0], new RegExp(`never connected; last attempt: ${address} refused the connection with 403$`));
    refusing.close();
    const unreachable = await lifetime(runtime, "refused", refusing.url);
    assert.match(unreachable.lines[0][0], new RegExp(`never connected; last attempt: cannot reach ${address}: .+$`));
    assert.ok(!`${refused.lines}${refused.stderr}${unreachable.lines}${unreachable.stderr}`.includes("SECRET"));
  });

  test(`on ${name}, listeners that throw are reported, and stop neither the client nor the program`, async () => {
    const { code, lines, stderr } = await lifetime(runtime, "listener");
    assert.deepEqual(lines, [[{ pong: true }, 5], ["closed"]]);
    for (const event of ["open", "aaw/state", "ping", "close"]) assert.match(stderr, new RegExp(`the listener of ${event}`));
    // Bun's `reportError` sets it, as an uncaught error does.
    assert.equal(code, name === "Bun" ? 1 : 0);
  });

  test(`on ${name}, a program that closes its client ends with its own exit code`, async () => {
    const { code, lines } = await lifetime(runtime, "exit-code");
    assert.deepEqual([code, lines], [3, [["closed"]]]);
  });
}

for (const [name, runtime] of NODES) {
  test(`on ${name}, what a program sends is written although it exits in the same tick`, { timeout: TIMEOUT }, async () => {
    const listener = aaw(server.url, { timeout: TIMEOUT });
    const announced = new Promise((resolve) => listener.on("broadcast", resolve));
    await listener.sendAsync("ping");
    assert.equal((await lifetime(runtime, "exit-sends")).code, 0);
    assert.equal(await announced, "sent before the exit");
    await listener.close();
  });
}

test("in React's StrictMode the first client is closed without complaints, and the second one works", async () => {
  assert.deepEqual(await output([...NODE, "programs/strict_mode.mjs"]), {
    text: '{"pong":true}',
    open: ["closed", "open"],
    closed: ["closed", "closed"],
    complaints: [],
  });
});

// --- Bundlers --------------------------------------------------------------------------------------------------------

/** Bundles a program, and returns the path of the bundle. @type {Record<string, (program: string) => Promise<string>>} */
const bundlers = {
  esbuild: async (program) => {
    const outfile = join(project, `esbuild-${program}`);
    await esbuild({
      entryPoints: [join(project, "programs", program)],
      bundle: true,
      minify: true,
      format: program.endsWith(".cjs") ? "cjs" : "esm",
      platform: program.endsWith(".cjs") ? "node" : "browser",
      outfile,
      logLevel: "warning",
    });
    return outfile;
  },
  vite: async (program) => {
    const outDir = join(project, "vite");
    const entry = join(project, "programs", program);
    await vite({
      root: project,
      configFile: false,
      logLevel: "warn",
      build: {
        outDir,
        emptyOutDir: false,
        minify: true,
        lib: { entry, formats: ["es"], fileName: () => `${program}.mjs` },
      },
    });
    return join(outDir, `${program}.mjs`);
  },
};

for (const [bundler, bundle] of Object.entries(bundlers)) {
  test(`${bundler} bundles a program, which runs alone`, async () => {
    const alone = join(temporary, `${bundler}.mjs`);
    await cp(await bundle("program.mjs"), alone);
    assert.deepEqual(await output([...NODE, alone], temporary), EXPECTED);
  });

  test(`${bundler} leaves out what a program does not use`, async () => {
    const file = await bundle("sse_only.mjs");
    assert.deepEqual(await output([...NODE, file]), ["1", "2"]);
    const text = await readFile(file, "utf8");
    assert.ok(text.length < 8000 && !text.includes("WebSocket"), `${text.length} characters`);
  });
}

test("esbuild bundles a CommonJS program, which runs alone", async () => {
  const alone = join(temporary, "esbuild.cjs");
  await cp(await bundlers.esbuild("program.cjs"), alone);
  assert.deepEqual(await output([...NODE, alone], temporary), EXPECTED);
});

// --- Types -----------------------------------------------------------------------------------------------------------

/** Which global types a program has, and which files compile with them. */
const LIBRARIES = {
  "the DOM library": { options: { lib: ["es2022", "dom", "dom.iterable"], types: [] }, files: ["module.ts", "web.ts", "page.ts"] },
  "@types/node": { options: { lib: ["es2023"], types: ["node"] }, files: ["module.ts", "web.ts"] },
  "both": { options: { lib: ["es2022", "dom", "dom.iterable"], types: ["node"] }, files: ["module.ts", "web.ts", "page.ts"] },
  "neither": { options: { lib: ["es2018"], types: [] }, files: ["module.ts"] },
};

const MODULES = {
  bundler: { module: "esnext", moduleResolution: "bundler" },
  nodenext: { module: "nodenext", moduleResolution: "nodenext" },
};

for (const typescript of ["typescript-5.4", "typescript-newest"]) {
  const { version } = require(`${typescript}/package.json`);
  const tsc = join(path("node_modules"), typescript, "bin/tsc");
  for (const [resolution, moduleOptions] of Object.entries(MODULES)) {
    for (const [library, { options, files }] of Object.entries(LIBRARIES)) {
      test(`TypeScript ${version} checks programs with ${resolution} and ${library}`, async () => {
        const sources = files.concat(resolution === "nodenext" ? ["commonjs.cts"] : []);
        const config = join(project, `tsconfig.${typescript}.${resolution}.${Object.keys(LIBRARIES).indexOf(library)}.json`);
        const compilerOptions = {
          strict: true,
          exactOptionalPropertyTypes: true,
          noUncheckedIndexedAccess: true,
          skipLibCheck: false,
          noEmit: true,
          target: "es2022",
          typeRoots: [path("node_modules/@types")],
          ...moduleOptions,
          ...options,
        };
        await writeFile(config, JSON.stringify({ compilerOptions, files: sources.map((file) => `types/${file}`) }));
        const errors = await run(process.execPath, [tsc, "-p", config], { cwd: project, timeout: TIMEOUT }).then(
          ({ stdout }) => stdout,
          ({ stdout, stderr }) => stdout + stderr,
        );
        assert.equal(errors, "");
      });
    }
  }
}
