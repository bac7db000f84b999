// Plays the wire samples in aaw-protocol/wire, which the server's tests use too, from the client's side: its frames
// must equal those of the samples, byte for byte, and it must handle the server's frames as PROTOCOL.md specifies.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { ClientConnection } from "../aaw/connection.js";
import { encodeMessage } from "../aaw/encoded_message.js";
import { decodeFrame } from "../aaw/frame.js";
import { readOptions } from "../aaw/options.js";
import { FakePlatform } from "./support/fake_platform.js";

/** @import { Dialect } from "../aaw/connection.js" */
/** @typedef {{ name: string, dialect: Dialect, steps: Record<string, any>[] }} Exchange */

/** @param {string} name */
const readSamples = (name) =>
  JSON.parse(readFileSync(new URL(`../../aaw-protocol/wire/${name}.json`, import.meta.url), "utf8"));

/** @import { PendingCall } from "../aaw/pending_call.js" */

/** Drives a connection through an exchange. The observer of a call is the id that the call gets. */
class Player {
  /** @type {ClientConnection<number>} */
  connection;
  now = 0;
  /** All calls that were made. @type {PendingCall<number>[]} */
  #calls = [];
  /**
   * The events of the calls that have not ended, and their credit.
   *
   * @type {Map<number, { event: string, credit?: number }>}
   */
  openCalls = new Map();
  /** The client calls that have not ended. @type {Map<number, import("../aaw/output_queue.js").ClientCall>} */
  clientCalls = new Map();

  /** @param {Dialect} dialect @param {string[]} [keys] The keys of the states that the client begins, if it resumes. */
  constructor(dialect, keys) {
    const config = readOptions({ resumption: keys !== undefined }).connection;
    this.connection = new ClientConnection(config, () => 0, 0, () => keys?.shift() ?? assert.fail("one key too many"));
    assert.deepEqual([...this.#drain()], [{ type: "connect" }]);
    this.connection.handleConnected(this.now, dialect);
    if (dialect === "classic") assert.deepEqual([...this.#drain()], [{ type: "opened", connection: null, isRestored: false }]);
  }

  *#drain() {
    for (let output = this.connection.pollOutput(); output; output = this.connection.pollOutput()) yield output;
  }

  /** The outputs since the last call of this; a frame that is sent is its text. */
  takeOutputs() {
    return [...this.#drain()].map((output) => {
      if (output.type === "clientCall") this.clientCalls.set(output.call.id, output.call);
      return output.type === "send" ? output.text : output;
    });
  }

  /** Makes the client send this frame. @param {string} text @returns {string[]} The frames that it should send. */
  play(text) {
    const [event, data, id, kind, meta] = JSON.parse(text);
    if (event === "aaw/hello") return [text];
    if (id < 0) {
      const call = this.clientCalls.get(id);
      if (!call) return [];
      this.clientCalls.delete(id);
      if (kind === "error") this.connection.respondError(this.now, call, data);
      else this.connection.respond(this.now, call, JSON.stringify(data));
      return [text];
    }
    switch (kind) {
      case undefined:
      case "call":
        if (id === undefined) {
          if (event.startsWith("aaw/")) return [];
          this.connection.send(this.now, encodeMessage(event, data));
          return [data === undefined ? text.replace("]", ",null]") : text];
        }
        this.openCalls.set(this.#calls.length + 1, { event, credit: meta?.credit });
        this.#calls.push(
          this.connection.call(this.now, this.#calls.length + 1, encodeMessage(event, data), {
            credit: meta?.credit,
            upload: meta?.in === true,
          }),
        );
        return [withSupportedMeta(text, id, meta)];
      case "cancel":
        this.connection.cancel(this.now, this.#calls[id - 1]);
        return this.openCalls.delete(id) ? [text] : [];
      case "credit": {
        this.connection.grantCredit(this.now, this.#calls[id - 1], data);
        const call = this.openCalls.get(id);
        if (call?.credit === undefined || call.credit >= data) return [];
        call.credit = data;
        return [text];
      }
      case "item":
        assert.equal(this.connection.uploadItem(this.now, this.#calls[id - 1], JSON.stringify(data)), this.openCalls.has(id));
        return this.openCalls.has(id) ? [text] : [];
      case "end":
        this.connection.uploadEnd(this.now, this.#calls[id - 1]);
        return this.openCalls.has(id) ? [text] : [];
      default:
        assert.fail(`unexpected frame of a client: ${text}`);
    }
  }
}

/**
 * A call, with the keys of its meta object that this client uses.
 *
 * @param {string} text
 * @param {number} id
 * @param {any} meta
 */
const withSupportedMeta = (text, id, meta) => {
  const supported = JSON.stringify({ in: meta?.in, credit: meta?.credit });
  const call = `${text.slice(0, text.indexOf(`,${id}`))},${id}`;
  return supported === "{}" ? `${call}]` : `${call},"call",${supported}]`;
};

/**
 * The outputs that a frame of the server should cause.
 *
 * @param {string} text
 * @param {boolean} isClassic
 * @param {Player} player
 */
const expectedOutputs = (text, isClassic, { openCalls, clientCalls }) => {
  const { event, data, id: frameId, kind } = decodeFrame(text, false);
  const oldest = isClassic ? [...openCalls].find(([, call]) => call.event === event)?.[0] : undefined;
  const id = /** @type {number | null} */ (frameId ?? oldest ?? null);
  if (id === null) {
    switch (event) {
      case "aaw/welcome":
        return [{ type: "opened", connection: "7f", isRestored: false }];
      case "aaw/error":
        return [{ type: "warning", code: /** @type {any} */ (data).code }];
      case "aaw/session":
        return [
          { type: "unauthorized", code: "not_authenticated" },
          { type: "push", event, data },
        ];
      default:
        return event.startsWith("aaw/") && !/^aaw\/(joined|left)$/.test(event) ? [] : [{ type: "push", event, data }];
    }
  }
  if (id < 0) {
    const call = { id, event };
    if (kind !== "cancel") return [{ type: "clientCall", call, data }];
    return clientCalls.delete(id) ? [{ type: "clientCallCancelled", call }] : [];
  }
  if (!openCalls.has(id)) return [];
  if (kind === null || kind === "error" || kind === "end") openCalls.delete(id);
  switch (kind) {
    case null: {
      const error = isClassic && /** @type {any} */ (data)?.error;
      if (error) return [{ type: "callDone", observer: id, code: "handler" }];
      return [...tokenChange(event, data), { type: "callDone", observer: id, result: { type: "response", data } }];
    }
    case "error":
      return [{ type: "callDone", observer: id, code: /** @type {any} */ (data).code ?? "handler" }];
    case "item":
      return [{ type: "item", observer: id, data }];
    case "end":
      return [{ type: "callDone", observer: id, result: { type: "streamEnded" } }];
    case "credit":
      return [{ type: "uploadCredit", observer: id, items: data }];
  }
};

/** The outputs about the session's token that a response should cause. @param {string} event @param {any} data */
const tokenChange = (event, data) => {
  if (event === "aaw/logout") return [{ type: "tokenChanged", token: null }];
  return event.startsWith("aaw/") && data.token ? [{ type: "tokenChanged", token: data.token }] : [];
};

/** An output with the code of its error in place of the error. @param {any} output */
const withCode = ({ error, result, ...output }) => {
  if (error) return { ...output, code: error.code };
  if (result?.type === "failed") return { ...output, code: result.error.code };
  return result ? { ...output, result } : output;
};

/** Whether this client would assign the ids that an exchange uses. @param {Exchange} exchange */
const hasSequentialIds = ({ dialect, steps }) =>
  dialect === "v1" ||
  steps
    .flatMap(({ client }) => (client ? [JSON.parse(client)[2]] : []))
    .filter((id) => id !== undefined)
    .every((id, at) => id === at + 1);

for (const exchange of /** @type {Exchange[]} */ (["v1", "client_calls", "classic"].flatMap(readSamples))) {
  const { name, dialect, steps } = exchange;
  if (!hasSequentialIds(exchange)) continue;
  test(`${dialect}: ${name}`, () => {
    const player = new Player(dialect);
    const isClassic = dialect === "classic";
    // This client sends the hello first, even if the sample shows other frames only.
    if (!isClassic) assert.deepEqual(player.takeOutputs(), ['["aaw/hello",{}]']);
    for (const { client, server, close, pass = 0 } of steps) {
      player.now += pass;
      if (client !== undefined) {
        const expected = player.play(client);
        assert.deepEqual(
          player.takeOutputs(),
          expected.filter((text) => !text.startsWith('["aaw/hello"')),
          client,
        );
      } else if (server !== undefined) {
        player.connection.handleText(player.now, server);
        assert.deepEqual(player.takeOutputs().map(withCode), expectedOutputs(server, isClassic, player), server);
      } else if (close) {
        player.connection.handleDisconnected(player.now, close[0], close[1]);
        const ended = player
          .takeOutputs()
          .flatMap((output) => (typeof output === "object" && output.type === "callDone" ? [output.observer] : []));
        assert.deepEqual(ended, [...player.openCalls.keys()]);
        assert.equal(player.connection.state, "waiting");
      }
    }
  });
}

for (const { name, dialect, steps } of /** @type {Exchange[]} */ (readSamples("resumption"))) {
  test(`resumption: ${name}`, () => {
    const frames = steps.flatMap(({ client, again }) => client ?? again ?? []);
    // The last key of a hello is that of the state which begins with it.
    const player = new Player(dialect, frames.flatMap((text) => /"([0-9a-f]{32})"\}\}\]$/.exec(text)?.[1] ?? []));
    /** @type {string[]} */
    const sent = [];
    const take = () => {
      for (const output of player.takeOutputs()) if (typeof output === "string") sent.push(output);
    };
    take();
    for (const { client, server, broken, pass = 0 } of steps) {
      player.now += pass;
      if (client !== undefined && !client.startsWith('["aaw/ack"')) player.play(client);
      if (server !== undefined) player.connection.handleText(player.now, server);
      if (broken) {
        player.connection.handleDisconnected(player.now, 1006, "");
        take();
        player.connection.handleConnected(player.now, dialect);
      }
      take();
    }
    assert.deepEqual(sent, frames);
  });
}

test("the sub-protocol that the server chooses decides the dialect", () => {
  for (const { chosen, dialect } of readSamples("handshakes")) {
    const platform = new FakePlatform();
    platform.client();
    platform.socket.accept(chosen ?? "");
    assert.equal(platform.socket.sent.length, dialect === "v1" ? 1 : 0, chosen);
  }
});
