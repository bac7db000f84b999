// A client under load in a page, in headless Chromium:
//
//   node chromium.js KIND URL SECONDS      KIND is aaw, original or socket.io
//
// It prints the same line as client.js. The processor time is that of all processes of the browser: pages send and receive
// through another process. It requires Chromium and `npm ci --prefix tests/browser`.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { launch } from "../../tests/browser/chromium.mjs";

/** The client's modules, as a page imports them. @type {Record<string, string>} */
const MODULES = {
  aaw: "../../aaw-js/dist/aaw.js",
  original: "node_modules/async-await-websockets/client.js",
  "socket.io": "node_modules/socket.io-client/dist/socket.io.esm.min.js",
};

const [kind, url, seconds] = process.argv.slice(2);
/** What the page loads. It has the origin of the server, because servers refuse pages of others. @type {Record<string, string>} */
const files = { "/client.js": MODULES[kind], "/connect.js": "connect.js", "/load.js": "load.js" };

const browser = await launch();
const session = await browser.newBrowserCDPSession();
const processorTime = async () => {
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  return processInfo.reduce((sum, { cpuTime }) => sum + cpuTime, 0);
};

const page = await browser.newPage();
await page.exposeFunction("processorTime", processorTime);
await page.route("**", async (route) => {
  const path = files[new URL(route.request().url()).pathname];
  if (!path) return route.continue();
  const body = await readFile(fileURLToPath(new URL(path, import.meta.url)), "utf8");
  return route.fulfill({ contentType: "text/javascript", body });
});
// What the server sends does not matter, as long as it does: Chromium lets only pages from this machine connect to it. Each
// of the servers responds to this path, with an error.
await page.goto(`${url.replace(/^ws:/, "http:")}/socket.io/`);
const measured = await page.evaluate(
  async ({ kind, url, seconds }) => {
    const [client, { connect }, { measure }] = await Promise.all(
      ["/client.js", "/connect.js", "/load.js"].map((path) => import(path)),
    );
    return measure(await connect[kind](client, url), seconds, globalThis.processorTime);
  },
  { kind, url, seconds: Number(seconds) },
);
process.stdout.write(`${JSON.stringify(measured)}\n`);
await browser.close();
