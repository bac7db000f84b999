// Starts servers as child processes: the aaw server, and the original's.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The events package that the default server serves. */
export const STOCK = fileURLToPath(new URL("../../events", import.meta.url));
/** The events package of the tests. */
const TEST_EVENTS = fileURLToPath(new URL("../events", import.meta.url));

const FAMILY = fileURLToPath(new URL("../family", import.meta.url));

/** Bun, from npm: `npm ci --prefix tests/family`. */
export const BUN = fileURLToPath(new URL("../family/node_modules/.bin/bun", import.meta.url));

/**
 * Starts the aaw server at the path in `AAW_SERVER_BIN`, and waits until it listens. The server builds its events
 * package first, if it is not built yet.
 *
 * @param {{ port?: number, events?: string, auth?: string, env?: Record<string, string> }} [options] `auth`: the path of the user database; without
 *   it, authentication is off. `port` 0: any free port.
 */
export const start = async ({ port = 0, events = TEST_EVENTS, auth, env = {} } = {}) => {
  const binary = process.env.AAW_SERVER_BIN;
  if (!binary) throw new Error("set AAW_SERVER_BIN to the aaw-server to test, for example target/debug/aaw-server");
  const args = ["--port", `${port}`, ...(auth ? [`--auth=${auth}`] : []), events];
  const server = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  const [, listensOn] = await waitForLine(server, /listening on ws:\/\/\S+ \(127\.0\.0\.1:(\d+)\)/);
  return new Server(server, Number(listensOn));
};

/** Starts the server of the npm package, on Bun. @param {string} [events] */
export const startOriginal = async (events = "events") => {
  const server = spawn(BUN, ["server.mjs", events], { cwd: FAMILY, stdio: ["pipe", "pipe", "pipe"] });
  const [, port] = await waitForLine(server, /\{"port":(\d+)\}/);
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
 * Waits until a process prints a line that matches the pattern.
 *
 * @param {import("node:child_process").ChildProcess} process
 * @param {RegExp} pattern
 * @returns {Promise<RegExpExecArray>}
 */
const waitForLine = (process, pattern) =>
  new Promise((resolve, reject) => {
    let output = "";
    // Reads on after the line, because the process would block once the pipe is full.
    const onData = (/** @type {Buffer} */ chunk) => {
      if (output.length < 1 << 20) output += chunk;
      const found = pattern.exec(output);
      if (found) resolve(found);
    };
    process.stdout?.on("data", onData);
    process.stderr?.on("data", onData);
    process.on("error", reject);
    process.on("exit", (code) => reject(new Error(`the process exited with code ${code}:\n${output}`)));
  });
