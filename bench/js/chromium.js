// A client under load in a page, in headless Chromium:
//
//   node chromium.js KIND URL SECONDS      KIND is aaw, original or socket.io
//
// It prints the same line as client.js. The processor time is that of all processes of the browser: pages send and receive
// through another process. Chromium has to be on the PATH.
//
// It speaks the DevTools protocol itself, because the usual libraries have the browser report each message of a WebSocket.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import WebSocket from "ws";

/** The client's modules, as a page imports them. @type {Record<string, string>} */
const MODULES = {
  aaw: "../../aaw-js/dist/aaw.js",
  original: "node_modules/async-await-websockets/client.js",
  "socket.io": "node_modules/socket.io-client/dist/socket.io.esm.min.js",
};

const [kind, url, seconds] = process.argv.slice(2);
const folder = await mkdtemp(join(tmpdir(), "aaw-bench-chromium-"));
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
const browser = spawn("chromium", [...flags, "--remote-debugging-port=0", `--user-data-dir=${folder}`, "about:blank"], {
  stdio: ["ignore", "ignore", "pipe"],
});
const address = await new Promise((resolve, reject) => {
  browser.once("error", reject);
  createInterface({ input: browser.stderr }).on("line", (line) => {
    const found = /^DevTools listening on (\S+)$/.exec(line);
    if (found) resolve(found[1]);
  });
});

const devTools = new WebSocket(address);
await once(devTools, "open");
let lastId = 0;
/** The commands without a result, by id. */
const commands = new Map();
/** Receives the events. */
let onEvent = (/** @type {any} */ _) => {};
devTools.on("message", (text) => {
  const message = JSON.parse(String(text));
  if (message.id === undefined) return onEvent(message);
  const { resolve, reject } = commands.get(message.id);
  commands.delete(message.id);
  if (message.error) reject(new Error(message.error.message));
  else resolve(message.result);
});
/** @param {string} method @param {object} [params] @param {string} [sessionId] The page. @returns {Promise<any>} */
const command = (method, params = {}, sessionId) =>
  new Promise((resolve, reject) => {
    lastId += 1;
    commands.set(lastId, { resolve, reject });
    devTools.send(JSON.stringify({ id: lastId, method, params, sessionId }));
  });

/** Runs a function in the page. @param {string} page @param {Function} program @param {...unknown} args */
const evaluate = async (page, program, ...args) => {
  const expression = `(${program})(...${JSON.stringify(args)})`;
  const params = { expression, awaitPromise: true, returnByValue: true };
  const { result, exceptionDetails } = await command("Runtime.evaluate", params, page);
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
};

try {
  // What the server sends does not matter: the page has its origin, because servers refuse pages of others. Each of the
  // servers responds to this path, with an error.
  const { targetId } = await command("Target.createTarget", { url: "about:blank" });
  const { sessionId: page } = await command("Target.attachToTarget", { targetId, flatten: true });
  await command("Page.enable", {}, page);
  await command("Page.setBypassCSP", { enabled: true }, page);
  const loaded = new Promise((resolve) => (onEvent = ({ method }) => method === "Page.loadEventFired" && resolve(null)));
  await command("Page.navigate", { url: `${url.replace(/^ws:/, "http:")}/socket.io/` }, page);
  await loaded;

  // The page asks for the processor time.
  await command("Runtime.enable", {}, page);
  await command("Runtime.addBinding", { name: "requestProcessorTime" }, page);
  onEvent = async ({ method }) => {
    if (method !== "Runtime.bindingCalled") return;
    const { processInfo } = await command("SystemInfo.getProcessInfo");
    const time = processInfo.reduce((/** @type {number} */ sum, /** @type {any} */ { cpuTime }) => sum + cpuTime, 0);
    await evaluate(page, (/** @type {number} */ time) => void globalThis.resolveProcessorTime(time), time);
  };

  const paths = [MODULES[kind], "connect.js", "load.js"];
  const texts = await Promise.all(paths.map((path) => readFile(new URL(path, import.meta.url), "utf8")));
  const measured = await evaluate(
    page,
    async (/** @type {string[]} */ texts, /** @type {string} */ kind, /** @type {string} */ url, /** @type {number} */ seconds) => {
      const modules = texts.map((text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
      const [client, { connect }, { measure }] = await Promise.all(modules.map((module) => import(module)));
      const processorTime = () =>
        new Promise((resolve) => {
          globalThis.resolveProcessorTime = resolve;
          globalThis.requestProcessorTime("");
        });
      return measure(await connect[kind](client, url), seconds, processorTime);
    },
    texts,
    kind,
    url,
    Number(seconds),
  );
  process.stdout.write(`${JSON.stringify(measured)}\n`);
} finally {
  browser.kill();
  await once(browser, "exit");
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}
process.exit();
