// Pages for the npm client 3.0.6 behave the same with the aaw client, against the aaw server and against the
// original's.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { BUN, STOCK, start, startOriginal } from "./server.mjs";

const run = promisify(execFile);

const path = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));
const OURS = path("../../aaw-js/aaw.js");
const PACKAGE = path("../family/node_modules/async-await-websockets");
const THEIRS = join(PACKAGE, "client.js");

/** Runs the page on Bun, and returns the lines it prints. @param {string} client @param {string} url */
const runPage = async (client, url) => {
  const { stdout } = await run(BUN, [path("page.mjs"), client, url], { timeout: 60_000 });
  return stdout.trim().split("\n");
};

const servers = { "the aaw server": () => start({ events: STOCK }), "the original's server": () => startOriginal() };

for (const [name, serve] of Object.entries(servers)) {
  test(`a page behaves the same with either client against ${name}`, async () => {
    const server = await serve();
    const theirs = await runPage(THEIRS, server.url);
    assert.deepEqual(await runPage(OURS, server.url), theirs);
    assert.equal(theirs.at(-1), '["done"]');
    await server.stop();
  });
}

test("the example page of the original runs with the aaw client", async (t) => {
  const html = readFileSync(join(PACKAGE, "examples/client/index.html"), "utf8");
  const [, script] =
    /<script type="module">([^]*?)<\/script>/.exec(html) ?? assert.fail("the page has no module script");
  const server = await startOriginal(join(PACKAGE, "examples/server/events"));
  const folder = await mkdtemp(join(tmpdir(), "aaw-page-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "page.mjs");
  const code = script.replace("../../client.js", OURS).replace("ws://localhost:1337", server.url);
  // Calls the handlers of the page's buttons once it is connected.
  writeFileSync(
    file,
    `globalThis.window = globalThis;\n${code}
    ws.on("open", async () => {
      window.sync();
      await window.async();
      ws.on("broadcast", () => process.exit());
      window.broadcast({ all: true });
    });`,
  );
  const { stdout } = await run(BUN, [file], { timeout: 60_000 });
  assert.match(stdout, /^connected\n/);
  assert.match(stdout, /delivered: "non-deterministically"[^]*delivered: "deterministically"[^]*broadcasted!\n$/);
  await server.stop();
});
