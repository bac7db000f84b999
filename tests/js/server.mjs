// Servers in processes of their own: ours, with the events of ../events, and the original's.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The events that the stock server serves, and those of the tests. */
export const STOCK = fileURLToPath(new URL("../../events", import.meta.url));
const ODD = fileURLToPath(new URL("../events", import.meta.url));

const FAMILY = fileURLToPath(new URL("../family", import.meta.url));

/** Bun, from npm: `npm ci --prefix tests/family`. */
export const BUN = fileURLToPath(new URL("../family/node_modules/.bin/bun", import.meta.url));

/**
 * Starts the binary that `AAW_SERVER_BIN` names, and waits until it listens. It builds its events first if need be.
 *
 * @param {{ port?: number, events?: string, auth?: string }} [options] `auth`: the file of its users.
 */
export const start = async ({ port = 0, events = ODD, auth } = {}) => {
  const binary = process.env.AAW_SERVER_BIN;
  if (!binary) throw new Error("AAW_SERVER_BIN has to name the aaw-server to test, such as target/debug/aaw-server");
  const how = ["--port", `${port}`, ...(auth ? [`--auth=${auth}`] : []), events];
  const server = spawn(binary, how, { stdio: ["ignore", "pipe", "pipe"] });
  const [, listens] = await said(server, /listening on ws:\/\/\S+ \(127\.0\.0\.1:(\d+)\)/);
  return new Server(server, Number(listens));
};

/** Starts the server of the npm package, on Bun, with these events. @param {string} [events] */
export const startOriginal = async (events = "events") => {
  const server = spawn(BUN, ["server.mjs", events], { cwd: FAMILY, stdio: ["pipe", "pipe", "pipe"] });
  const [, port] = await said(server, /\{"port":(\d+)\}/);
  return new Server(server, Number(port));
};

class Server {
  #process;

  /** @param {import("node:child_process").ChildProcess} process @param {number} port */
  constructor(process, port) {
    this.#process = process;
    this.port = port;
    this.url = `ws://127.0.0.1:${port}`;
  }

  /** @param {NodeJS.Signals} [signal] */
  async stop(signal = "SIGTERM") {
    const process = this.#process;
    const ended = new Promise((resolve) => process.once("exit", resolve));
    if (process.exitCode !== null || process.signalCode !== null) return;
    process.kill(signal);
    await ended;
  }
}

/**
 * Waits until a process prints a line.
 *
 * @param {import("node:child_process").ChildProcess} process
 * @param {RegExp} line
 * @returns {Promise<RegExpExecArray>}
 */
const said = (process, line) =>
  new Promise((resolve, reject) => {
    let output = "";
    // What comes after the line is read all the same, or the process would stand still once the pipe is full.
    const hear = (/** @type {Buffer} */ chunk) => {
      if (output.length < 1 << 20) output += chunk;
      const found = line.exec(output);
      if (found) resolve(found);
    };
    process.stdout?.on("data", hear);
    process.stderr?.on("data", hear);
    process.on("error", reject);
    process.on("exit", (code) => reject(new Error(`it ended with ${code}:\n${output}`)));
  });
