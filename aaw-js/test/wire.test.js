// The wire samples in aaw-protocol/wire, which the tests of the server read too, from the client's side: what it says
// is what the samples say, byte for byte, and what it hears it takes as PROTOCOL.md tells it to.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decode, draft } from "../aaw/frame.js";
import { sessionConfig } from "../aaw/options.js";
import { Session } from "../aaw/session.js";
import { FakeWorld } from "./support/world.js";

/** @typedef {{ name: string, dialect: import("../aaw/session.js").Dialect, steps: Record<string, any>[] }} Exchange */

/** @param {string} name */
const read = (name) =>
  JSON.parse(readFileSync(new URL(`../../aaw-protocol/wire/${name}.json`, import.meta.url), "utf8"));

/** One end of an exchange. Calls are known by the id they get. */
class Player {
  /** @type {Session<number>} */
  session = new Session(sessionConfig({}), () => 0, 0);
  now = 0;
  #calls = 0;
  /**
   * The events of calls that are not over, and the credit they have.
   *
   * @type {Map<number, { event: string, credit?: number }>}
   */
  open = new Map();
  /** The server's calls that are not over. @type {Map<number, import("../aaw/asks.js").Ask>} */
  asks = new Map();
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
    return [...this.#drain()].map((output) => {
      if (output.do === "asked") this.asks.set(output.ask.id, output.ask);
      return output.do === "send" ? output.text : output;
    });
  }

  /** Has the client say this. @param {string} text @returns {string[]} What it should have said for it. */
  say(text) {
    const [event, data, id, kind, meta] = JSON.parse(text);
    if (event === "aaw/hello") return [text];
    if (id < 0) {
      const ask = this.asks.get(id);
      if (!ask) return [];
      this.asks.delete(id);
      if (kind === "error") this.session.replyFailure(ask, data);
      else this.session.reply(ask, JSON.stringify(data));
      return [text];
    }
    switch (kind) {
      case undefined:
      case "call":
        if (id === undefined) {
          if (event.startsWith("aaw/")) return [];
          this.session.send(draft(event, data));
          return [data === undefined ? text.replace("]", ",null]") : text];
        }
        this.#calls += 1;
        this.open.set(this.#calls, { event, credit: meta?.credit });
        this.session.call(this.now, this.#calls, draft(event, data), {
          credit: meta?.credit,
          upload: meta?.in === true,
        });
        return [withKnownMeta(text, id, meta)];
      case "cancel":
        this.session.cancel(this.now, id);
        return this.open.delete(id) ? [text] : [];
      case "credit": {
        this.session.credit(id, data);
        const call = this.open.get(id);
        if (call?.credit === undefined || call.credit >= data) return [];
        call.credit = data;
        return [text];
      }
      case "item":
        assert.equal(this.session.uploadItem(id, JSON.stringify(data)), this.open.has(id));
        return this.open.has(id) ? [text] : [];
      case "end":
        this.session.uploadEnd(id);
        return this.open.has(id) ? [text] : [];
      default:
        assert.fail(`a client says ${text}`);
    }
  }
}

/** A call without what this client never says of one. @param {string} text @param {number} id @param {any} meta */
const withKnownMeta = (text, id, meta) => {
  const known = JSON.stringify({ in: meta?.in, credit: meta?.credit });
  const call = `${text.slice(0, text.indexOf(`,${id}`))},${id}`;
  return known === "{}" ? `${call}]` : `${call},"call",${known}]`;
};

/** What a client makes of a frame. @param {string} text @param {boolean} isClassic @param {Player} player */
const meaning = (text, isClassic, { open, asks }) => {
  const { event, data, id: told, kind } = decode(text);
  const oldest = isClassic ? [...open].find(([, call]) => call.event === event)?.[0] : undefined;
  const id = /** @type {number | null} */ (told ?? oldest ?? null);
  if (id === null) {
    switch (event) {
      case "aaw/welcome":
        return [{ do: "opened", connection: "7f" }];
      case "aaw/error":
        return [{ do: "problem", code: /** @type {any} */ (data).code }];
      default:
        if (event === "aaw/session") {
          return [{ do: "unauthorized", code: "not_authenticated" }, { do: "push", event, data }];
        }
        return event.startsWith("aaw/") && !/^aaw\/(joined|left)$/.test(event) ? [] : [{ do: "push", event, data }];
    }
  }
  if (id < 0) {
    const ask = { id, event };
    if (kind !== "cancel") return [{ do: "asked", ask, data }];
    return asks.delete(id) ? [{ do: "askCancelled", ask }] : [];
  }
  if (!open.has(id)) return [];
  if (kind === null || kind === "error" || kind === "end") open.delete(id);
  switch (kind) {
    case null: {
      const error = isClassic && /** @type {any} */ (data)?.error;
      if (error) return [{ do: "done", waiter: id, code: "handler" }];
      return [...keeps(event, data), { do: "done", waiter: id, as: "answered", data }];
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

/** What answers have a client keep. @param {string} event @param {any} data */
const keeps = (event, data) => {
  if (event === "aaw/logout") return [{ do: "login", token: null }];
  return event.startsWith("aaw/") && data.token ? [{ do: "login", token: data.token }] : [];
};

/** @param {any} output */
const plain = ({ problem, failure, outcome, ...output }) => {
  if (failure) return { ...output, code: failure.code };
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

for (const exchange of /** @type {Exchange[]} */ ([...read("v1"), ...read("asks"), ...read("classic")])) {
  const { name, dialect, steps } = exchange;
  if (!isOurs(exchange)) continue;
  test(`${dialect}: ${name}`, () => {
    const player = new Player(dialect);
    const isClassic = dialect === "classic";
    // The client greets before all else, whatever the sample wants to show.
    if (!isClassic) assert.deepEqual(player.take(), ['["aaw/hello",{}]']);
    for (const { client, server, close, pass = 0 } of steps) {
      player.now += pass;
      if (client !== undefined) {
        const said = player.say(client);
        assert.deepEqual(
          player.take(),
          said.filter((text) => !text.startsWith('["aaw/hello"')),
          client,
        );
      } else if (server !== undefined) {
        player.session.handleText(player.now, server);
        assert.deepEqual(player.take().map(plain), meaning(server, isClassic, player), server);
      } else if (close) {
        player.session.handleDisconnected(player.now, close[0], close[1]);
        const ended = player
          .take()
          .flatMap((output) => (typeof output === "object" && output.do === "done" ? [output] : []));
        assert.deepEqual(
          ended.map(({ waiter }) => waiter),
          [...player.open.keys()],
        );
        assert.equal(player.session.state, "waiting");
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
