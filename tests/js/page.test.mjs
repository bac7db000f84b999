// Pages written for the npm client 3.0.6 do with ours what they do with that: against our server, and against its own.

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

/** What the page prints, on Bun. @param {string} client @param {string} url */
const page = async (client, url) => {
  const { stdout } = await run(BUN, [path("page.mjs"), client, url], { timeout: 60_000 });
  return stdout.trim().split("\n");
};

const servers = { "our server": () => start({ events: STOCK }), "the original's server": () => startOriginal() };

for (const [name, serve] of Object.entries(servers)) {
  test(`a page does the same with either client against ${name}`, async () => {
    const server = await serve();
    const theirs = await page(THEIRS, server.url);
    assert.deepEqual(await page(OURS, server.url), theirs);
    assert.equal(theirs.at(-1), '["done"]');
    await server.stop();
  });
}

test("the original's own example page runs on our client", async (t) => {
  const html = readFileSync(join(PACKAGE, "examples/client/index.html"), "utf8");
  const [, script] = /<script type="module">([^]*?)<\/script>/.exec(html) ?? assert.fail("it has a script");
  const server = await startOriginal(join(PACKAGE, "examples/server/events"));
  const folder = await mkdtemp(join(tmpdir(), "aaw-page-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "page.mjs");
  const code = script.replace("../../client.js", OURS).replace("ws://localhost:1337", server.url);
  // Its buttons are pressed once it is connected.
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
