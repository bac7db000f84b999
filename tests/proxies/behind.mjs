// Starts aaw-server behind a proxy, with a configuration file of this folder.

import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** A time that a passing test never needs, in ms. */
export const LONG = 60_000;

const variable = (/** @type {string} */ name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: start these tests with tests/proxies/run`);
  return value;
};

const read = (/** @type {string} */ file) => readFileSync(fileURLToPath(new URL(file, import.meta.url)), "utf8");

/** A free port, below those that Linux gives to outgoing connections. @returns {Promise<number>} */
const freePort = () =>
  new Promise((resolve, reject) => {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer().on("error", (/** @type {NodeJS.ErrnoException} */ error) =>
      error.code === "EADDRINUSE" ? resolve(freePort()) : reject(error),
    );
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(port)));
  });

/** A child process and what it has printed. */
class Program {
  output = "";
  #child;

  /** @param {string} command @param {string[]} args @param {Record<string, string>} env */
  constructor(command, args, env = {}) {
    this.name = basename(command);
    this.#child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8").on("data", (/** @type {string} */ text) => (this.output += text));
    }
    this.#child.on("error", (error) => (this.output += `${error}`));
  }

  /** Waits until a condition is true. @param {() => boolean | Promise<boolean>} condition */
  async until(condition) {
    for (const start = Date.now(); !(await condition()); ) {
      const hasEnded = this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined;
      if (hasEnded || Date.now() - start > LONG) throw new Error(`${this.name} does not start:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** @param {NodeJS.Signals} [signal] */
  async stop(signal = "SIGTERM") {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill(signal);
    await ended;
  }
}

/** Whether something listens on the port. @param {number} port @returns {Promise<boolean>} */
const listens = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => (socket.destroy(), resolve(true))).on("error", () => resolve(false));
  });

/** Replaces a text that must be there. */
const replace = (/** @type {string} */ text, /** @type {string} */ from, /** @type {string} */ to) => {
  if (!text.includes(from)) throw new Error(`expected ${from} in\n${text}`);
  return text.replaceAll(from, to);
};

/**
 * Starts nginx with this file of `conf.d`.
 *
 * @param {string} folder @param {string} config @param {number} port @param {number} upstream
 */
const nginx = (folder, config, port, upstream) => {
  config = replace(config, "listen 443 ssl http2;", `listen 127.0.0.1:${port} ssl http2;`);
  config = replace(config, "server_name api.example.org;", "server_name api.example.org localhost;");
  config = replace(replace(config, "127.0.0.1:1337", `127.0.0.1:${upstream}`), "/etc/ssl/aaw", variable("AAW_TLS_DIR"));
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder};`);
  const main = `daemon off;\nmaster_process off;\npid ${folder}/pid;\nerror_log stderr;\nevents {}\n`;
  writeFileSync(join(folder, "nginx.conf"), `${main}http {\naccess_log off;\n${temporary.join("\n")}\n${config}}\n`);
  return new Program("nginx", ["-e", "stderr", "-p", folder, "-c", `${folder}/nginx.conf`]);
};

/** Only addresses, ports and the paths of the certificate are replaced in the files. */
const PROXIES = {
  /** @param {string} folder @param {string} variant @param {number} port @param {number} upstream */
  nginx: (folder, variant, port, upstream) => {
    const config = read("nginx.conf");
    const root = "    location / {\n        proxy_pass http://aaw;\n    }\n";
    return nginx(folder, variant ? replace(config, root, read(`nginx${variant}.conf`)) : config, port, upstream);
  },
  /** @param {string} folder @param {string} variant @param {number} port @param {number} upstream */
  caddy: (folder, variant, port, upstream) => {
    let config = read(`Caddyfile${variant}`);
    config = replace(config, "api.example.org {", `https://api.example.org:${port}, https://localhost:${port} {`);
    config = replace(replace(config, "127.0.0.1:1337", `127.0.0.1:${upstream}`), "/etc/ssl/aaw", variable("AAW_TLS_DIR"));
    // Neither certificates nor OCSP responses are fetched, and nothing listens on other ports.
    const global = "{\n\tadmin off\n\tauto_https off\n\tocsp_stapling off\n\tskip_install_trust\n\tdefault_bind 127.0.0.1\n}\n";
    writeFileSync(join(folder, "Caddyfile"), `${global}${config}`);
    const env = { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder };
    return new Program("caddy", ["run", "--adapter", "caddyfile", "--config", join(folder, "Caddyfile")], env);
  },
};

/** Counts the connections from the proxy to the server. */
class Relay {
  connections = 0;
  #server = createServer((from) => {
    this.connections += 1;
    const to = connect(this.to, "127.0.0.1");
    for (const [one, other] of [[from, to], [to, from]]) {
      one.on("error", () => other.destroy()).on("close", () => other.destroy()).pipe(other);
    }
  });

  /** @param {number} to */
  constructor(to) {
    this.to = to;
  }

  /** @returns {Promise<number>} */
  listen() {
    return new Promise((resolve) => {
      this.#server.listen(0, "127.0.0.1", () => resolve(/** @type {import("node:net").AddressInfo} */ (this.#server.address()).port));
    });
  }

  close() {
    this.#server.close();
  }
}

/** Makes a folder with the stock events and a static page. */
const newFolder = () => {
  const folder = mkdtempSync(join(tmpdir(), "aaw-proxies-"));
  for (const name of ["events", "proxy", "static/docs"]) mkdirSync(join(folder, name), { recursive: true });
  for (const name of ["index.html", "docs/index.html"]) writeFileSync(join(folder, "static", name), "<title>own</title>");
  const library = `libaaw_events.${process.platform === "darwin" ? "dylib" : "so"}`;
  cpSync(join(resolve(variable("AAW_EXAMPLES_BIN_DIR")), library), join(folder, "events", library));
  return folder;
};

/** aaw-server with the stock events, behind a proxy. */
export class Behind {
  /** @type {Program} */
  #proxy;
  #folder;
  #start;

  /**
   * @param {"nginx" | "caddy"} proxy
   * @param {string} variant The rest of the name of the configuration file.
   * @param {string[]} args Further arguments of the server.
   */
  static async start(proxy, variant = "", args = []) {
    const folder = newFolder();
    // What docs/deployment.md says.
    const flags = ["--trusted-proxy", "127.0.0.1", "--allow-host", "api.example.org", ...args];
    const server = [
      join(folder, "events"), "--auth", join(folder, "users.sqlite"), "--static", join(folder, "static"), ...flags,
    ];
    return await Behind.#serve(folder, server, (proxyFolder, port, upstream) => PROXIES[proxy](proxyFolder, variant, port, upstream));
  }

  /**
   * Starts what a section of the guide prints: nginx with its configuration, and the server with its settings file. Only
   * ports and paths are replaced.
   *
   * @param {string} page
   * @param {string} heading
   */
  static async startSection(page, heading) {
    const section = read(`../../docs/${page}`).split(/^(?=## )/m).find((part) => part.startsWith(`${heading}\n`)) ?? "";
    const block = (/** @type {string} */ language) => {
      const found = [...section.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))];
      if (found.length !== 1) throw new Error(`expected one block of ${language} below ${heading} in docs/${page}`);
      return found[0][1];
    };
    const folder = newFolder();
    const settings = replace(replace(block("toml"), "/opt/aaw", folder), "/var/lib/aaw", folder);
    writeFileSync(join(folder, "aaw.toml"), settings);
    const config = block("nginx");
    const args = ["--config", join(folder, "aaw.toml")];
    return await Behind.#serve(folder, args, (proxyFolder, port, upstream) => nginx(proxyFolder, config, port, upstream));
  }

  /**
   * @param {string} folder
   * @param {string[]} args Those of the server.
   * @param {(folder: string, port: number, upstream: number) => Program} startProxy
   */
  static async #serve(folder, args, startProxy) {
    const port = await freePort();
    const server = new Program(variable("AAW_SERVER_BIN"), [...args, "--port", "0"]);
    await server.until(() => /listening on .*\(127\.0\.0\.1:\d+\)/.test(server.output));
    const relay = new Relay(Number(/\(127\.0\.0\.1:(\d+)\)/.exec(server.output)?.[1]));
    const upstream = await relay.listen();
    const behind = new Behind(folder, port, server, relay, () => startProxy(join(folder, "proxy"), port, upstream));
    await behind.startProxy();
    return behind;
  }

  /** @param {string} folder @param {number} port @param {Program} server @param {Relay} relay @param {() => Program} start */
  constructor(folder, port, server, relay, start) {
    Object.assign(this, { port, server, relay });
    [this.port, this.server, this.relay, this.#folder, this.#start] = [port, server, relay, folder, start];
  }

  async startProxy() {
    this.#proxy = this.#start();
    await this.#proxy.until(() => listens(this.port));
  }

  /** Runs the program of the server with these arguments. @param {string[]} args @param {Record<string, string>} env */
  run(args, env = {}) {
    return execFileSync(variable("AAW_SERVER_BIN"), args, { encoding: "utf8", env: { ...process.env, ...env } });
  }

  /** The settings file of the server. */
  get settings() {
    return join(this.#folder, "aaw.toml");
  }

  /** Ends the proxy, and with it all its connections. */
  async stopProxy() {
    await this.#proxy.stop("SIGKILL");
  }

  /** What the log of the server has. */
  get log() {
    return this.server.output;
  }

  /**
   * Sends a request through the proxy.
   *
   * @param {string} path
   * @param {import("node:https").RequestOptions & { body?: string }} [options]
   * @returns {Promise<{ status: number, headers: import("node:http").IncomingHttpHeaders, chunks: string[], body: string }>}
   */
  send(path, { body, ...options } = {}) {
    return new Promise((resolve, reject) => {
      const sent = request({
        host: "127.0.0.1", servername: "api.example.org", port: this.port, path, agent: false, ...options,
        headers: { host: `api.example.org:${this.port}`, ...options.headers },
      });
      sent.on("error", reject);
      sent.on("upgrade", (response, socket) => {
        socket.destroy();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, chunks: [], body: "" });
      });
      sent.on("response", (response) => {
        /** @type {string[]} */
        const chunks = [];
        response.setEncoding("utf8").on("data", (chunk) => chunks.push(chunk)).on("error", reject);
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, chunks, body: chunks.join("") }));
      });
      sent.end(body);
    });
  }

  async stop() {
    await this.#proxy.stop("SIGKILL");
    await this.server.stop();
    this.relay.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
