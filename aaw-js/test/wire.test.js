// The wire samples in aaw-protocol/wire, which the tests of the server read too, from the client's side: what it says is
// what the samples say, byte for byte, and what it hears it takes as PROTOCOL.md tells it to.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decode, draft } from "../aaw/frame.js";
import { sessionConfig } from "../aaw/options.js";
import { Session } from "../aaw/session.js";
import { FakeWorld } from "./support/world.js";

/** @typedef {{ name: string, dialect: import("../aaw/session.js").Dialect, steps: Record<string, any>[] }} Exchange */

/** @param {string} name */
const read = (name) => JSON.parse(readFileSync(new URL(`../../aaw-protocol/wire/${name}.json`, import.meta.url), "utf8"));

/** One end of an exchange. Calls are known by the id they get. */
class Player {
  /** @type {Session<number>} */
  session = new Session(sessionConfig({}), () => 0, 0);
  now = 0;
  #calls = 0;
  /** Calls that are not over. @type {Set<number>} */
  open = new Set();
  /** What the session wants, and no step has accounted for yet. */
  #outputs = [...this.#drain()];

  /** @param {import("../aaw/session.js").Dialect} dialect */
  constructor(dialect) {
    assert.deepEqual(this.#outputs.splice(0), [{ do: "connect" }]);
    this.session.handleConnected(this.now, dialect);
    if (dialect === "classic") assert.deepEqual([...this.#drain()], [{ do: "opened", connection: null }]);
  }

  *#drain() {
    for (let output = this.session.pollOutput(); output; output = this.session.pollOutput()) yield output;
  }

  /** What happened since, texts for what is to be sent. */
  take() {
    return [...this.#drain()].map((output) => (output.do === "send" ? output.text : output));
  }

  /** Has the client say this. @param {string} text @returns {string[]} What it should have said for it. */
  say(text) {
    const [event, data, id, kind, meta] = JSON.parse(text);
    if (event === "aaw/hello") return [text];
    switch (kind) {
      case undefined:
      case "call":
        if (id === undefined) {
          if (event.startsWith("aaw/")) return [];
          this.session.send(draft(event, data));
          return [data === undefined ? text.replace("]", ",null]") : text];
        }
        this.#calls += 1;
        this.open.add(this.#calls);
        this.session.call(this.now, this.#calls, draft(event, data), { credit: meta?.credit, upload: meta?.in === true });
        // What this client never says of a call is left out of it.
        if (meta?.credit === undefined) return [`${text.slice(0, text.indexOf(`,${id}`))},${id}]`];
        return [text.replace(/,"timeout":\d+/, "")];
      case "cancel":
        this.session.cancel(this.now, id);
        return this.open.delete(id) ? [text] : [];
      case "credit":
        this.session.credit(id, data);
        return this.open.has(id) ? [text] : [];
      case "item":
        assert.ok(this.session.uploadItem(id, JSON.stringify(data)), `room for ${text}`);
        return [text];
      case "end":
        this.session.uploadEnd(id);
        return this.open.has(id) ? [text] : [];
      default:
        assert.fail(`a client says ${text}`);
    }
  }
}

/** What a client makes of a frame. @param {string} text @param {boolean} isClassic @param {Set<unknown>} open */
const meaning = (text, isClassic, open) => {
  const { event, data, id, kind } = decode(text);
  if (id === null) {
    switch (event) {
      case "aaw/welcome":
        return [{ do: "opened", connection: "7f" }];
      case "aaw/error":
        return [{ do: "problem", code: /** @type {any} */ (data).code }];
      default:
        return event.startsWith("aaw/") ? [] : [{ do: "push", event, data }];
    }
  }
  if (!open.has(id)) return [];
  if (kind === null || kind === "error" || kind === "end") open.delete(id);
  switch (kind) {
    case null: {
      const error = isClassic && /** @type {any} */ (data)?.error;
      return [error ? { do: "done", waiter: id, code: "handler" } : { do: "done", waiter: id, as: "answered", data }];
    }
    case "error":
      return [{ do: "done", waiter: id, code: /** @type {any} */ (data).code ?? "handler" }];
    case "item":
      return [{ do: "item", waiter: id, data }];
    case "end":
      return [{ do: "done", waiter: id, as: "ended" }];
    case "credit":
      return [{ do: "room", waiter: id, items: data }];
  }
};

/** @param {any} output */
const plain = ({ problem, outcome, ...output }) => {
  if (problem) return { ...output, code: problem.code };
  if (outcome?.as === "failed") return { ...output, code: outcome.failure.code };
  return { ...output, ...outcome };
};

/** Whether the ids of an exchange are such as this client gives. @param {Exchange} exchange */
const isOurs = ({ dialect, steps }) =>
  dialect === "v1" ||
  steps
    .flatMap(({ client }) => (client ? [JSON.parse(client)[2]] : []))
    .filter((id) => id !== undefined)
    .every((id, at) => id === at + 1);

for (const exchange of /** @type {Exchange[]} */ ([...read("v1"), ...read("classic")])) {
  const { name, dialect, steps } = exchange;
  if (!isOurs(exchange)) continue;
  test(`${dialect}: ${name}`, () => {
    const player = new Player(dialect);
    const isClassic = dialect === "classic";
    // The client greets before all else, whatever the sample wants to show.
    if (!isClassic) assert.deepEqual(player.take(), ['["aaw/hello",{}]']);
    for (const { client, server, pass = 0 } of steps) {
      player.now += pass;
      if (client !== undefined) {
        const said = player.say(client);
        assert.deepEqual(player.take(), said.filter((text) => !text.startsWith('["aaw/hello"')), client);
      } else if (server !== undefined) {
        player.session.handleText(player.now, server);
        assert.deepEqual(player.take().map(plain), meaning(server, isClassic, player.open), server);
      }
    }
  });
}

test("the dialect is what the server chose", () => {
  for (const { chosen, dialect } of read("handshakes")) {
    const world = new FakeWorld();
    world.client();
    world.socket.accept(chosen ?? "");
    assert.equal(world.socket.sent.length, dialect === "v1" ? 1 : 0, chosen);
  }
});
