// aaw-js 0.1.0 (MIT). Generated from the modules in aaw-js/aaw.
"use strict";
var __defProp = Object.defineProperty;
var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __hasOwnProp = Object.prototype.hasOwnProperty;
var __export = (target, all) => {
  for (var name in all) __defProp(target, name, { get: all[name], enumerable: true });
};
var __copyProps = (to, from, except, desc) => {
  if (from && typeof from === "object" || typeof from === "function") {
    for (let key of __getOwnPropNames(from)) if (!__hasOwnProp.call(to, key) && key !== except) __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
  }
  return to;
};
var __toCommonJS = (mod) => __copyProps(__defProp({}, "__esModule", { value: true }), mod);
var aaw_exports = {};
__export(aaw_exports, { CallError: () => CallError, default: () => aaw_default, http: () => http, sse: () => sse });
module.exports = __toCommonJS(aaw_exports);
var NOT_SENT = { sent: false, taken: false };
var CallError = class extends Error {
  constructor({ error, code = "handler", data }, { sent, taken = false, cause }) {
    const text2 = typeof error === "object" ? JSON.stringify(error, bigIntAsText) : String(error);
    super(text2, cause === void 0 ? void 0 : { cause });
    this.name = cause instanceof Error && code === "cancelled" ? cause.name : "CallError";
    this.error = error;
    this.code = code;
    this.sent = sent;
    this.taken = taken;
    this.data = data;
    for (const hidden of ["name", "sent", "taken", ...data === void 0 ? ["data"] : []]) {
      Object.defineProperty(this, hidden, { enumerable: false });
    }
  }
};
var bigIntAsText = (_, value) => typeof value === "bigint" ? String(value) : value;
var cancelled = (cause, delivery) => new CallError({ error: "The call was cancelled", code: "cancelled" }, { ...delivery, cause });
var outcomeUnknown = (reason, known) => new CallError({ error: `The outcome is unknown: ${reason}`, code: "outcome_unknown" }, { sent: true, ...known });
var readFailure = (data) => {
  if (typeof data !== "object" || data === null || !("error" in data) || typeof data.error !== "string") {
    return { error: "The call failed with a malformed error", code: "bad_frame" };
  }
  const { error } = data;
  return { error, code: "code" in data && typeof data.code === "string" ? data.code : void 0, data: "data" in data ? data.data : void 0 };
};
var onAbort = (signal, callback) => {
  if (!signal) return () => {
  };
  const listener = () => callback(signal.reason);
  if (signal.aborted) listener();
  else signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
};
var bindMethods = (object2, ...names) => {
  for (const name of names) {
    const method = object2[name];
    if (typeof method === "function") Object.defineProperty(object2, name, { value: method.bind(object2) });
  }
};
var MAX_SHOWN = 40;
var describe = (value) => {
  if (typeof value === "string") {
    return `the string ${JSON.stringify(value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}\u2026` : value)}`;
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "symbol") return "a symbol";
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  if (value instanceof Promise) return "a promise";
  return typeof value === "object" && value !== null ? "an object" : String(value);
};
var invalid = (name, expected, value) => new TypeError(`aaw: ${name} must be ${expected}, got ${describe(value)}`);
var invalidSecret = (name, expected, value) => new TypeError(`aaw: ${name} must be ${expected}, got ${typeof value === "string" ? "another string" : describe(value)}`);
var duration = (name, value, fallback, infinity = "for none") => {
  if (value === void 0 || value === null) return fallback;
  if (typeof value === "number" && value > 0) return value;
  throw invalid(name, `a positive number of ms, or Infinity ${infinity}`, value);
};
var finiteDuration = (name, value, fallback) => {
  if (value === void 0 || value === null) return fallback;
  if (typeof value === "number" && value > 0 && value < Infinity) return value;
  throw invalid(name, "a positive, finite number of ms", value);
};
var limit = (name, value, fallback) => {
  if (value === void 0 || value === null) return fallback;
  if (value === Infinity || Number.isInteger(value) && Number(value) > 0) return Number(value);
  throw invalid(name, "a positive integer, or Infinity for no limit", value);
};
var integer = (name, value, fallback, max) => {
  if (value === void 0 || value === null) return fallback;
  if (Number.isInteger(value) && Number(value) > 0 && Number(value) <= max) return Number(value);
  throw invalid(name, `an integer from 1 to ${max}`, value);
};
var flag = (name, value, fallback = false) => {
  if (value === void 0 || value === null) return fallback;
  if (typeof value === "boolean") return value;
  throw invalid(name, "true or false", value);
};
var text = (name, value, fallback) => {
  if (value === void 0 || value === null) return fallback;
  if (typeof value === "string") return value;
  throw invalid(name, "a string", value);
};
var secret = (name, value, max) => {
  if (value === void 0 || value === null || value === "") return null;
  if (typeof value === "string" && value.length <= max) return value;
  throw invalidSecret(name, `a string of at most ${max} characters`, value);
};
var optionalFunction = (name, value) => {
  if (value === void 0 || value === null) return void 0;
  if (typeof value === "function") return value;
  throw invalid(name, "a function", value);
};
var requireFunction = (name, value) => {
  if (typeof value !== "function") throw invalid(name, "a function", value);
};
var requireEventName = (value) => {
  if (typeof value !== "string") throw invalid("the name of an event", "a string", value);
};
var object = (name, value, expected = "an object") => {
  if (value === void 0 || value === null) return {};
  if (typeof value === "object" && !Array.isArray(value)) return value;
  throw invalid(name, expected, value);
};
var abortSignal = (value) => {
  if (value === void 0 || value === null) return void 0;
  if (isAbortSignal(value)) return value;
  throw invalid("the option `signal`", "an AbortSignal", value);
};
var isAbortSignal = (value) => typeof value === "object" && value !== null && "aborted" in value && typeof value.aborted === "boolean" && "addEventListener" in value && typeof value.addEventListener === "function";
var rejectSignal = (options) => {
  if (isAbortSignal(options)) throw new TypeError("aaw: pass the AbortSignal as { signal }");
};
var callOptions = (options, defaultTimeout) => {
  if (typeof options === "number") return { timeout: duration("the timeout", options, defaultTimeout), signal: void 0 };
  rejectSignal(options);
  const { timeout, signal } = object("the options of a call", options, "a timeout in ms or an object");
  return { timeout: duration("the option `timeout`", timeout, defaultTimeout), signal: abortSignal(signal) };
};
var streamOptions = (options) => {
  rejectSignal(options);
  const given = object("the options of a stream", options);
  if ("timeout" in given && given.timeout !== void 0) {
    throw new TypeError("aaw: a stream has no timeout; pass { signal: AbortSignal.timeout(ms) }");
  }
  return { signal: abortSignal(given.signal) };
};
var closeEvent = (code, reason, wasClean = false) => {
  const init = { code, reason, wasClean };
  if (typeof CloseEvent === "function") return new CloseEvent("close", init);
  return Object.assign(new Event("close"), init);
};
var MAX_RETRY_AFTER = 36e5;
var ReconnectDelays = class {
  #backoff;
  #random;
  #failures = 0;
  constructor(backoff2, random) {
    this.#backoff = backoff2;
    this.#random = random;
  }
  handleConnectionEnded(duration2) {
    if (duration2 >= this.#backoff.max) this.reset();
  }
  reset() {
    this.#failures = 0;
  }
  resumingDelay() {
    const delay = this.nextDelay();
    return this.#failures === 1 ? 0 : delay;
  }
  nextDelay(hint = null) {
    const { min, max, factor, refused } = this.#backoff;
    const delay = Math.min(min * factor ** this.#failures, max) * this.#random();
    this.#failures += 1;
    if (hint === "refused") return refused / 2 * (1 + this.#random());
    return Math.min(hint ?? 0, MAX_RETRY_AFTER) + delay;
  }
};
var SLOTS = 512;
var IdTable = class {
  #slots = new Array(SLOTS).fill(null);
  #others = /* @__PURE__ */ new Map();
  #size = 0;
  get size() {
    return this.#size;
  }
  add(id, value) {
    const slot = id % SLOTS;
    if (this.#slots[slot] === null) this.#slots[slot] = value;
    else this.#others.set(id, value);
    this.#size += 1;
  }
  get(id) {
    const value = this.#slots[id % SLOTS];
    if (value?.id === id) return value;
    return this.#others.size ? this.#others.get(id) : void 0;
  }
  delete(id) {
    const slot = id % SLOTS;
    if (this.#slots[slot]?.id === id) this.#slots[slot] = null;
    else this.#others.delete(id);
    this.#size -= 1;
  }
  values() {
    const values = [...this.#slots.filter((value) => value !== null), ...this.#others.values()];
    return values.sort((a, b) => Number(a.id) - Number(b.id));
  }
};
var WaitQueue = class {
  #first = null;
  #last = null;
  #bytes = { calls: 0, sends: 0 };
  #limits;
  constructor(limits) {
    this.#limits = limits;
  }
  push(item) {
    const kind = item.call ? "calls" : "sends";
    const limit2 = this.#limits[kind];
    if (this.#bytes[kind] > 0 && this.#bytes[kind] + item.message.size > limit2) {
      const error = `The queue of messages that wait for the connection is full (limit: ${limit2} bytes)`;
      throw new CallError({ error, code: "busy" }, { sent: false });
    }
    this.#bytes[kind] += item.message.size;
    item.previous = this.#last;
    item.next = null;
    if (this.#last) this.#last.next = item;
    else this.#first = item;
    this.#last = item;
  }
  get first() {
    return this.#first;
  }
  *messages() {
    for (let item = this.#first; item; item = item.next ?? null) yield item;
  }
  *calls() {
    for (const { call } of this.messages()) if (call) yield call;
  }
  remove(item) {
    const { previous = null, next = null } = item;
    item.previous = item.next = null;
    if (previous) previous.next = next;
    else this.#first = next;
    if (next) next.previous = previous;
    else this.#last = previous;
    this.#bytes[item.call ? "calls" : "sends"] -= item.message.size;
  }
};
var CallTable = class {
  #written = new IdTable();
  #queue;
  #nextId = 1;
  #firstId = 1;
  #nextDeadline = Infinity;
  constructor(limits) {
    this.#queue = new WaitQueue(limits);
  }
  addQueued(call, message) {
    const queued = { message, call };
    this.#queue.push(queued);
    call.queued = queued;
    this.#addDeadline(call);
  }
  addWritten(call) {
    this.#addDeadline(call);
    return this.#assignId(call);
  }
  addSend(message) {
    this.#queue.push({ message, call: null });
  }
  get firstQueued() {
    return this.#queue.first;
  }
  removeSend(item) {
    this.#queue.remove(item);
  }
  markWritten(call) {
    this.#removeQueued(call);
    return this.#assignId(call);
  }
  remove(call) {
    call.isOver = true;
    if (call.id === null) this.#removeQueued(call);
    else this.#written.delete(call.id);
  }
  #removeQueued(call) {
    if (call.queued) this.#queue.remove(call.queued);
    call.queued = null;
  }
  #addDeadline(call) {
    if (call.deadline < this.#nextDeadline) this.#nextDeadline = call.deadline;
  }
  #assignId(call) {
    const id = this.allocateId();
    call.id = id;
    this.#written.add(id, call);
    return id;
  }
  allocateId() {
    const id = this.#nextId;
    this.#nextId += 1;
    return id;
  }
  wasAllocated(id) {
    return id < this.#nextId;
  }
  isOfEarlierPage(id) {
    return id < this.#firstId;
  }
  get nextId() {
    return this.#nextId;
  }
  resetIds(id = 1) {
    this.#nextId = id;
    this.#firstId = id;
  }
  byId(id) {
    return this.#written.get(id);
  }
  get inFlight() {
    return this.#written.size;
  }
  written() {
    return this.#written.values();
  }
  queue() {
    return this.#queue.messages();
  }
  queued() {
    return [...this.#queue.calls()];
  }
  pollTimeout() {
    return this.#nextDeadline;
  }
  expired(now) {
    if (now < this.#nextDeadline) return [];
    this.#nextDeadline = Infinity;
    const expired = [];
    for (const call of [...this.written(), ...this.queued()]) {
      if (call.deadline <= now) expired.push(call);
      else this.#addDeadline(call);
    }
    return expired;
  }
};
var toJson = (value) => {
  try {
    return replaceLoneSurrogates(stringify(value) ?? "null");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const error = `The payload cannot be serialized to JSON: ${reason}`;
    throw new CallError({ error, code: "bad_body" }, { sent: false, cause });
  }
};
var fromJson = (json, bigint) => bigint && /\d{16}/.test(json) ? parseBigInts(json) : JSON.parse(json);
var encoder = new TextEncoder();
var byteLength = (text2) => encoder.encode(text2).length;
var exceeds = (text2, limit2) => text2.length * 3 > limit2 && byteLength(text2) > limit2;
var wellFormed = (text2) => JSON.parse(replaceLoneSurrogates(JSON.stringify(text2)));
var replaceLoneSurrogates = (json) => json.includes("\\ud") ? json.replace(/\\(?:ud[0-9a-f]{3}|[^])/g, (escape) => escape.length > 2 ? "\uFFFD" : escape) : json;
var prefix;
var integerPrefix = () => prefix ??= `aaw-integer-${crypto.getRandomValues(new Uint32Array(4)).join("-")}:`;
var stringify = (value) => {
  try {
    return JSON.stringify(value);
  } catch (error) {
    const start = integerPrefix();
    let hasBigInt = false;
    const json = JSON.stringify(value, (_, part) => {
      if (typeof part !== "bigint") return part;
      hasBigInt = true;
      return `${start}${part}`;
    });
    if (!hasBigInt) throw error;
    return json.replace(new RegExp(`"${start}(-?\\d+)"`, "g"), "$1");
  }
};
var MAX_DIGITS = 1e3;
var parseBigInts = (json) => {
  const start = integerPrefix();
  try {
    return JSON.parse(quoteBigIntegers(json, start), (_, value) => typeof value === "string" && value.startsWith(start) ? BigInt(value.slice(start.length)) : value);
  } catch {
    return JSON.parse(json);
  }
};
var quoteBigIntegers = (json, start) => {
  let result = "";
  let copied = 0;
  const token = /"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  for (let match = token.exec(json); match; match = token.exec(json)) {
    const [found] = match;
    if (found === '"') {
      token.lastIndex = endOfString(json, token.lastIndex);
    } else if (found.length >= 16 && found.length <= MAX_DIGITS && /^-?\d+$/.test(found) && !Number.isSafeInteger(Number(found))) {
      result += `${json.slice(copied, match.index)}"${start}${found}"`;
      copied = token.lastIndex;
    }
  }
  return result + json.slice(copied);
};
var endOfString = (json, from) => {
  for (let quote = json.indexOf('"', from); quote >= 0; quote = json.indexOf('"', quote + 1)) {
    let backslashes = 0;
    while (json[quote - 1 - backslashes] === "\\") backslashes += 1;
    if (backslashes % 2 === 0) return quote + 1;
  }
  return json.length;
};
var BadFrame = class extends Error {
};
var FRAME_OVERHEAD = 96;
var decodeFrame = (text2, bigint) => {
  let frame;
  try {
    frame = fromJson(text2, bigint);
  } catch (error) {
    throw new BadFrame(`not JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (!Array.isArray(frame)) throw new BadFrame("expected a JSON array [event, data, id, kind, meta]");
  if (frame.length < 1 || frame.length > 5) throw new BadFrame(`expected 1 to 5 elements, got ${frame.length}`);
  const event = frame[0];
  const kind = frame[3];
  if (typeof event !== "string") throw new BadFrame("the event (element 1) must be a string");
  if (kind !== void 0 && typeof kind !== "string") throw new BadFrame("the kind (element 4) must be a string");
  return { event, data: frame[1] ?? null, id: frame[2] ?? null, kind: kind ?? null };
};
var encodeFrame = (event, json, id, kind) => `[${toJson(event)},${json},${id}${kind ? `,"${kind}"` : ""}]`;
var MAX_RUNNING = 1024;
var ClientCalls = class {
  #outputs;
  #writer;
  #running = /* @__PURE__ */ new Map();
  #lastId = 0;
  constructor(outputs, writer) {
    this.#outputs = outputs;
    this.#writer = writer;
  }
  handleFrame({ event, data, kind }, id) {
    if (kind === "cancel") {
      if (id < this.#lastId) throw new BadFrame(`cancel for client call ${id}, which was never made`);
      const call2 = this.#running.get(id);
      this.#running.delete(id);
      if (call2) this.#outputs.push({ type: "clientCallCancelled", call: call2 });
      return;
    }
    if (kind !== null && kind !== "call") throw new BadFrame(`kind ${JSON.stringify(kind)} for client call ${id}`);
    if (id >= this.#lastId) throw new BadFrame(`the id of client call ${id} was used before`);
    this.#lastId = id;
    const call = { id, event };
    this.#running.set(id, call);
    if (this.#running.size <= MAX_RUNNING) this.#outputs.push({ type: "clientCall", call, data });
    else this.respondError(call, { error: `${MAX_RUNNING} client calls are running already`, code: "busy" });
  }
  respond(call, json, maxMessage) {
    const overhead = byteLength(call.event) + FRAME_OVERHEAD;
    if (exceeds(json, maxMessage - overhead)) {
      const size = byteLength(json) + overhead;
      const error = `The response is too large: up to ${size} bytes, the limit is ${maxMessage}`;
      this.respondError(call, { error, code: "too_large" });
    } else if (this.#finish(call)) {
      this.#writer.send(encodeFrame(call.event, json, call.id));
    }
  }
  respondError(call, failure) {
    if (this.#finish(call)) this.#writer.send(encodeFrame(call.event, toJson(failure), call.id, "error"));
  }
  cancelAll() {
    for (const call of this.#running.values()) this.#outputs.push({ type: "clientCallCancelled", call });
    this.#running.clear();
  }
  reset(lastId = 0) {
    this.#running.clear();
    this.#lastId = lastId;
  }
  get lastId() {
    return this.#lastId;
  }
  running() {
    return [...this.#running.values()];
  }
  #finish(call) {
    return this.#running.get(call.id) === call && this.#running.delete(call.id);
  }
};
var EncodedMessage = class {
  #size = null;
  constructor(event, head) {
    this.event = event;
    this.head = head;
  }
  get size() {
    return this.#size ??= byteLength(this.head) + FRAME_OVERHEAD;
  }
  isLargerThan(limit2) {
    return exceeds(this.head, limit2 - FRAME_OVERHEAD);
  }
};
var encodeMessage = (event, payload) => {
  if (typeof event !== "string") {
    const error = `The name of an event must be a string, not ${typeof event}`;
    throw new CallError({ error, code: "bad_frame" }, { sent: false });
  }
  if (RESERVED_NAMES.has(event)) {
    throw new CallError({ error: `The event name ${event} is reserved`, code: "bad_frame" }, { sent: false });
  }
  const name = toJson(event);
  return new EncodedMessage(name === `"${event}"` ? event : wellFormed(event), `[${name},${toJson(payload)}`);
};
var RESERVED_NAMES = new Set(["hello", "welcome", "error", "ping", "pong", "ack", "gap"].map((name) => `aaw/${name}`));
var oneWayFrame = ({ head }) => `${head}]`;
var callFrame = ({ head }, id, { upload, credit }) => {
  if (!upload && credit === null) return `${head},${id}]`;
  const meta = { in: upload || void 0, credit: credit ?? void 0 };
  return `${head},${id},"call",${JSON.stringify(meta)}]`;
};
var MAX_CALLS_PER_EVENT = 4096;
var DEFAULT_GRACE = 3e3;
var FifoMatcher = class {
  #events = /* @__PURE__ */ new Map();
  #isEnabled = true;
  handleCallWritten(event, id) {
    if (!this.#isEnabled) return;
    const calls = this.#events.get(event) ?? [];
    if (calls.length === MAX_CALLS_PER_EVENT) calls.shift();
    calls.push({ id, expires: Infinity });
    this.#events.set(event, calls);
  }
  handleCallAbandoned(now, event, id, timeout) {
    const call = this.#events.get(event)?.find((call2) => call2.id === id);
    if (call) call.expires = now + (timeout === Infinity ? DEFAULT_GRACE : timeout);
  }
  match(now, event) {
    const calls = this.#events.get(event)?.filter(({ expires }) => now < expires) ?? [];
    const id = calls.shift()?.id;
    if (calls.length) this.#events.set(event, calls);
    else this.#events.delete(event);
    return id;
  }
  disable() {
    this.#isEnabled = false;
    this.#events.clear();
  }
  reset() {
    this.#isEnabled = true;
    this.#events.clear();
  }
};
var FrameWriter = class {
  #outputs;
  #resumption = null;
  #isWelcomed = false;
  now = 0;
  constructor(outputs) {
    this.#outputs = outputs;
  }
  get welcomed() {
    return this.#isWelcomed ? this.#resumption : null;
  }
  begin(resumption) {
    this.#resumption = resumption;
    this.#isWelcomed = true;
  }
  restore(resumption) {
    this.#resumption = resumption;
  }
  handleInterrupted() {
    this.#isWelcomed = false;
  }
  resume() {
    this.#isWelcomed = true;
    for (const text2 of this.#resumption?.sent.unacknowledged() ?? []) this.#outputs.send(text2);
  }
  end() {
    this.#resumption = null;
    this.#isWelcomed = false;
  }
  send(text2) {
    if (this.#resumption === null) {
      this.#outputs.send(text2);
      return 0;
    }
    const number = this.#resumption.sent.add(text2);
    if (this.#isWelcomed) {
      if (this.#resumption.received.isDueWithMessage(this.now)) this.acknowledge();
      this.#outputs.send(text2);
    }
    return number;
  }
  sendUncounted(text2) {
    this.#outputs.send(text2);
  }
  acknowledge() {
    if (this.#resumption === null) return;
    this.#outputs.send(`["aaw/ack",${this.#resumption.received.count}]`);
    this.#resumption.received.handleAcknowledged();
  }
};
var PROBE_TIMEOUT = 5e3;
var LATE = 500;
var Heartbeat = class {
  #interval;
  #lastActivity;
  #isPingPending = false;
  #nextCheck;
  #isExtended = false;
  constructor(interval, now) {
    this.#interval = interval;
    this.#lastActivity = now;
    this.#nextCheck = now + interval;
  }
  handleActivity(now) {
    this.#lastActivity = now;
    this.#isPingPending = false;
  }
  probe(now) {
    this.#lastActivity = now;
    this.#isPingPending = true;
    this.#nextCheck = now + Math.min(this.#interval, PROBE_TIMEOUT);
  }
  expectActivity(now, timeout) {
    const isPingNeeded = !this.#isPingPending;
    this.#isPingPending = true;
    this.#nextCheck = isPingNeeded ? now + timeout : Math.min(this.#nextCheck, now + timeout);
    return isPingNeeded;
  }
  get lastActivity() {
    return this.#lastActivity;
  }
  pollTimeout() {
    return this.#nextCheck;
  }
  handleTimeout(now) {
    if (now < this.#nextCheck) return "idle";
    if (this.#isPingPending) {
      const isLate = now - this.#nextCheck > LATE && !this.#isExtended;
      this.#isExtended = isLate;
      if (!isLate) return "timedOut";
      this.#nextCheck = now + LATE;
      return "idle";
    }
    const due = this.#lastActivity + this.#interval;
    if (now < due) {
      this.#nextCheck = due;
      return "idle";
    }
    this.#isPingPending = true;
    this.#lastActivity = now;
    this.#nextCheck = now + this.#interval;
    return "ping";
  }
};
var LOGIN_EVENTS = /* @__PURE__ */ new Set(["aaw/login", "aaw/register", "aaw/resume", "aaw/password/set-new"]);
var MAX_TOKEN_LENGTH = 1024;
var TokenStore = class {
  token;
  identity = null;
  constructor(token) {
    this.token = token !== null && token.length <= MAX_TOKEN_LENGTH ? token : null;
  }
  restore(token, identity) {
    this.token = token;
    this.identity = token === null ? null : identity;
  }
  handleResponse(event, data) {
    if (event === "aaw/logout") return this.clear();
    if (!LOGIN_EVENTS.has(event) || typeof data !== "object" || data === null) return false;
    if (!("token" in data) || typeof data.token !== "string") return false;
    this.token = data.token;
    const user = "user" in data ? data.user : null;
    this.identity = typeof user === "object" && user !== null ? user : null;
    return true;
  }
  clear() {
    const hadSession = this.token !== null || this.identity !== null;
    this.token = null;
    this.identity = null;
    return hadSession;
  }
};
var isSessionEnded = ({ error, code }) => code === "not_authenticated" || error === "Session expired" || error === "Not authenticated";
var RESUME = "aaw/resume";
var LOGOUT = "aaw/logout";
var SESSION_ENDING_EVENTS = /* @__PURE__ */ new Set([LOGOUT, "aaw/password/set-new"]);
var LoginState = class {
  #tokens;
  #outputs;
  #resume = null;
  constructor(token, outputs) {
    this.#tokens = new TokenStore(token);
    this.#outputs = outputs;
  }
  get token() {
    return this.#tokens.token;
  }
  get identity() {
    return this.#tokens.identity;
  }
  restore(token, identity) {
    this.#tokens.restore(token, identity);
  }
  get isResuming() {
    return this.#resume !== null && !this.#resume.isLate;
  }
  get hasResumeCall() {
    return this.#resume !== null;
  }
  isResumeCall(id) {
    return this.#resume?.id === id;
  }
  handleResumeWritten(id, token) {
    this.#resume = { id, token, deadline: Infinity, isLate: false };
  }
  setResumeDeadline(deadline) {
    if (this.#resume) this.#resume.deadline = deadline;
  }
  handleResumeDone(result) {
    const token = this.#resume?.token;
    this.#resume = null;
    if (result.type === "response") {
      this.handleResponse(RESUME, result.data);
    } else if (result.type === "failed") {
      const { error, code, data } = result.error;
      if (!isSessionEnded(result.error)) this.#outputs.warn({ error: `The session was not resumed: ${error}`, code, data });
      else if (this.#tokens.token === token) this.#endSession({ error, code, data });
    }
  }
  dropResumeCall() {
    this.#resume = null;
  }
  pollTimeout() {
    return this.#resume?.deadline ?? Infinity;
  }
  handleTimeout(now) {
    if (!this.#resume || this.#resume.isLate || this.#resume.deadline > now) return;
    this.#resume.isLate = true;
    this.#resume.deadline = Infinity;
    this.#outputs.warn({ error: "The session is not resumed yet", code: "timeout" });
  }
  handleSessionEnded(data, events) {
    const isOwn = events.some((event) => SESSION_ENDING_EVENTS.has(event));
    if (isOwn) this.#clear();
    else this.#endSession({ error: "Session expired", code: "not_authenticated", data });
  }
  handleCallDone(event, result) {
    if (result.type === "response") this.handleResponse(event, result.data);
    else if (result.type === "failed" && event === LOGOUT && isSessionEnded(result.error)) this.#clear();
  }
  handleResponse(event, data) {
    if (this.#tokens.handleResponse(event, data)) this.#reportToken();
  }
  #endSession(failure) {
    this.#clear();
    this.#outputs.push({ type: "unauthorized", error: new CallError(failure, { sent: true }) });
  }
  #clear() {
    if (this.#tokens.clear()) this.#reportToken();
  }
  #reportToken() {
    this.#outputs.push({ type: "tokenChanged", token: this.#tokens.token });
  }
};
var failedByServer = (failure) => ({ type: "failed", error: new CallError(failure, { sent: true, taken: true }), isFromServer: true });
var OutputQueue = class {
  #outputs = [];
  get isEmpty() {
    return this.#outputs.length === 0;
  }
  push(output) {
    this.#outputs.push(output);
  }
  send(text2) {
    this.#outputs.push({ type: "send", text: text2 });
  }
  warn(failure) {
    this.#outputs.push({ type: "warning", error: new CallError(failure, { sent: false }) });
  }
  fail(observer, error) {
    this.#outputs.push({ type: "callDone", observer, result: { type: "failed", error, isFromServer: false } });
  }
  shift() {
    return this.#outputs.shift();
  }
  discardFrames() {
    this.#outputs = this.#outputs.filter(({ type }) => type !== "send" && type !== "close");
  }
};
var MAX_MESSAGES = 64;
var MAX_LENGTH = Math.floor((64 << 10) / 3);
var LEADING_MESSAGES = 32;
var LEADING_LENGTH = 16 << 10;
var LEADING_AGE = 1e3;
var MAX_AGE = 1e4;
var MAX_AGE_IF_LARGE = 1e3;
var LARGE_LENGTH = 4 << 10;
var ReceivedCount = class {
  #count;
  #acknowledged;
  #length = 0;
  #oldest = Infinity;
  constructor(count = 0) {
    this.#count = count;
    this.#acknowledged = count;
  }
  get count() {
    return this.#count;
  }
  handleMessage(now, length, messages = 1) {
    this.#count += messages;
    this.#length += length;
    if (this.#oldest === Infinity) this.#oldest = now;
  }
  handleAcknowledged() {
    this.#acknowledged = this.#count;
    this.#length = 0;
    this.#oldest = Infinity;
  }
  get isDue() {
    return this.#count - this.#acknowledged >= MAX_MESSAGES || this.#length >= MAX_LENGTH;
  }
  isDueWithMessage(now) {
    return this.#count - this.#acknowledged >= LEADING_MESSAGES || this.#length >= LEADING_LENGTH || now - this.#oldest >= LEADING_AGE;
  }
  pollTimeout() {
    return this.#oldest + (this.#length >= LARGE_LENGTH ? MAX_AGE_IF_LARGE : MAX_AGE);
  }
};
var MAX_FORGOTTEN = 1024;
var SentLog = class {
  #texts = [];
  #first = 0;
  #acknowledged = 0;
  #size = 0;
  constructor(acknowledged = 0, texts = []) {
    this.#acknowledged = acknowledged;
    for (const text2 of texts) this.add(text2);
  }
  get sent() {
    return this.#acknowledged + this.#texts.length - this.#first;
  }
  get acknowledged() {
    return this.#acknowledged;
  }
  get isEmpty() {
    return this.#first === this.#texts.length;
  }
  get size() {
    return this.#size;
  }
  add(text2) {
    this.#texts.push(text2);
    this.#size += text2.length;
    return this.sent;
  }
  acknowledge(number) {
    for (; this.#acknowledged < number; this.#acknowledged += 1) {
      this.#size -= this.#texts[this.#first].length;
      this.#texts[this.#first] = "";
      this.#first += 1;
    }
    if (this.#first === this.#texts.length || this.#first >= MAX_FORGOTTEN && this.#first * 2 >= this.#texts.length) {
      this.#texts.splice(0, this.#first);
      this.#first = 0;
    }
  }
  unacknowledged() {
    return this.#texts.slice(this.#first);
  }
};
var OVER = /* @__PURE__ */ new Set([1001, 1002, 1007, 1008, 1009, 1013, 4001]);
var WILL_RESUME = 4002;
var isOver = (code) => OVER.has(code);
var UNCOUNTED = new Set(["hello", "welcome", "ack", "ping", "pong"].map((name) => `aaw/${name}`));
var isCounted = ({ event, id }) => id !== null || !event.startsWith("aaw/") || !UNCOUNTED.has(event);
var randomKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
var beginningHello = (key) => hello({ key });
var hello = (resumption) => `["aaw/hello",${JSON.stringify({ resumption })}]`;
var MAX_SILENCES = 3;
var Resumption = class _Resumption {
  #key;
  #terms;
  #attempts = 0;
  sent = new SentLog();
  received = new ReceivedCount();
  wasOpened = false;
  isRestored = false;
  deadline = Infinity;
  #isUnproven = false;
  silences = 0;
  constructor(key, terms) {
    this.#key = key;
    this.#terms = terms;
  }
  static restore({ key, attempts, received, acknowledged, sent, window, log }, deadline) {
    const resumption = new _Resumption(key, { window, log, received: null });
    resumption.#attempts = attempts;
    resumption.sent = new SentLog(acknowledged, sent);
    resumption.received = new ReceivedCount(received);
    resumption.isRestored = true;
    resumption.deadline = deadline;
    return resumption;
  }
  save(next) {
    const { window, log } = this.#terms;
    const { acknowledged } = this.sent;
    const sent = [...this.sent.unacknowledged(), ...next];
    return { key: this.#key, attempts: this.#attempts, received: this.received.count, acknowledged, sent, window, log };
  }
  remaining(now) {
    return Math.min(this.#terms.window, this.deadline - now);
  }
  get isUnannounced() {
    return this.isRestored && !this.wasOpened;
  }
  isTaken(number) {
    return number <= this.sent.acknowledged;
  }
  get isFull() {
    return this.sent.size > this.#terms.log;
  }
  hello(next, token) {
    this.#attempts += 1;
    const received = this.received.count;
    return hello({ key: this.#key, resume: true, received, attempt: this.#attempts, token: token ?? void 0, next });
  }
  handleInterrupted(now) {
    this.#isUnproven = true;
    if (this.deadline === Infinity) this.deadline = now + this.#terms.window;
  }
  handleResumed(terms) {
    const { received } = terms;
    if (received === null || received < this.sent.acknowledged || received > this.sent.sent) return false;
    this.#terms = terms;
    this.sent.acknowledge(received);
    this.received.handleAcknowledged();
    if (this.sent.isEmpty) this.deadline = Infinity;
    return true;
  }
  handleProgress() {
    const isFirst = this.#isUnproven;
    this.deadline = Infinity;
    this.silences = 0;
    this.#isUnproven = false;
    return isFirst;
  }
  handleSilence() {
    this.silences = Math.min(this.silences + 1, MAX_SILENCES);
  }
};
var PAGE_LEFT_FAILURE = { error: "The page was left", code: "no_connection" };
var PageHandover = class {
  #calls;
  #clientCalls;
  #login;
  #writer;
  #cancelled = /* @__PURE__ */ new Set();
  constructor(calls, clientCalls, login, writer) {
    this.#calls = calls;
    this.#clientCalls = clientCalls;
    this.#login = login;
    this.#writer = writer;
  }
  save(resumption, maxMessage) {
    return { resumption: resumption.save(this.#lastFrames(maxMessage)), nextId: this.#calls.nextId, lastClientCall: this.#clientCalls.lastId, token: this.#login.token, identity: this.#login.identity };
  }
  #lastFrames(maxMessage) {
    const frames = [];
    for (const { call, message } of this.#calls.queue()) {
      const isSend = call === null || call.isSend;
      if (isSend && !message.isLargerThan(maxMessage)) frames.push(oneWayFrame(message));
    }
    for (const { event, id, upload, credit, isSend } of this.#calls.written()) {
      if (upload || credit !== null && !isSend) frames.push(encodeFrame(event, "null", Number(id), "cancel"));
    }
    for (const { event, id } of this.#clientCalls.running()) {
      frames.push(encodeFrame(event, toJson(PAGE_LEFT_FAILURE), id, "error"));
    }
    return frames;
  }
  restore({ resumption, nextId, lastClientCall, token, isTokenStored, identity }, deadline) {
    const own = this.#login.token;
    if (own !== token && (isTokenStored || own !== null)) return null;
    const restored = Resumption.restore(resumption, deadline);
    this.#writer.restore(restored);
    this.#calls.resetIds(nextId);
    this.#clientCalls.reset(lastClientCall);
    this.#login.restore(token, identity);
    return restored;
  }
  handleFrame({ event, data, kind }, id) {
    if (kind === null) {
      this.#login.handleCallDone(event, { type: "response", data });
    } else if (kind === "error") {
      this.#login.handleCallDone(event, failedByServer(readFailure(data)));
    } else if (kind === "item" && !this.#cancelled.has(id)) {
      this.#cancelled.add(id);
      this.#writer.send(encodeFrame(event, "null", id, "cancel"));
    }
  }
  reset() {
    this.#cancelled.clear();
  }
};
var PendingCall = class {
  id = null;
  queued = null;
  isOver = false;
  number = 0;
  writtenAt = 0;
  #received = 0;
  #uploadCredit = 0;
  #uploaded = 0;
  constructor(observer, message, now, { timeout = Infinity, credit, upload = false, isSend = false }) {
    this.observer = observer;
    this.event = message.event;
    this.timeout = timeout;
    this.deadline = now + timeout;
    this.credit = credit ?? null;
    this.upload = upload;
    this.isSend = isSend;
  }
  grantCredit(items) {
    if (this.credit === null || items <= this.credit) return false;
    this.credit = items;
    return true;
  }
  acceptItem() {
    if (this.credit === null || this.#received >= this.credit) return false;
    this.#received += 1;
    return true;
  }
  grantUploadCredit(items) {
    if (items <= this.#uploadCredit) return false;
    this.#uploadCredit = items;
    return true;
  }
  get uploadCredit() {
    return this.#uploadCredit;
  }
  useUploadCredit() {
    if (this.#uploaded >= this.#uploadCredit) return false;
    this.#uploaded += 1;
    return true;
  }
};
var PROBE_DELAY = 3e3;
var PROBE_PART = 4;
var MAX_PROBE_DELAY = 15e3;
var MAX_PROBED_SIZE = 16 << 10;
var SilenceProbe = class {
  #next = Infinity;
  #unanswered = Infinity;
  handleCallWritten(call, resumption) {
    if (call.credit === null) this.#next = Math.min(this.#next, call.writtenAt + probeDelay(resumption));
  }
  handleCallAbandoned(call, resumption) {
    if (call.credit !== null) return;
    this.#unanswered = Math.min(this.#unanswered, call.writtenAt);
    this.#next = Math.min(this.#next, this.#unanswered + probeDelay(resumption));
  }
  handleActivity() {
    this.#unanswered = Infinity;
  }
  reset() {
    this.#next = Infinity;
    this.#unanswered = Infinity;
  }
  pollTimeout() {
    return this.#next;
  }
  handleTimeout(now, resumption, calls, lastActivity) {
    if (now < this.#next) return null;
    const delay = probeDelay(resumption);
    this.#next = now + delay;
    if (resumption.sent.size >= MAX_PROBED_SIZE) return null;
    const due = Math.min(probeDue(delay, resumption, calls, lastActivity), this.#unanswered + delay);
    if (due <= now) return delay;
    this.#next = due;
    return null;
  }
};
var probeDelay = ({ silences }) => PROBE_DELAY * 2 ** silences;
var probeDue = (delay, resumption, calls, lastActivity) => {
  let [oldest, newestTaken] = [Infinity, -Infinity];
  for (const { credit, number, writtenAt } of calls.written()) {
    if (credit !== null) continue;
    if (resumption.isTaken(number)) newestTaken = Math.max(newestTaken, writtenAt);
    else oldest = Math.min(oldest, writtenAt);
  }
  if (newestTaken === -Infinity) return oldest + delay;
  const part = Math.min((lastActivity - newestTaken) / PROBE_PART, MAX_PROBE_DELAY);
  return Math.min(oldest + delay, Math.max(lastActivity, newestTaken) + Math.max(delay, part));
};
var DEFAULT_LIMITS = { calls: 256, message: 1 << 20 };
var readWelcome = (data) => {
  if (typeof data !== "object" || data === null) throw new BadFrame("the data of aaw/welcome must be an object");
  const connection = "connection" in data && typeof data.connection === "string" ? data.connection : null;
  const limits = "limits" in data && typeof data.limits === "object" && data.limits !== null ? data.limits : {};
  const limit2 = (value, fallback) => typeof value === "number" && value >= 0 ? value : fallback;
  return { connection, limits: { calls: limit2("calls" in limits ? limits.calls : void 0, DEFAULT_LIMITS.calls), message: limit2("message" in limits ? limits.message : void 0, DEFAULT_LIMITS.message) }, resumed: "resumed" in data && data.resumed === true, resumption: "resumption" in data ? readTerms(data.resumption) : null };
};
var readTerms = (data) => {
  if (typeof data !== "object" || data === null) return null;
  const { window, log, received } = data;
  if (typeof window !== "number" || typeof log !== "number") return null;
  return { window, log, received: Number.isSafeInteger(received) ? Number(received) : null };
};
var CLIENT_CLOSED = "The client is closed";
var CLOSED_BY_APPLICATION = "the client was closed";
var PAGE_LEFT_REASON = "the page was left";
var TIMED_OUT = "WebSocket error (client): request timed out";
var NO_UPLOADS = { error: "This server does not support uploads", code: "unreachable" };
var ClientConnection = class {
  #config;
  #phase;
  #delays;
  #dialect = "v1";
  #limits = DEFAULT_LIMITS;
  #isBlocked = false;
  #heartbeat;
  #outputs = new OutputQueue();
  #calls;
  #matcher = new FifoMatcher();
  #writer = new FrameWriter(this.#outputs);
  #clientCalls = new ClientCalls(this.#outputs, this.#writer);
  #resumption = null;
  #createKey;
  #probe = new SilenceProbe();
  #stalledUploads = /* @__PURE__ */ new Set();
  #login;
  #handover;
  #lost = null;
  #lastAttempt = null;
  constructor(config, random, now, createKey = randomKey) {
    this.#config = config;
    this.#createKey = createKey;
    this.#delays = new ReconnectDelays(config.backoff, random);
    this.#calls = new CallTable({ calls: config.maxWaitingCalls, sends: config.maxWaitingSends });
    this.#heartbeat = new Heartbeat(Infinity, now);
    this.#login = new LoginState(config.token, this.#outputs);
    this.#handover = new PageHandover(this.#calls, this.#clientCalls, this.#login, this.#writer);
    this.#phase = this.#connect(now);
  }
  call(now, observer, message, settings = {}) {
    this.#writer.now = now;
    const call = new PendingCall(observer, message, now, settings);
    try {
      this.#checkAccepted(message);
      if (this.#canWriteAtOnce && this.#isPlainCall(call)) this.#writeCall(call, message, this.#calls.addWritten(call));
      else this.#calls.addQueued(call, message);
    } catch (error) {
      if (call.isSend || !(error instanceof CallError)) throw error;
      call.isOver = true;
      this.#outputs.fail(observer, error);
    }
    return call;
  }
  cancel(now, call) {
    this.#writer.now = now;
    return call.isOver ? NOT_SENT : this.#abandon(now, call);
  }
  send(now, message) {
    this.#writer.now = now;
    this.#checkAccepted(message);
    if (this.#canWriteAtOnce) this.#writer.send(oneWayFrame(message));
    else this.#calls.addSend(message);
  }
  grantCredit(now, call, items) {
    this.#writer.now = now;
    if (call.isOver || !call.grantCredit(items)) return;
    if (call.id !== null && this.#dialect === "v1") {
      this.#writer.send(encodeFrame(call.event, `${items}`, call.id, "credit"));
    }
  }
  uploadItem(now, call, json) {
    this.#writer.now = now;
    if (call.isOver || call.id === null) return false;
    if (this.#isDetached || this.#resumption?.isFull) {
      this.#stalledUploads.add(call);
      return false;
    }
    if (!call.useUploadCredit()) return false;
    this.#writer.send(encodeFrame(call.event, json, call.id, "item"));
    return true;
  }
  uploadEnd(now, call) {
    this.#writer.now = now;
    if (call.isOver || call.id === null || this.#dialect !== "v1") return;
    this.#writer.send(encodeFrame(call.event, "null", call.id, "end"));
  }
  respond(now, call, json) {
    this.#writer.now = now;
    this.#clientCalls.respond(call, json, this.maxMessage);
  }
  respondError(now, call, failure) {
    this.#writer.now = now;
    this.#clientCalls.respondError(call, failure);
  }
  close(now) {
    const phase = this.#phase;
    if (phase.name === "closing" || phase.name === "closed") return;
    const until = now + this.#config.closeTimeout;
    if (phase.name === "greeting" && phase.key !== null && phase.welcome === null) {
      this.#endCalls(CLOSED_BY_APPLICATION);
      const unwelcomed = [];
      this.#drainQueue((message) => unwelcomed.push(message));
      this.#phase = { name: "closing", until, unwelcomed };
      return;
    }
    const wasInterrupted = this.isInterrupted;
    this.#endState(CLOSED_BY_APPLICATION);
    if (phase.name === "greeting" || phase.name === "open") {
      this.#drainQueue((message) => this.#writeLast(message));
      this.#outputs.push({ type: "close" });
      this.#phase = { name: "closing", until, unwelcomed: null };
    } else {
      if (wasInterrupted) this.#outputs.push({ type: "over", reason: CLIENT_CLOSED });
      if (phase.name === "connecting") this.#dropSocket(CLIENT_CLOSED, { isReported: wasInterrupted });
      this.#drainQueue(() => {
      });
      this.#finish();
    }
  }
  save(now) {
    if (this.#resumption === null || this.#login.hasResumeCall || this.state === "closed") return null;
    const state = this.#handover.save(this.#resumption, this.maxMessage);
    return { state, remaining: this.#resumption.remaining(now) };
  }
  suspend(now) {
    const phase = this.#phase;
    if (phase.name === "closing" || phase.name === "closed" || phase.name === "suspended") return;
    this.#outputs.discardFrames();
    if (phase.name !== "waiting") this.#dropSocket(PAGE_LEFT_REASON, { willResume: true });
    if (phase.name === "open") {
      this.#lost = PAGE_LEFT_REASON;
      this.#outputs.push({ type: "interrupted", reason: PAGE_LEFT_REASON });
    }
    this.#resumption?.handleInterrupted(now);
    this.#writer.handleInterrupted();
    this.#phase = { name: "suspended" };
  }
  unsuspend(now, isTaken) {
    if (this.#phase.name !== "suspended") return;
    if (isTaken) this.#endInterrupted("another page of the tab has continued the connection");
    this.#delays.reset();
    this.#phase = this.#connect(now);
  }
  restore(now, saved, remaining) {
    if (this.#phase.name !== "connecting" || this.#resumption !== null || !this.#config.resumption) return false;
    this.#resumption = this.#handover.restore(saved, now + Math.min(remaining, saved.resumption.window));
    return this.#resumption !== null;
  }
  get isSuspended() {
    return this.#phase.name === "suspended";
  }
  wake(now) {
    switch (this.#phase.name) {
      case "waiting":
        this.#delays.reset();
        this.#phase = this.#connect(now);
        break;
      case "open":
        if (this.#dialect === "v1") {
          this.#heartbeat.probe(now);
          this.#ping();
        }
    }
  }
  get maxMessage() {
    const server = this.#dialect === "classic" && this.#phase.name === "open" ? Infinity : this.#limits.message;
    return Math.min(this.#config.maxMessage, server);
  }
  get state() {
    switch (this.#phase.name) {
      case "greeting":
        return "connecting";
      case "closing":
        return "closed";
      case "suspended":
        return "waiting";
      default:
        return this.#phase.name;
    }
  }
  get isInterrupted() {
    return this.#isDetached && !this.#resumption?.isUnannounced;
  }
  get isResumable() {
    return this.#resumption !== null && !this.#resumption.isUnannounced;
  }
  get token() {
    return this.#login.token;
  }
  get identity() {
    return this.#login.identity;
  }
  get isBusy() {
    return this.#calls.inFlight > 0 || this.hasQueued || this.#phase.name === "closing";
  }
  get hasQueued() {
    return this.#calls.firstQueued !== null;
  }
  get inFlight() {
    return this.#calls.inFlight;
  }
  handleConnected(now, dialect) {
    if (this.#phase.name !== "connecting") return;
    this.#writer.now = now;
    const key = dialect === "v1" && this.#config.resumption ? this.#createKey() : null;
    if (key === null) this.#endInterrupted("the server no longer resumes connections");
    this.#dialect = dialect;
    this.#isBlocked = false;
    if (this.#resumption === null) this.#resetIds();
    this.#phase = { name: "greeting", since: now, refusal: null, welcome: null, key };
    if (dialect === "v1") {
      this.#heartbeat = new Heartbeat(this.#config.heartbeat, now);
      if (key === null) {
        this.#writer.sendUncounted('["aaw/hello",{}]');
        this.#writeResume();
      } else {
        this.#writer.sendUncounted(this.#resumption?.hello(key, this.#login.token) ?? beginningHello(key));
      }
    } else {
      this.#heartbeat = new Heartbeat(Infinity, now);
      this.#writeResume();
      this.#handleWelcome(now, { connection: null });
    }
  }
  handleConnectFailed(now, reason, hint) {
    if (this.#phase.name !== "connecting") return;
    this.#lastAttempt = reason;
    this.#phase = { name: "waiting", until: now + this.#delays.nextDelay(hint) };
  }
  handleDisconnected(now, code, reason) {
    this.#writer.now = now;
    const ended = code === 1006 ? "the connection broke" : `the server closed the connection (${code})${reason && `: ${reason}`}`;
    const refused = { error: reason || "The server refused the connection", code: "not_allowed" };
    if (this.#phase.name === "greeting" && code === 1008) {
      const refusal = this.#phase.refusal ?? refused;
      if (!this.#phase.refusal) this.#outputs.warn(refusal);
      this.#handleLost(now, ended, { isOver: true, hint: "refused", refusal: new CallError(refusal, NOT_SENT) });
    } else {
      if (this.#phase.name === "open" && this.#dialect === "classic" && code === 1008) this.#outputs.warn(refused);
      this.#handleLost(now, ended, { isOver: isOver(code), hint: code === 1008 ? "refused" : null });
    }
  }
  handleBlocked() {
    this.#isBlocked = true;
  }
  handleWritable() {
    this.#isBlocked = false;
  }
  handleText(now, text2) {
    if (!this.#isConnected()) return;
    this.#writer.now = now;
    this.#heartbeat.handleActivity(now);
    this.#probe.handleActivity();
    let frame = null;
    try {
      frame = decodeFrame(text2, this.#config.bigint);
      if (isCounted(frame)) this.#count(text2.length, frame);
      if (this.#dialect === "v1") this.#handleV1(now, frame);
      else this.#handleClassic(now, frame);
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error;
      if (frame === null) this.#count(text2.length);
      this.#outputs.warn({ error: `The server sent an invalid frame: ${error.message}`, code: "bad_frame" });
    }
  }
  handleBinary(now, size) {
    if (!this.#isConnected()) return;
    this.#writer.now = now;
    this.#count(size);
    this.#heartbeat.handleActivity(now);
    this.#probe.handleActivity();
    this.#outputs.warn({ error: "The server sent an invalid frame: a binary message", code: "bad_frame" });
  }
  handleTimeout(now) {
    this.#writer.now = now;
    this.#probeSilence(now);
    for (const call of this.#calls.expired(now)) {
      const delivery = this.#abandon(now, call);
      const error = delivery.sent ? TIMED_OUT : `${TIMED_OUT}; the call was not sent: ${this.#whyNotSent()}`;
      this.#outputs.fail(call.observer, new CallError({ error, code: "timeout" }, delivery));
    }
    const { welcomed } = this.#writer;
    if (welcomed && welcomed.received.pollTimeout() <= now) this.#writer.acknowledge();
    const phase = this.#phase;
    if ((phase.name === "connecting" || phase.name === "waiting") && this.#resumption && this.#resumption.deadline <= now) {
      this.#endInterrupted(`${this.#lost}; no new connection was made in time`);
    }
    switch (phase.name) {
      case "connecting":
        if (phase.until > now) break;
        this.#outputs.warn({ error: `No connection within ${this.#config.connectTimeout} ms`, code: "no_connection" });
        this.#abort(now, `no connection within ${this.#config.connectTimeout} ms`);
        break;
      case "waiting":
        if (phase.until <= now) this.#phase = this.#connect(now);
        break;
      case "greeting":
        if (!phase.welcome && phase.since + this.#config.connectTimeout <= now) {
          this.#abort(now, "the server sent no aaw/welcome in time");
        } else {
          this.#login.handleTimeout(now);
          this.#openIfReady();
          this.#handleHeartbeat(now);
        }
        break;
      case "open":
        this.#handleHeartbeat(now);
        break;
      case "closing":
        if (phase.until <= now) this.#abort(now, CLIENT_CLOSED);
    }
  }
  pollTimeout() {
    const phase = this.#phase;
    switch (phase.name) {
      case "connecting":
      case "waiting":
        return Math.min(phase.until, this.#resumption?.deadline ?? Infinity, this.#calls.pollTimeout());
      case "closing":
        return Math.min(phase.until, this.#calls.pollTimeout());
      case "suspended":
        return this.#calls.pollTimeout();
      case "greeting":
        return Math.min(phase.welcome ? Infinity : phase.since + this.#config.connectTimeout, this.#login.pollTimeout(), this.#heartbeat.pollTimeout(), this.#calls.pollTimeout(), this.#writer.welcomed?.received.pollTimeout() ?? Infinity);
      case "open":
        return Math.min(this.#heartbeat.pollTimeout(), this.#calls.pollTimeout(), this.#writer.welcomed?.received.pollTimeout() ?? Infinity, this.#probe.pollTimeout());
      case "closed":
        return Infinity;
    }
  }
  pollOutput() {
    while (this.#outputs.isEmpty) if (!this.#writeFirst()) return void 0;
    return this.#outputs.shift();
  }
  #checkAccepted(message) {
    if (this.state === "closed") throw new CallError({ error: CLIENT_CLOSED, code: "no_connection" }, { sent: false });
    const limit2 = this.#phase.name === "open" ? this.maxMessage : this.#config.maxMessage;
    if (message.isLargerThan(limit2)) throw tooLarge(message, limit2);
  }
  get #canWriteAtOnce() {
    return this.#phase.name === "open" && !this.#isBlocked && !this.hasQueued && this.#outputs.isEmpty && !this.#login.isResuming && !this.#resumption?.isFull;
  }
  #isPlainCall(call) {
    return this.#hasFreeSlot() && !(this.#dialect === "classic" && (call.upload || call.isSend));
  }
  #writeFirst() {
    if (this.#isBlocked || this.#phase.name !== "greeting" && this.#phase.name !== "open") return false;
    if (this.#isUnwelcomed(this.#phase) || this.#resumption?.isFull) return false;
    if (this.#login.isResuming) return false;
    const first = this.#calls.firstQueued;
    if (!first || first.call && !this.#hasFreeSlot()) return false;
    const { message, call } = first;
    const fits = !message.isLargerThan(this.maxMessage);
    if (!fits && this.#phase.name === "greeting") return false;
    if (!call) {
      this.#calls.removeSend(first);
      if (fits) this.#writer.send(oneWayFrame(message));
      else this.#warnSendLost(message);
    } else if (!fits) {
      this.#fail(call, tooLarge(message, this.maxMessage));
    } else if (call.upload && this.#dialect === "classic") {
      this.#fail(call, new CallError(NO_UPLOADS, { sent: false }));
    } else if (call.isSend && this.#dialect === "classic") {
      this.#calls.remove(call);
      this.#writer.send(oneWayFrame(message));
    } else {
      this.#writeCall(call, message, this.#calls.markWritten(call));
    }
    return true;
  }
  #writeCall(call, message, id) {
    if (this.#dialect === "classic") {
      this.#matcher.handleCallWritten(call.event, id);
      this.#writer.send(callFrame(message, id, { upload: false, credit: null }));
    } else {
      call.number = this.#writer.send(callFrame(message, id, call));
      call.writtenAt = this.#writer.now;
      if (this.#resumption) this.#probe.handleCallWritten(call, this.#resumption);
    }
  }
  #isUnwelcomed(phase) {
    return phase.name === "greeting" && phase.key !== null && phase.welcome === null;
  }
  #hasFreeSlot() {
    const server = this.#dialect === "classic" ? Infinity : Math.max(this.#limits.calls, 1);
    const inFlight = this.#calls.inFlight + (this.#login.hasResumeCall ? 1 : 0);
    return inFlight < Math.min(this.#config.maxInFlight, server);
  }
  #warnSendLost(message) {
    const { error } = tooLarge(message, this.maxMessage);
    this.#outputs.warn({ error: `The event ${message.event} was not sent. ${error}`, code: "too_large" });
  }
  #ping() {
    this.#writer.sendUncounted('["aaw/ping"]');
  }
  #writeResume() {
    const { token } = this.#login;
    if (token === null) return;
    const id = this.#calls.allocateId();
    this.#login.handleResumeWritten(id, token);
    if (this.#dialect === "classic") this.#matcher.handleCallWritten(RESUME, id);
    this.#writer.send(callFrame(encodeMessage(RESUME, { token }), id, { upload: false, credit: null }));
  }
  #handleV1(now, frame) {
    const { event, data, id, kind } = frame;
    if (id === null) {
      if (kind !== null) throw new BadFrame(`kind ${JSON.stringify(kind)} without an id`);
      if (event === "aaw" || event.startsWith("aaw/")) this.#handleReserved(now, frame);
      else this.#outputs.push({ type: "push", event, data });
      return;
    }
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id === 0) {
      throw new BadFrame("the id (element 3) must be an integer other than 0");
    }
    if (id < 0) {
      if (this.#phase.name !== "closing") this.#clientCalls.handleFrame(frame, id);
      return;
    }
    if (!this.#calls.wasAllocated(id)) throw new BadFrame(`call ${id} was never made`);
    if (this.#calls.isOfEarlierPage(id)) this.#handover.handleFrame(frame, id);
    else this.#handleCallFrame(now, frame, id);
  }
  #handleCallFrame(now, { data, kind }, id) {
    const call = this.#calls.byId(id);
    switch (kind) {
      case null:
        this.#handleResult(id, { type: "response", data });
        break;
      case "error":
        this.#handleResult(id, failedByServer(readFailure(data)));
        break;
      case "item":
        if (call) this.#handleItem(now, call, data);
        break;
      case "end":
        if (call && call.credit === null) throw new BadFrame(`end of a stream for call ${id}, which reads no stream`);
        if (call) this.#done(call, { type: "streamEnded" });
        break;
      case "credit":
        if (typeof data !== "number" || !Number.isInteger(data) || data < 0 || data > 2 ** 53) {
          throw new BadFrame("credit must be an integer from 0 to 2^53");
        }
        if (call && !call.upload) throw new BadFrame(`credit for call ${id}, which has no upload`);
        if (call?.grantUploadCredit(data)) {
          this.#outputs.push({ type: "uploadCredit", observer: call.observer, items: data });
        }
        break;
      default:
        throw new BadFrame(`kind ${JSON.stringify(kind)} for call ${id}`);
    }
  }
  #handleResult(id, result) {
    if (this.#login.isResumeCall(id)) {
      this.#handleResumeDone(result);
      return;
    }
    const call = this.#calls.byId(id);
    if (call) this.#done(call, result);
  }
  #handleItem(now, call, data) {
    if (call.credit === null) throw new BadFrame(`item for call ${call.id}, which reads no stream`);
    if (call.acceptItem()) {
      this.#login.handleResponse(call.event, data);
      this.#outputs.push({ type: "item", observer: call.observer, data });
    } else {
      const error = `The server sent more items than the credit of ${call.credit} allows`;
      this.#abandon(now, call);
      this.#outputs.fail(call.observer, new CallError({ error, code: "bad_frame" }, { sent: true, taken: true }));
    }
  }
  #handleReserved(now, { event, data }) {
    switch (event) {
      case "aaw/error": {
        const failure = readFailure(data);
        if (this.#phase.name === "greeting" && !this.#phase.welcome) this.#phase.refusal = failure;
        this.#outputs.warn(failure);
        if (failure.code === "bad_frame") this.#handleHelloRefused(failure);
        break;
      }
      case "aaw/welcome": {
        const welcome = readWelcome(data);
        this.#limits = welcome.limits;
        this.#handleWelcome(now, welcome);
        break;
      }
      case "aaw/ack":
        this.#handleAcknowledged(data);
        break;
      case "aaw/gap":
        if (this.#writer.welcomed) this.#outputs.push({ type: "gap", lost: readGap(data) });
        break;
      case "aaw/session": {
        const events = this.#calls.written().map((call) => call.event);
        this.#login.handleSessionEnded(data, events);
      }
      case "aaw/joined":
      case "aaw/left":
        this.#outputs.push({ type: "push", event, data });
    }
  }
  #handleWelcome(now, { connection, resumed = false, resumption = null }) {
    const phase = this.#phase;
    if (phase.name === "closing" && phase.unwelcomed) this.#handleLastWelcome(phase, resumed ? resumption : null);
    if (phase.name !== "greeting" || phase.welcome) return;
    phase.welcome = { connection };
    if (phase.key !== null) {
      if (resumed && this.#resumption) {
        if (!resumption || !this.#resumption.handleResumed(resumption)) {
          const reason = "the server resumed another state than that of this connection";
          const isReported = this.isInterrupted;
          this.#endInterrupted(reason);
          this.#abort(now, reason, isReported);
          return;
        }
        this.#handleResumed(now);
      } else {
        this.#endInterrupted("the server has not kept the connection's state");
        if (resumption) this.#writer.begin(this.#resumption = new Resumption(phase.key, resumption));
        this.#writeResume();
      }
    }
    this.#login.setResumeDeadline(now + this.#config.resumeTimeout);
    this.#openIfReady();
  }
  #handleLastWelcome(phase, resumed) {
    if (resumed && this.#resumption?.handleResumed(resumed)) this.#writer.resume();
    else this.#endState(CLOSED_BY_APPLICATION);
    for (const message of phase.unwelcomed ?? []) this.#writeLast(message);
    this.#outputs.push({ type: "close" });
    phase.unwelcomed = null;
    this.#endState(CLOSED_BY_APPLICATION);
  }
  #writeLast(message) {
    if (!message.isLargerThan(this.maxMessage)) this.#writer.send(oneWayFrame(message));
  }
  #handleResumeDone(result) {
    this.#login.handleResumeDone(result);
    this.#openIfReady();
  }
  #openIfReady() {
    if (this.#phase.name !== "greeting" || !this.#phase.welcome || this.#login.isResuming) return;
    this.#lastAttempt = null;
    const { connection } = this.#phase.welcome;
    if (this.#resumption?.wasOpened) this.#outputs.push({ type: "resumed" });
    else this.#outputs.push({ type: "opened", connection, isRestored: this.#resumption?.isRestored ?? false });
    if (this.#resumption) this.#resumption.wasOpened = true;
    this.#phase = { name: "open", since: this.#phase.since };
  }
  get #isDetached() {
    return this.#resumption !== null && this.#writer.welcomed === null && this.state !== "closed";
  }
  #count(length, frame) {
    const { welcomed } = this.#writer;
    if (!welcomed) return;
    welcomed.received.handleMessage(this.#writer.now, length, frame?.event === "aaw/gap" ? countOf(frame) : 1);
    this.#noteProgress(welcomed);
    if (welcomed.received.isDue) this.#writer.acknowledge();
  }
  #noteProgress(welcomed) {
    if (welcomed.handleProgress()) this.#delays.reset();
  }
  #handleAcknowledged(data) {
    const { welcomed } = this.#writer;
    if (!welcomed) return;
    if (typeof data !== "number" || !Number.isInteger(data) || data < 0 || data > 2 ** 53) {
      throw new BadFrame("aaw/ack must have an integer from 0 to 2^53");
    }
    if (data > welcomed.sent.sent) throw new BadFrame(`aaw/ack of ${data} messages, of which ${welcomed.sent.sent} were sent`);
    if (data > welcomed.sent.acknowledged) this.#noteProgress(welcomed);
    welcomed.sent.acknowledge(data);
    this.#continueUploads();
  }
  #handleResumed(now) {
    this.#writer.resume();
    for (const call of this.#calls.written()) call.writtenAt = now;
    this.#continueUploads();
  }
  #continueUploads() {
    if (this.#stalledUploads.size === 0 || this.#resumption?.isFull) return;
    for (const { observer, isOver: isOver2, uploadCredit } of this.#stalledUploads) {
      if (!isOver2) this.#outputs.push({ type: "uploadCredit", observer, items: uploadCredit });
    }
    this.#stalledUploads.clear();
  }
  #handleHelloRefused({ error }) {
    const phase = this.#phase;
    if (phase.name === "closing" && phase.unwelcomed) {
      this.#outputs.send('["aaw/hello",{}]');
      this.#handleLastWelcome(phase, null);
    }
    if (!this.#isDetached || this.#phase.name !== "greeting") return;
    this.#endInterrupted(`the server did not resume the connection: ${error}`);
    this.#phase.refusal = null;
    this.#phase.key = this.#createKey();
    this.#writer.sendUncounted(beginningHello(this.#phase.key));
  }
  #probeSilence(now) {
    if (this.#phase.name !== "open" || this.#resumption === null) return;
    const timeout = this.#probe.handleTimeout(now, this.#resumption, this.#calls, this.#heartbeat.lastActivity);
    if (timeout !== null && this.#heartbeat.expectActivity(now, timeout)) this.#ping();
  }
  #isTaken(call) {
    return this.#resumption?.isTaken(call.number) ?? false;
  }
  #endInterrupted(reason) {
    if (!this.#isDetached) return;
    const wasOpened = this.isInterrupted;
    this.#endState(reason);
    if (wasOpened) this.#outputs.push({ type: "over", reason });
    this.#resetIds();
  }
  #endState(reason, refusal) {
    this.#endCalls(reason, refusal);
    this.#resumption = null;
    this.#writer.end();
  }
  #endCalls(reason, refusal) {
    this.#login.dropResumeCall();
    this.#clientCalls.cancelAll();
    for (const call of this.#calls.written()) {
      this.#fail(call, refusal ?? outcomeUnknown(reason, { taken: this.#isTaken(call) }));
    }
    this.#matcher.reset();
    this.#stalledUploads.clear();
    this.#probe.reset();
  }
  #resetIds() {
    this.#handover.reset();
    this.#calls.resetIds();
    this.#matcher.reset();
    this.#clientCalls.reset();
  }
  #handleClassic(now, { event, data, id, kind }) {
    if (kind !== null) throw new BadFrame(`kind ${JSON.stringify(kind)} on a classic connection`);
    if (id !== null) {
      if (typeof id !== "number" || !Number.isInteger(id) || id < 1 || !this.#calls.wasAllocated(id)) {
        throw new BadFrame(`response with an id that no call has: ${toJson(id).slice(0, 80)}`);
      }
      this.#matcher.disable();
      this.#handleClassicResponse(id, data);
      return;
    }
    const matched = this.#matcher.match(now, event);
    if (matched !== void 0) {
      this.#handleClassicResponse(matched, data);
    } else {
      this.#login.handleResponse(event, data);
      this.#outputs.push({ type: "push", event, data });
    }
  }
  #handleClassicResponse(id, data) {
    const isFailure = typeof data === "object" && data !== null && "error" in data && data.error;
    const call = this.#calls.byId(id);
    if (isFailure) {
      this.#handleResult(id, failedByServer({ error: data.error, code: "handler" }));
    } else if (call && call.credit !== null) {
      this.#login.handleResponse(call.event, data);
      this.#outputs.push({ type: "item", observer: call.observer, data });
      this.#done(call, { type: "streamEnded" });
    } else {
      this.#handleResult(id, { type: "response", data });
    }
  }
  #isConnected() {
    return this.#phase.name === "greeting" || this.#phase.name === "open" || this.#phase.name === "closing";
  }
  #done(call, result) {
    this.#calls.remove(call);
    const before = this.#login.token;
    this.#login.handleCallDone(call.event, result);
    if (this.#login.token !== before) this.#writer.acknowledge();
    this.#outputs.push({ type: "callDone", observer: call.observer, result });
  }
  #fail(call, error) {
    this.#calls.remove(call);
    this.#outputs.fail(call.observer, error);
  }
  #abandon(now, call) {
    this.#calls.remove(call);
    if (call.id === null) return NOT_SENT;
    if (this.#dialect === "classic") this.#matcher.handleCallAbandoned(now, call.event, call.id, call.timeout);
    else this.#writer.send(encodeFrame(call.event, "null", call.id, "cancel"));
    if (this.#resumption) this.#probe.handleCallAbandoned(call, this.#resumption);
    return { sent: true, taken: this.#isTaken(call) };
  }
  #drainQueue(onSend) {
    for (let first = this.#calls.firstQueued; first; first = this.#calls.firstQueued) {
      if (first.call && !first.call.isSend) {
        this.#fail(first.call, new CallError({ error: CLIENT_CLOSED, code: "no_connection" }, { sent: false }));
      } else {
        if (first.call) this.#calls.remove(first.call);
        else this.#calls.removeSend(first);
        if (!first.message.isLargerThan(this.maxMessage)) onSend(first.message);
      }
    }
  }
  #connect(now) {
    this.#outputs.push({ type: "connect" });
    return { name: "connecting", until: now + this.#config.connectTimeout };
  }
  #handleHeartbeat(now) {
    switch (this.#heartbeat.handleTimeout(now)) {
      case "ping":
        this.#ping();
        break;
      case "timedOut":
        this.#resumption?.handleSilence();
        this.#abort(now, "the server stopped responding");
    }
  }
  #dropSocket(reason, { willResume = false, isReported = false }) {
    this.#outputs.push({ type: "abort", reason, willResume, isReported });
  }
  #abort(now, reason, isReported) {
    this.#dropSocket(reason, { willResume: this.#resumption !== null && this.state !== "closed", isReported });
    if (this.#phase.name === "connecting") this.handleConnectFailed(now, reason);
    else this.#handleLost(now, reason);
  }
  #handleLost(now, reason, { isOver: isOver2 = false, hint = null, refusal } = {}) {
    const phase = this.#phase;
    if (phase.name === "closing") {
      this.#endState(reason);
      this.#outputs.discardFrames();
      this.#finish();
      return;
    }
    if (phase.name !== "greeting" && phase.name !== "open") return;
    if (phase.name === "open") this.#lost = reason;
    else this.#lastAttempt = `the server accepted the connection, but it ended: ${reason}`;
    this.#outputs.discardFrames();
    this.#delays.handleConnectionEnded(now - phase.since);
    if (!this.#resumption || isOver2 || this.#resumption.deadline <= now) {
      this.#phase = { name: "waiting", until: now + this.#delays.nextDelay(hint) };
      this.#endState(reason, this.#isDetached ? void 0 : refusal);
      if (refusal && this.#isUnwelcomed(phase)) this.#failQueued(refusal);
      return;
    }
    if (phase.name === "open") this.#outputs.push({ type: "interrupted", reason });
    this.#resumption.handleInterrupted(now);
    this.#writer.handleInterrupted();
    const delay = this.#delays.resumingDelay();
    this.#phase = delay > 0 ? { name: "waiting", until: now + delay } : this.#connect(now);
  }
  #failQueued(error) {
    for (const call of this.#calls.queued()) this.#fail(call, error);
  }
  #whyNotSent() {
    const phase = this.#phase;
    if (phase.name === "open") {
      if (this.#resumption?.isFull) return "the server has not acknowledged what was sent before";
      return this.#isBlocked ? "the server read too slowly" : `${this.#calls.inFlight} calls were open, which is the limit`;
    }
    const known = this.#lost === null ? "never connected" : `the connection was lost: ${this.#lost}`;
    if (phase.name === "greeting") {
      return `${known}; ${phase.welcome ? "the session is not resumed yet" : "the server has not sent its welcome yet"}`;
    }
    return `${known}; ${this.#lastAttempt === null ? "the attempt to connect has not ended yet" : `last attempt: ${this.#lastAttempt}`}`;
  }
  #finish() {
    this.#phase = { name: "closed" };
    this.#outputs.push({ type: "closed" });
  }
};
var tooLarge = ({ size }, limit2) => {
  const error = `The message is too large: up to ${size} bytes, the limit is ${limit2}`;
  return new CallError({ error, code: "too_large" }, { sent: false });
};
var readGap = (data) => {
  const lost = typeof data === "object" && data !== null && "lost" in data ? data.lost : null;
  if (typeof lost === "number" && Number.isSafeInteger(lost) && lost > 0) return lost;
  throw new BadFrame("the data of aaw/gap must have `lost`, a positive integer");
};
var countOf = ({ data, id }) => {
  try {
    return id === null ? readGap(data) : 1;
  } catch {
    return 1;
  }
};
var HandshakeObserver = class {
  socket = null;
  status = null;
  retryAfter = null;
  error = null;
  #request = null;
  #listeners;
  #channels;
  constructor(clientKey) {
    this.#channels = diagnosticsChannels();
    this.#listeners = { "undici:request:create": ({ request }) => {
      if (String(request.headers).includes(clientKey)) this.#request = request;
    }, "undici:client:sendHeaders": ({ request, headers, socket }) => {
      if (request !== this.#request && !String(headers).includes(clientKey)) return;
      this.#request = request;
      this.socket = socket;
    }, "undici:request:headers": ({ request, response }) => {
      if (request !== this.#request) return;
      this.status = response.statusCode;
      this.retryAfter = readRetryAfter(response.headers);
    }, "undici:request:error": ({ request, error }) => {
      if (request === this.#request) this.error = error;
    } };
    for (const [name, listener] of Object.entries(this.#listeners)) this.#channels?.subscribe(name, listener);
  }
  stop() {
    for (const [name, listener] of Object.entries(this.#listeners)) this.#channels?.unsubscribe(name, listener);
    this.#channels = void 0;
  }
};
var diagnosticsChannels = () => {
  const { process: process2 } = globalThis;
  return process2?.getBuiltinModule?.("node:diagnostics_channel");
};
var readRetryAfter = (headers) => {
  const name = headers.findIndex((header, i) => i % 2 === 0 && /^retry-after$/i.test(String(header)));
  if (name < 0) return null;
  const value = String(headers[name + 1]).trim();
  const ms = /^\d+$/.test(value) ? Number(value) * 1e3 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? null : Math.max(ms, 0);
};
var connectFailure = ({ status, retryAfter, error }, { message }, url) => {
  const server = withoutSecrets(url);
  const text2 = typeof message === "string" ? message : "";
  const refusal = Number(status ?? /(?:status code|server response): (\d{3})\b/.exec(text2)?.[1] ?? 0);
  if (refusal) {
    const isTemporary = refusal === 408 || refusal === 425 || refusal >= 500;
    const hint = retryAfter ?? (isTemporary ? null : "refused");
    return { reason: `${server} refused the connection with ${refusal}`, hint };
  }
  const cause = error instanceof Error ? error.message : text2.replaceAll(url, server);
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const problem = cause || code;
  const reason = problem ? `cannot reach ${server}: ${problem}` : `cannot reach ${server}, or it refused the connection`;
  return { reason, hint: null };
};
var withoutSecrets = (url) => {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname === "/" ? "" : pathname}`;
};
var VERSION = 1;
var addressOf = (url) => {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
};
var saveConnection = (state, url, until) => ({ version: VERSION, address: addressOf(url), until, state });
var isOfUrl = ({ address }, url) => address === addressOf(url);
var readConnection = (text2, now) => {
  try {
    const saved = JSON.parse(text2 ?? "null");
    return saved?.version === VERSION && isText(saved.address) && saved.until > now && isState(saved.state) ? saved : null;
  } catch {
    return null;
  }
};
var isState = ({ resumption, nextId, lastClientCall, token, isTokenStored, identity }) => isResumption(resumption) && isCount(nextId) && nextId > 0 && isCount(-lastClientCall) && (token === null || isText(token) && token.length <= MAX_TOKEN_LENGTH) && typeof isTokenStored === "boolean" && typeof identity === "object";
var isResumption = ({ key, attempts, received, acknowledged, sent, window, log }) => isText(key) && /^[0-9a-f]{32}$/.test(key) && [attempts, received, acknowledged].every(isCount) && Array.isArray(sent) && sent.every(isText) && [window, log].every((value) => typeof value === "number" && value > 0);
var isText = (value) => typeof value === "string";
var isCount = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
var requestSocket = (socket, observer) => {
  if (isRefCounted(socket)) return () => socket;
  let upgraded = null;
  const { on } = socket;
  if (typeof on === "function") on.call(socket, "upgrade", (response) => upgraded = response?.socket);
  return () => {
    const found = upgraded ?? observer.socket;
    return isRefCounted(found) ? found : null;
  };
};
var isRefCounted = (value) => typeof value === "object" && value !== null && "ref" in value && typeof value.ref === "function" && "unref" in value && typeof value.unref === "function";
var socketUrl = (url) => resolve(url, { "http:": "ws:", "https:": "wss:" });
var httpUrl = (url) => {
  const absolute = resolve(url, { "ws:": "http:", "wss:": "https:" });
  if (absolute.includes("?")) throw new TypeError("aaw: the URL for calls over HTTP must have no query");
  return absolute.replace(/\/+$/, "");
};
var parse = (url, base) => {
  const text2 = url instanceof URL ? url.href : url;
  if (typeof text2 !== "string" || text2.trim() === "") throw invalid("the URL", "a string or a URL", url);
  try {
    return new URL(text2, base);
  } catch {
    throw new TypeError("aaw: the URL is invalid; expected one like ws://localhost:1337");
  }
};
var resolve = (url, schemes) => {
  const page = typeof location === "undefined" ? void 0 : location.href;
  const isMissing = url === void 0 || url === null;
  if (isMissing && page === void 0) throw new TypeError("aaw: outside of a page the server's URL is required");
  const absolute = isMissing ? new URL("/", page) : parse(url, page);
  const scheme = schemes[absolute.protocol] ?? absolute.protocol;
  if (!Object.values(schemes).includes(scheme)) {
    throw new TypeError(`aaw: expected a URL with the scheme ws:, wss:, http: or https:, got ${absolute.protocol}`);
  }
  const rest = absolute.href.slice(absolute.protocol.length);
  return scheme + (absolute.hash ? rest.slice(0, -absolute.hash.length) : rest);
};
var { process } = globalThis;
var MAX_LENGTH2 = 64 << 10;
var MAX_MESSAGES2 = 16;
var WriteBatch = class {
  #socket;
  #length = 0;
  #messages = 0;
  #isCorked = false;
  constructor(socket) {
    this.#socket = process && isCorkable(socket) ? socket : null;
  }
  add(length) {
    if (!this.#socket) return;
    if (this.#length + length > MAX_LENGTH2 || this.#messages === MAX_MESSAGES2) this.flush();
    if (length > MAX_LENGTH2) return;
    this.#length += length;
    this.#messages += 1;
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#socket.cork();
    flushAtEndOfTick(this);
  }
  flush() {
    this.#length = 0;
    this.#messages = 0;
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#socket?.uncork();
  }
};
var begun = [];
var flushAll = () => {
  for (const batch of begun.splice(0)) batch.flush();
};
var isFlushedOnExit = false;
var flushAtEndOfTick = (batch) => {
  if (!isFlushedOnExit) {
    process?.on("exit", flushAll);
    isFlushedOnExit = true;
  }
  if (begun.push(batch) === 1) process?.nextTick(flushAll);
};
var isCorkable = (socket) => typeof socket === "object" && socket !== null && "cork" in socket && typeof socket.cork === "function" && "uncork" in socket && typeof socket.uncork === "function";
var MAX_BUFFERED = 1 << 20;
var DRAIN_CHECK_INTERVAL = 20;
var Driver = class {
  #urlSource;
  #SocketClass;
  #platform;
  #delegate;
  #connection;
  #socket = null;
  #attempt = {};
  #openEvent = new Event("open");
  #timer = null;
  #isRef = true;
  #refCounted = null;
  #batch = new WriteBatch(null);
  #isHeld = true;
  #stopObserving = () => {
  };
  #isRunning = false;
  #reportedState = "";
  #reload;
  #saved = null;
  #isSavedUsed = false;
  #removeListeners;
  closed;
  #resolveClosed = () => {
  };
  url = "";
  sid = "";
  connectionId = null;
  isRestored = false;
  constructor(urlSource, config, SocketClass, platform2, delegate, reload) {
    this.#urlSource = typeof urlSource === "function" ? urlSource : socketUrl(urlSource);
    this.#SocketClass = SocketClass;
    this.#platform = platform2;
    this.#delegate = delegate;
    this.#connection = new ClientConnection(config, platform2.random, platform2.now());
    this.closed = new Promise((resolve2) => this.#resolveClosed = resolve2);
    const removeWakeListener = platform2.onWake(() => this.#wake());
    const removePageListeners = reload ? platform2.onPageChange(() => this.#handlePageLeft(), () => this.#wake()) : () => {
    };
    this.#removeListeners = () => {
      removeWakeListener();
      removePageListeners();
    };
    this.#reload = reload;
    this.#saved = reload?.take() ?? null;
    this.#run();
  }
  get state() {
    return this.#connection.state;
  }
  get protocol() {
    return this.#socket?.protocol ?? "";
  }
  get bufferedAmount() {
    return this.#socket?.bufferedAmount ?? 0;
  }
  get isInterrupted() {
    return this.#connection.isInterrupted;
  }
  get maxMessage() {
    return this.#connection.maxMessage;
  }
  get token() {
    return this.#connection.token;
  }
  get identity() {
    return this.#connection.identity;
  }
  call(observer, message, settings) {
    this.#reportBuffer();
    try {
      observer.call = this.#connection.call(this.#platform.now(), observer, message, settings);
    } finally {
      this.#run();
      this.#storeAgain();
    }
  }
  cancel(observer) {
    const { call } = observer;
    return call === null ? NOT_SENT : this.#input(() => this.#connection.cancel(this.#platform.now(), call));
  }
  send(message) {
    this.#reportBuffer();
    this.#input(() => this.#connection.send(this.#platform.now(), message));
    this.#storeAgain();
  }
  grantCredit({ call }, items) {
    if (call) this.#input(() => this.#connection.grantCredit(this.#platform.now(), call, items));
  }
  uploadItem({ call }, json) {
    return call !== null && this.#input(() => this.#connection.uploadItem(this.#platform.now(), call, json));
  }
  uploadEnd({ call }) {
    if (call) this.#input(() => this.#connection.uploadEnd(this.#platform.now(), call));
  }
  respond(call, json) {
    this.#input(() => this.#connection.respond(this.#platform.now(), call, json));
  }
  respondError(call, failure) {
    this.#input(() => this.#connection.respondError(this.#platform.now(), call, failure));
  }
  setRef(isRef) {
    this.#input(() => this.#isRef = isRef);
  }
  close() {
    if (this.#saved) this.#reload?.write(this.#saved);
    this.#saved = null;
    this.#input(() => this.#connection.close(this.#platform.now()));
  }
  #handlePageLeft() {
    if (this.#store()) this.#input(() => this.#connection.suspend(this.#platform.now()));
  }
  #store() {
    const own = this.#connection.save(this.#platform.now());
    if (!own) return this.#saved !== null && this.#reload !== null && this.#reload.write(this.#saved);
    const { token } = own.state;
    const isTokenStored = token !== null && this.#delegate.isTokenStored(token);
    const state = { ...own.state, isTokenStored };
    const saved = saveConnection(state, this.url, this.#platform.wallClock() + own.remaining);
    return this.#reload?.write(saved) ?? false;
  }
  #storeAgain() {
    if (this.#connection.isSuspended && this.#reload?.isPresent) this.#store();
  }
  #wake() {
    if (this.#connection.isSuspended) {
      const isTaken = !this.#reload?.withdraw();
      if (isTaken) {
        this.#saved = this.#reload?.take() ?? null;
        this.#isSavedUsed = false;
      }
      this.#input(() => this.#connection.unsuspend(this.#platform.now(), isTaken));
    } else {
      this.#input(() => this.#connection.wake(this.#platform.now()));
    }
  }
  #restore() {
    if (!this.#saved || this.#isSavedUsed) return;
    const { state, until } = this.#saved;
    const { now, wallClock } = this.#platform;
    this.#isSavedUsed = isOfUrl(this.#saved, this.url) && this.#connection.restore(now(), state, until - wallClock());
    if (!this.#isSavedUsed) this.#saved = null;
  }
  #input(input) {
    try {
      return input();
    } finally {
      this.#run();
    }
  }
  #run() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let output = this.#nextOutput(); output; output = this.#nextOutput()) this.#handleOutput(output);
    } finally {
      this.#isRunning = false;
    }
    this.#reportState();
    this.#holdProcess();
    this.#setTimer();
  }
  get #isHolding() {
    return this.#isRef || this.#connection.isBusy;
  }
  #holdProcess() {
    const isHeld = this.#isHolding;
    if (isHeld === this.#isHeld || !this.#refCounted) return;
    this.#isHeld = isHeld;
    if (isHeld) this.#refCounted.ref();
    else this.#refCounted.unref();
  }
  #nextOutput() {
    if (this.#connection.hasQueued) this.#reportBuffer();
    return this.#connection.pollOutput();
  }
  #reportBuffer() {
    if (!this.#socket) return;
    if (this.#socket.bufferedAmount < MAX_BUFFERED) this.#connection.handleWritable();
    else this.#connection.handleBlocked();
  }
  #handleOutput(output) {
    switch (output.type) {
      case "connect":
        void this.#connect();
        break;
      case "send":
        if (this.#connection.inFlight > 1) this.#batch.add(output.text.length);
        this.#socket?.send(output.text);
        break;
      case "close":
        this.#socket?.close(1e3);
        break;
      case "abort":
        this.#abort(output);
        break;
      case "item":
        output.observer.handleItem?.(output.data);
        break;
      case "uploadCredit":
        output.observer.handleUploadCredit?.(output.items);
        break;
      case "callDone":
        output.observer.handleDone(output.result);
        break;
      case "push":
        this.#delegate.handlePush(output.event, output.data);
        break;
      case "clientCall":
        this.#delegate.handleClientCall(output.call, output.data);
        break;
      case "clientCallCancelled":
        this.#delegate.handleClientCallCancelled(output.call);
        break;
      case "tokenChanged":
        this.#delegate.handleTokenChanged(output.token);
        break;
      case "unauthorized":
        this.#delegate.handleUnauthorized(output.error);
        break;
      case "opened":
        this.connectionId = output.connection;
        this.isRestored = output.isRestored;
        this.#reportState();
        this.#delegate.handleOpen(this.#openEvent);
        break;
      case "interrupted":
        this.#delegate.handleInterrupted(output.reason);
        break;
      case "resumed":
        this.#reportState();
        this.#delegate.handleResumed();
        break;
      case "over":
        this.#delegate.handleClose(closeEvent(1006, output.reason));
        break;
      case "gap":
        this.#delegate.handleGap(output.lost);
        break;
      case "warning":
        this.#delegate.handleError(output.error);
        break;
      case "closed":
        this.#removeListeners();
        this.#resolveClosed();
    }
  }
  #reportState() {
    const { state } = this.#connection;
    if (state === this.#reportedState) return;
    const isFirst = this.#reportedState === "";
    this.#reportedState = state;
    if (!isFirst) this.#delegate.handleStateChanged();
  }
  #setTimer() {
    const timeout = this.#connection.pollTimeout();
    const isFull = this.#socket !== null && this.#connection.hasQueued && this.#socket.bufferedAmount >= MAX_BUFFERED;
    const due = isFull ? Math.min(timeout, this.#platform.now() + DRAIN_CHECK_INTERVAL) : timeout;
    const ref = this.#isHolding && (this.#connection.state !== "open" || this.#connection.isBusy);
    if (this.#timer && this.#timer.due <= due && due !== Infinity) {
      if (this.#timer.ref !== ref) setRef(this.#timer.timer, ref);
      this.#timer.ref = ref;
      return;
    }
    if (this.#timer) this.#platform.clearTimeout(this.#timer.timer);
    this.#timer = null;
    if (due === Infinity) return;
    const timer = this.#platform.setTimeout(() => {
      this.#timer = null;
      this.#input(() => this.#connection.handleTimeout(this.#platform.now()));
    }, Math.min(Math.max(due - this.#platform.now(), 0), MAX_TIMER_DELAY));
    if (!ref) setRef(timer, ref);
    this.#timer = { due, timer, ref };
  }
  async #connect() {
    const attempt = this.#attempt = {};
    let socket;
    let observer;
    try {
      const url = typeof this.#urlSource === "function" ? socketUrl(await this.#urlSource()) : this.#urlSource;
      if (attempt !== this.#attempt) return;
      this.url = url;
      this.#restore();
      this.sid = `_${uuid()}`;
      observer = new HandshakeObserver(this.sid);
      try {
        socket = new this.#SocketClass(url, [this.sid, "aaw.v1"]);
      } catch (error) {
        observer.stop();
        throw error;
      }
    } catch (cause) {
      if (attempt !== this.#attempt) return;
      this.#attempt = {};
      const error = connectError(cause);
      this.#delegate.handleError(error);
      this.#input(() => this.#connection.handleConnectFailed(this.#platform.now(), error.message));
      return;
    }
    this.#socket = socket;
    this.#listen(socket, attempt, observer);
  }
  #listen(socket, attempt, observer) {
    const { now } = this.#platform;
    const { url } = this;
    const tcpSocket = requestSocket(socket, observer);
    this.#stopObserving = () => observer.stop();
    let isOpen = false;
    let failure = connectFailure(observer, {}, url);
    const handleClosed = (event) => {
      this.#attempt = {};
      this.#socket = null;
      this.#refCounted = null;
      observer.stop();
      if (!isOpen) warnWithoutOrigin();
      this.#input(() => {
        if (isOpen) this.#connection.handleDisconnected(now(), event.code, event.reason);
        else this.#connection.handleConnectFailed(now(), failure.reason, failure.hint);
      });
      if (!this.#connection.isInterrupted) this.#delegate.handleClose(event);
    };
    const on = (type, listener) => socket.addEventListener(type, (event) => {
      if (attempt === this.#attempt) listener(event);
    });
    on("open", (event) => {
      isOpen = true;
      observer.stop();
      this.#refCounted = tcpSocket();
      this.#batch = new WriteBatch(this.#refCounted === socket ? null : this.#refCounted);
      this.#isHeld = true;
      this.#openEvent = event;
      this.#saved = null;
      this.#isSavedUsed = false;
      const dialect = socket.protocol === "aaw.v1" ? "v1" : "classic";
      this.#input(() => this.#connection.handleConnected(now(), dialect));
    });
    on("message", ({ data }) => {
      try {
        if (typeof data === "string") this.#connection.handleText(now(), data);
        else this.#connection.handleBinary(now(), data.byteLength ?? data.size ?? 0);
      } finally {
        this.#run();
      }
      if (typeof data === "string") this.#delegate.handleMessage(data);
    });
    on("error", (event) => {
      if (!isOpen) failure = connectFailure(observer, event, url);
      if (!this.#connection.isResumable) this.#delegate.handleError(event);
      if (!isOpen && attempt === this.#attempt) handleClosed(closeEvent(1006, ""));
    });
    on("close", handleClosed);
  }
  #abort({ reason, willResume, isReported }) {
    const socket = this.#socket;
    this.#attempt = {};
    this.#socket = null;
    this.#refCounted = null;
    this.#stopObserving();
    try {
      if (willResume) socket?.close(WILL_RESUME);
      else socket?.close();
    } catch {
    }
    if (socket && !isReported && !this.#connection.isInterrupted) this.#delegate.handleClose(closeEvent(1006, reason));
  }
};
var setRef = (timer, ref) => {
  if (ref) timer.ref?.();
  else timer.unref?.();
};
var MAX_TIMER_DELAY = 2 ** 31 - 1;
var connectError = (cause) => {
  const error = cause instanceof Error ? cause.message : String(cause);
  return new CallError({ error: `Cannot connect: ${error}`, code: "no_connection" }, { sent: false, cause });
};
var hasWarned = false;
var warnWithoutOrigin = () => {
  if (hasWarned || typeof document === "undefined" || globalThis.origin !== "null") return;
  hasWarned = true;
  console.warn("aaw: no connection. This page was opened as a file, or is in a sandboxed frame, so it has no origin, and servers refuse its connections unless they allow the origin `null`. Open the page from a server: `aaw-server --static FOLDER` serves the files of a folder.");
};
var uuid = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = bytes[6] & 15 | 64;
  bytes[8] = bytes[8] & 63 | 128;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
};
var ItemQueue = class {
  #items = [];
  #consumers = [];
  #end = null;
  #onTake;
  constructor(onTake = () => {
  }) {
    this.#onTake = onTake;
  }
  push(item) {
    if (this.#end) return;
    const consumer = this.#consumers.shift();
    if (!consumer) {
      this.#items.push(item);
      return;
    }
    consumer.resolve({ value: item, done: false });
    this.#onTake();
  }
  end() {
    this.#finish({ error: void 0, failed: false });
  }
  fail(error) {
    this.#finish({ error, failed: true });
  }
  clear() {
    this.#items = [];
    if (this.#end) this.#end.failed = false;
  }
  take() {
    if (this.#items.length) {
      const value = this.#items.shift();
      this.#onTake();
      return Promise.resolve({ value, done: false });
    }
    if (!this.#end) return new Promise((resolve2, reject) => this.#consumers.push({ resolve: resolve2, reject }));
    const { error, failed } = this.#end;
    this.#end.failed = false;
    return failed ? Promise.reject(error) : Promise.resolve({ value: void 0, done: true });
  }
  #finish(end) {
    if (this.#end) return;
    this.#end = end;
    for (const consumer of this.#consumers.splice(0)) {
      if (end.failed) consumer.reject(end.error);
      else consumer.resolve({ value: void 0, done: true });
      end.failed = false;
    }
  }
};
var ItemStream = class {
  #items;
  #cancel;
  constructor(driver, message, { signal }, window, upload) {
    let taken = 0;
    let granted = window;
    const items = new ItemQueue(() => {
      taken += 1;
      if (granted - taken > window / 2) return;
      granted = taken + window;
      driver.grantCredit(observer, granted);
    });
    let isOver2 = false;
    let stopListening = () => {
    };
    const finish = () => {
      isOver2 = true;
      stopListening();
      upload?.handleCallDone();
    };
    const observer = { call: null, handleItem: (data) => items.push(data), handleUploadCredit: () => upload?.handleCredit(), handleDone: (result) => {
      finish();
      if (result.type === "failed") items.fail(result.error);
      else items.end();
    } };
    this.#items = items;
    this.#cancel = () => {
      if (!isOver2) {
        driver.cancel(observer);
        finish();
      }
      items.clear();
      items.end();
    };
    if (signal?.aborted) {
      finish();
      items.fail(cancelled(signal.reason, NOT_SENT));
      return;
    }
    stopListening = onAbort(signal, (reason) => {
      const delivery = driver.cancel(observer);
      finish();
      items.clear();
      items.fail(cancelled(reason, delivery));
    });
    upload?.attach((json) => driver.uploadItem(observer, json), () => driver.uploadEnd(observer));
    driver.call(observer, message, { credit: window, upload: upload !== void 0 });
  }
  next() {
    return this.#items.take();
  }
  return() {
    this.#cancel();
    return Promise.resolve({ value: void 0, done: true });
  }
  [Symbol.asyncIterator]() {
    return this;
  }
};
var MAX_BUFFERED2 = 1 << 20;
var UploadBuffer = class {
  #items = [];
  #size = 0;
  #hadCredit = false;
  #isEnded = false;
  #isClosed = false;
  #write = () => false;
  #writeEnd = () => {
  };
  attach(write, writeEnd) {
    this.#write = write;
    this.#writeEnd = writeEnd;
  }
  send(json) {
    if (this.#isClosed || this.#isEnded) return Promise.resolve(false);
    if (!this.#items.length && this.#write(json)) return Promise.resolve(true);
    if (this.#items.length && this.#size + json.length > MAX_BUFFERED2) {
      const error = `The buffer of items that wait for the server's credit is full (limit: ${MAX_BUFFERED2} characters)`;
      throw new CallError({ error, code: "busy" }, { sent: false });
    }
    this.#size += json.length;
    return new Promise((resolve2) => this.#items.push({ json, resolve: resolve2 }));
  }
  end() {
    if (this.#isEnded || this.#isClosed) return;
    this.#isEnded = true;
    this.#writeEndIfDue();
  }
  handleCredit() {
    this.#hadCredit = true;
    for (let first = this.#items[0]; first && this.#write(first.json); first = this.#items[0]) {
      this.#items.shift();
      this.#size -= first.json.length;
      first.resolve(true);
    }
    this.#writeEndIfDue();
  }
  handleCallDone() {
    this.#isClosed = true;
    for (const { resolve: resolve2 } of this.#items.splice(0)) resolve2(false);
  }
  #writeEndIfDue() {
    if (!this.#isEnded || this.#isClosed || this.#items.length || !this.#hadCredit) return;
    this.#isClosed = true;
    this.#writeEnd();
  }
};
var Duplex = class extends ItemStream {
  #upload;
  #driver;
  #overhead;
  constructor(driver, message, options, window) {
    const upload = new UploadBuffer();
    super(driver, message, options, window, upload);
    bindMethods(this, "send", "end");
    this.#upload = upload;
    this.#driver = driver;
    this.#overhead = byteLength(JSON.stringify(message.event)) + FRAME_OVERHEAD;
  }
  async send(item) {
    const json = toJson(item);
    const { maxMessage } = this.#driver;
    if (exceeds(json, maxMessage - this.#overhead)) {
      const size = byteLength(json) + this.#overhead;
      const error = `The item is too large: up to ${size} bytes, the limit is ${maxMessage}`;
      throw new CallError({ error, code: "too_large" }, { sent: false });
    }
    return this.#upload.send(json);
  }
  end() {
    this.#upload.end();
  }
};
var report = (error) => {
  if (typeof reportError === "function") reportError(error);
  else console.error(error);
};
var Emitter = class {
  #listeners = /* @__PURE__ */ new Map();
  on(event, callback) {
    this.#listeners.set(event, [...this.#listeners.get(event) ?? [], callback]);
  }
  off(event, callback) {
    const listeners = [...this.#listeners.get(event) ?? []];
    const at = callback ? listeners.lastIndexOf(callback) : listeners.length - 1;
    if (at < 0) return;
    listeners.splice(at, 1);
    if (listeners.length) this.#listeners.set(event, listeners);
    else this.#listeners.delete(event);
  }
  hasListeners(event) {
    return this.#listeners.has(event);
  }
  emit(event, detail) {
    const listeners = this.#listeners.get(event);
    if (!listeners) return;
    for (const listener of listeners) {
      try {
        const returned = listener(detail);
        if (returned instanceof Promise) returned.catch(report);
      } catch (error) {
        report(error);
      }
    }
  }
};
var MAX_NAME_LENGTH = 200;
var HandlerRegistry = class {
  #handlers = /* @__PURE__ */ new Map();
  #running = /* @__PURE__ */ new Map();
  add(event, handler) {
    if (this.#handlers.has(event)) throw new TypeError(`aaw: the event ${event} has a handler already`);
    this.#handlers.set(event, handler);
    return () => {
      if (this.#handlers.get(event) === handler) this.#handlers.delete(event);
    };
  }
  async handleCall(call, body, responder) {
    const handler = this.#handlers.get(call.event);
    if (!handler) {
      const name = call.event.length > MAX_NAME_LENGTH ? `${call.event.slice(0, MAX_NAME_LENGTH)}\u2026` : call.event;
      responder.respondError(call, { error: `Unknown event: ${name}`, code: "unknown_event" });
      return;
    }
    const controller = new AbortController();
    this.#running.set(call, controller);
    try {
      responder.respond(call, toJson(await handler(body, { signal: controller.signal })));
    } catch (error) {
      responder.respondError(call, handlerFailure(error));
    } finally {
      this.#running.delete(call);
    }
  }
  handleCancelled(call) {
    const reason = { error: "The server no longer waits for the response", code: "cancelled" };
    this.#running.get(call)?.abort(new CallError(reason, { sent: true }));
  }
};
var handlerFailure = (error) => {
  const text2 = error instanceof Error ? error.message : String(error);
  return { error: text2 || "The handler failed", code: "handler" };
};
var MAX_WINDOW = 2 ** 31 - 1;
var readOptions = (given) => {
  const options = object("the options of a client", given);
  const resumption = resumptionOptions(options.resumption);
  return { timeout: duration("the option `timeout`", options.timeout, 3e3), window: integer("the option `window`", options.window, 64, MAX_WINDOW), storage: tokenStorage(options.storage), storageKey: text("the option `storageKey`", options.storageKey, "aaw/token"), WebSocket: optionalFunction("the option `WebSocket`", options.WebSocket), reloadKey: resumption && resumption.afterReload ? resumption.storageKey : null, connection: { backoff: backoff(options), heartbeat: duration("the option `heartbeat`", options.heartbeat, 2e4, "to disable it"), connectTimeout: duration("the option `connectTimeout`", options.connectTimeout, 1e4), closeTimeout: 2e3, resumeTimeout: 3e3, token: secret("the option `token`", options.token, MAX_TOKEN_LENGTH), bigint: flag("the option `bigint`", options.bigint), resumption: resumption !== false, maxInFlight: limit("the option `maxInFlight`", options.maxInFlight, 1024), maxMessage: limit("the option `maxMessage`", options.maxMessage, 16 << 20), maxWaitingCalls: limit("the option `maxWaitingCalls`", options.maxWaitingCalls, 16 << 20), maxWaitingSends: limit("the option `maxWaitingSends`", options.maxWaitingSends, 1 << 20) } };
};
var resumptionOptions = (given) => {
  if (given === false) return false;
  const options = given === true ? {} : object("the option `resumption`", given, "true, false or an object");
  return { afterReload: flag("the option `resumption.afterReload`", options.afterReload), storageKey: text("the option `resumption.storageKey`", options.storageKey, "aaw/resumption") };
};
var backoff = (options) => {
  const interval = finiteDuration("the option `reconnectInterval`", options.reconnectInterval, 0);
  const given = object("the option `backoff`", options.backoff);
  const min = finiteDuration("the option `backoff.min`", given.min, interval || 100);
  const max = finiteDuration("the option `backoff.max`", given.max, Math.max(interval || 1e4, given.min ?? 0));
  const { factor } = given;
  if (factor !== void 0 && factor !== null && !(typeof factor === "number" && factor >= 1 && factor < Infinity)) {
    throw invalid("the option `backoff.factor`", "a finite number of at least 1", factor);
  }
  if (given.min !== void 0 && min > max) {
    throw new TypeError(`aaw: the option \`backoff.min\` (${min}) must not exceed \`backoff.max\` (${max})`);
  }
  const refused = duration("the option `backoff.refused`", given.refused, 3e4, "for no further attempt");
  return { min: Math.min(min, max), max, factor: factor ?? 2, refused };
};
var tokenStorage = (storage) => {
  if (storage === void 0 || storage === null) return void 0;
  const methods = storage;
  if (["getItem", "setItem", "removeItem"].every((name) => typeof methods[name] === "function")) {
    return storage;
  }
  throw invalid("the option `storage`", "an object with getItem, setItem and removeItem, as localStorage is", storage);
};
var PersistentToken = class {
  #storage;
  #key;
  #lastValue = null;
  constructor(storage, key) {
    this.#storage = storage;
    this.#key = key;
  }
  read() {
    this.#try((storage) => this.#lastValue = storage.getItem(this.#key) || null);
    return this.#lastValue;
  }
  holds(token) {
    let stored = null;
    this.#try((storage) => stored = storage.getItem(this.#key));
    return stored === token;
  }
  write(token) {
    this.#try((storage) => {
      if (token === null && storage.getItem(this.#key) === this.#lastValue) storage.removeItem(this.#key);
      else if (token !== null && token !== this.#lastValue) storage.setItem(this.#key, token);
    });
    this.#lastValue = token;
  }
  #try(operation) {
    try {
      if (this.#storage) operation(this.#storage);
    } catch (error) {
      report(error);
    }
  }
};
var ReloadStorage = class {
  #platform;
  #key;
  #written = null;
  constructor(platform2, key) {
    this.#platform = platform2;
    this.#key = key;
  }
  take() {
    return this.#try((storage) => {
      const text2 = storage.getItem(this.#key);
      if (text2 === null) return null;
      storage.removeItem(this.#key);
      return readConnection(text2, this.#platform.wallClock());
    });
  }
  write(saved) {
    const isWritten = this.#try((storage) => {
      const present = storage.getItem(this.#key);
      if (present !== this.#written && readConnection(present, this.#platform.wallClock())) return false;
      const text2 = JSON.stringify(saved);
      storage.setItem(this.#key, text2);
      this.#written = text2;
      return true;
    });
    return isWritten ?? false;
  }
  withdraw() {
    const isOwn = this.#try((storage) => {
      if (this.#written === null || storage.getItem(this.#key) !== this.#written) return false;
      storage.removeItem(this.#key);
      return true;
    });
    this.#written = null;
    return isOwn ?? false;
  }
  get isPresent() {
    return this.#written !== null && this.#try((storage) => storage.getItem(this.#key) === this.#written) === true;
  }
  #try(operation) {
    try {
      return operation(this.#platform.sessionStorage());
    } catch {
      return null;
    }
  }
};
var ResponsePromise = class {
  call = null;
  stopListening = null;
  constructor(event, resolve2, reject, emitResult) {
    this.event = event;
    this.resolve = resolve2;
    this.reject = reject;
    this.emitResult = emitResult;
  }
  handleDone(result) {
    this.stopListening?.();
    this.emitResult(this.event, result);
    if (result.type === "failed") this.reject(result.error);
    else this.resolve(result.type === "response" ? result.data : null);
  }
};
var WebSocketCompat = class extends EventTarget {
  onopen = null;
  onclose = null;
  onerror = null;
  onmessage = null;
  #hasMessageListeners = false;
  addEventListener(type, listener, options) {
    if (type === "message") this.#hasMessageListeners = true;
    super.addEventListener(type, listener, options);
  }
  get wantsMessages() {
    return this.#hasMessageListeners || this.onmessage !== null;
  }
};
var fire = (target, event) => {
  try {
    const property = `on${event.type}`;
    const handler = target[property];
    if (typeof handler === "function") handler.call(target, event);
  } catch (error) {
    report(error);
  }
  target.dispatchEvent(event);
};
var Client = class extends WebSocketCompat {
  #driver;
  #emitter = new Emitter();
  #handlers = new HandlerRegistry();
  #timeout;
  #callOptions;
  #window;
  constructor(url, options, platform2) {
    super();
    bindMethods(this, "sendAsync", "sendSync", "stream", "duplex", "on", "off", "handle", "close", "send", "ref", "unref");
    bindMethods(this, "login", "register", "resume", "logout", "requestReset", "setNew");
    const { timeout, window, storage, storageKey, WebSocket, reloadKey, connection } = readOptions(options);
    const SocketClass = WebSocket ?? globalThis.WebSocket;
    if (!SocketClass) throw new TypeError("aaw: there is no global WebSocket; pass one as the option `WebSocket`");
    this.#timeout = timeout;
    this.#callOptions = callOptions(void 0, timeout);
    this.#window = window;
    const stored = new PersistentToken(storage, storageKey);
    const storedToken = stored.read();
    const config = { ...connection, token: connection.token ?? storedToken };
    const delegate = { handleOpen: (event) => {
      this.#emitter.emit("open", event);
      fire(this, new Event("open"));
    }, handleClose: (event) => {
      this.#emitter.emit("close", event);
      fire(this, closeEvent(event.code, event.reason, event.wasClean));
    }, handleError: (error) => {
      this.#emitter.emit("error", error);
      if (!(error instanceof CallError)) fire(this, new Event("error"));
    }, handleMessage: (data) => {
      if (this.wantsMessages) fire(this, new MessageEvent("message", { data }));
    }, handlePush: (event, data) => this.#emitter.emit(event, data), handleClientCall: (call, data) => void this.#handlers.handleCall(call, data, this.#driver), handleClientCallCancelled: (call) => this.#handlers.handleCancelled(call), handleTokenChanged: (token) => stored.write(token), handleUnauthorized: (error) => this.#emitter.emit("unauthorized", error), handleInterrupted: (reason) => this.#emitter.emit("interrupted", { reason }), handleResumed: () => this.#emitter.emit("resumed", null), handleGap: (lost) => this.#emitter.emit("gap", { lost }), handleStateChanged: () => this.#emitter.emit("aaw/state", this.state), isTokenStored: (token) => stored.holds(token) };
    const reload = reloadKey === null ? null : new ReloadStorage(platform2, reloadKey);
    this.#driver = new Driver(url, config, SocketClass, platform2, delegate, reload);
  }
  sendAsync(event, payload, options) {
    return new Promise((resolve2, reject) => {
      const { timeout, signal } = options === void 0 ? this.#callOptions : callOptions(options, this.#timeout);
      const message = encodeMessage(event, payload);
      const observer = new ResponsePromise(event, resolve2, reject, this.#emitResult);
      if (signal) {
        if (signal.aborted) {
          reject(cancelled(signal.reason, NOT_SENT));
          return;
        }
        observer.stopListening = onAbort(signal, (reason) => reject(cancelled(reason, this.#driver.cancel(observer))));
      }
      this.#driver.call(observer, message, { timeout });
    });
  }
  sendSync(event, payload) {
    const message = encodeMessage(event, payload);
    if (!this.#emitter.hasListeners(event)) {
      this.#driver.send(message);
      return;
    }
    const observer = { call: null, handleItem: (data) => this.#emitter.emit(event, data), handleDone: (result) => {
      this.#emitResult(event, result);
      if (result.type === "failed" && !result.error.sent) this.#emitter.emit("error", result.error);
    } };
    this.#driver.call(observer, message, { credit: Number.MAX_SAFE_INTEGER, isSend: true });
  }
  stream(event, payload, options) {
    return new ItemStream(this.#driver, encodeMessage(event, payload), streamOptions(options), this.#window);
  }
  duplex(event, payload, options) {
    return new Duplex(this.#driver, encodeMessage(event, payload), streamOptions(options), this.#window);
  }
  on(event, callback) {
    requireEventName(event);
    requireFunction("the callback of `on`", callback);
    this.#emitter.on(event, callback);
  }
  off(event, callback) {
    requireEventName(event);
    this.#emitter.off(event, optionalFunction("the callback of `off`", callback));
  }
  handle(event, handler) {
    requireEventName(event);
    requireFunction("the handler of a client call", handler);
    return this.#handlers.add(event, handler);
  }
  login(email, password, options) {
    return this.sendAsync("aaw/login", { email, password }, options);
  }
  register(email, password, options) {
    return this.sendAsync("aaw/register", { email, password }, options);
  }
  resume(token, options) {
    return this.sendAsync("aaw/resume", { token }, options);
  }
  logout(options) {
    return this.sendAsync("aaw/logout", null, options);
  }
  requestReset(email, options) {
    return this.sendAsync("aaw/password/request-reset", { email }, options);
  }
  setNew(token, password, options) {
    return this.sendAsync("aaw/password/set-new", { token, password }, options);
  }
  get identity() {
    return this.#driver.identity;
  }
  get token() {
    return this.#driver.token;
  }
  close() {
    this.#driver.close();
    return this.#driver.closed;
  }
  unref() {
    this.#driver.setRef(false);
    return this;
  }
  ref() {
    this.#driver.setRef(true);
    return this;
  }
  send(text2) {
    const frame = JSON.parse(text2);
    if (!Array.isArray(frame)) throw invalid("a message", "the JSON text of [event, data]", frame);
    const [event, data] = frame;
    this.sendSync(event, data);
  }
  get state() {
    return this.#driver.state;
  }
  get sid() {
    return this.#driver.sid;
  }
  get connection() {
    return this.state === "open" || this.#driver.isInterrupted ? this.#driver.connectionId : null;
  }
  get restored() {
    return this.#driver.isRestored;
  }
  get readyState() {
    if (this.#driver.isInterrupted) return 1;
    return { connecting: 0, waiting: 0, open: 1, closed: 3 }[this.state];
  }
  get url() {
    return this.#driver.url;
  }
  get protocol() {
    return this.#driver.protocol;
  }
  get bufferedAmount() {
    return this.#driver.bufferedAmount;
  }
  #emitResult = (event, result) => {
    if (result.type === "response") this.#emitter.emit(event, result.data);
    else if (result.type === "failed" && result.isFromServer) this.#emitter.emit(event, { ...result.error });
  };
};
var EventTooLarge = class extends Error {
  code = "too_large";
  constructor(limit2) {
    super(`A server-sent event exceeds the limit of ${limit2} characters`);
    this.name = "EventTooLarge";
  }
};
var SseParser = class {
  #limit;
  #line = "";
  #afterCr = false;
  #data = [];
  #size = 0;
  #event = "";
  #id = "";
  #retry = void 0;
  constructor(limit2) {
    this.#limit = limit2;
  }
  *push(text2) {
    let from = this.#afterCr && text2.startsWith("\n") ? 1 : 0;
    if (text2) this.#afterCr = text2.endsWith("\r");
    const lineEnd = /\r\n|\r|\n/g;
    lineEnd.lastIndex = from;
    for (let end = lineEnd.exec(text2); end; end = lineEnd.exec(text2)) {
      const event = this.#endLine(text2.slice(from, end.index));
      from = lineEnd.lastIndex;
      if (event) yield event;
    }
    this.#count(text2.length - from);
    this.#line += text2.slice(from);
  }
  #count(characters) {
    this.#size += characters;
    if (this.#size > this.#limit) throw new EventTooLarge(this.#limit);
  }
  #endLine(rest) {
    this.#count(rest.length);
    const line = this.#line + rest;
    this.#line = "";
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon < 0) this.#field(line, "");
    else if (colon > 0) this.#field(line.slice(0, colon), line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1));
    else this.#size -= line.length;
    return null;
  }
  #field(name, value) {
    switch (name) {
      case "event":
        this.#event = value;
        break;
      case "data":
        this.#data.push(value);
        this.#count(1);
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value;
        break;
      case "retry":
        if (/^[0-9]+$/.test(value)) this.#retry = Number(value);
    }
  }
  #dispatch() {
    const [data, event, retry] = [this.#data, this.#event, this.#retry];
    this.#data = [];
    this.#event = "";
    this.#size = 0;
    if (!data.length) return null;
    this.#retry = void 0;
    const dispatched = { event: event || "message", data: data.join("\n"), id: this.#id };
    if (retry !== void 0) dispatched.retry = retry;
    return dispatched;
  }
};
var DEFAULT_MAX_EVENT = 4 << 20;
function sse(response, options) {
  if (typeof response !== "object" || response === null || !("body" in response || "getReader" in response)) {
    throw invalid("the response", "a Response or a ReadableStream", response);
  }
  const { maxEvent } = object("the options of sse", options);
  return new SseStream(response, limit("the option `maxEvent`", maxEvent, DEFAULT_MAX_EVENT));
}
var SseStream = class {
  #reader;
  #parser;
  #decoder = new TextDecoder();
  #events = [][Symbol.iterator]();
  #responseError = null;
  #isOver = false;
  #previous = Promise.resolve();
  constructor(response, maxEvent) {
    const body = "body" in response ? response.body : response;
    this.#parser = new SseParser(maxEvent);
    this.#reader = body?.getReader() ?? null;
    if ("ok" in response && !response.ok) {
      const error = `The server responded with ${response.status} ${response.statusText}`.trim();
      this.#responseError = new CallError({ error, code: `http_${response.status}` }, { sent: true });
    }
  }
  next() {
    const next = this.#previous.then(() => this.#next());
    this.#previous = next.catch(() => {
    });
    return next;
  }
  async return() {
    this.#isOver = true;
    await this.#cancel();
    return { value: void 0, done: true };
  }
  [Symbol.asyncIterator]() {
    return this;
  }
  async #next() {
    try {
      if (this.#responseError) throw this.#responseError;
      while (!this.#isOver) {
        const event = this.#events.next();
        if (!event.done) return event;
        if (!this.#reader) break;
        const { value, done } = await this.#reader.read();
        if (done) break;
        this.#events = this.#parser.push(this.#decoder.decode(value, { stream: true }));
      }
      this.#isOver = true;
      return { value: void 0, done: true };
    } catch (error) {
      this.#responseError = null;
      this.#isOver = true;
      await this.#cancel();
      throw error;
    }
  }
  async #cancel() {
    try {
      await this.#reader?.cancel();
    } catch {
    }
  }
};
var DEFAULT_MAX_ITEM = 16 << 20;
function http(url, options) {
  return new HttpClient(httpUrl(url), options);
}
var HttpClient = class {
  #url;
  #options;
  #timeout;
  #maxItem;
  #fetch;
  #bigint;
  constructor(url, given) {
    bindMethods(this, "sendAsync", "stream");
    const options = object("the options of http", given);
    this.#url = url;
    this.#timeout = duration("the option `timeout`", options.timeout, 3e3);
    this.#maxItem = limit("the option `maxItem`", options.maxItem, DEFAULT_MAX_ITEM);
    this.#fetch = optionalFunction("the option `fetch`", options.fetch);
    this.#bigint = flag("the option `bigint`", options.bigint);
    readHeaders(options.headers);
    this.#options = options;
  }
  async sendAsync(event, payload, options) {
    const { timeout, signal } = callOptions(options, this.#timeout);
    const request = this.#post(event, payload, "application/json", signal, timeout);
    try {
      const response = await request.response;
      return response.status === 204 ? null : fromJson(await response.text(), this.#bigint);
    } catch (error) {
      throw request.toCallError(error);
    } finally {
      request.release();
    }
  }
  stream(event, payload, options) {
    const { signal } = streamOptions(options);
    const request = this.#post(event, payload, "text/event-stream", signal, Infinity);
    return new HttpStream(request, this.#maxItem, this.#bigint);
  }
  #post(event, payload, accept, signal, timeout) {
    const headers = readHeaders(this.#options.headers);
    headers.set("accept", accept);
    headers.set("content-type", "application/json");
    const init = { method: "POST", headers, body: toJson(payload) };
    return new CallRequest(this.#fetch ?? globalThis.fetch, `${this.#url}/events/${eventPath(event)}`, init, signal, timeout);
  }
};
var CallRequest = class {
  #controller = new AbortController();
  release;
  constructor(fetch, url, init, signal, timeout) {
    const onTimeout = () => this.#controller.abort(new CallError({ error: "The request timed out", code: "timeout" }, { sent: true }));
    const timer = timeout <= MAX_TIMER_DELAY2 ? setTimeout(onTimeout, timeout) : void 0;
    const stopListening = onAbort(signal, (reason) => this.#controller.abort(cancelled(reason, { sent: true, taken: false })));
    this.release = () => {
      clearTimeout(timer);
      stopListening();
    };
    this.response = requireOk(fetch(url, { ...init, signal: this.#controller.signal }));
    this.response.catch(() => {
    });
  }
  abort() {
    this.release();
    this.#controller.abort();
  }
  toCallError(error) {
    const { aborted, reason } = this.#controller.signal;
    if (aborted && reason instanceof CallError) return reason;
    if (error instanceof CallError) return error;
    return outcomeUnknown(error instanceof Error ? error.message : String(error), { cause: error });
  }
};
var HttpStream = class {
  #request;
  #items;
  #isCancelled = false;
  constructor(request, maxItem, bigint) {
    this.#request = request;
    this.#items = readItems(request, maxItem, bigint);
  }
  async next() {
    try {
      return await this.#items.next();
    } catch (error) {
      if (this.#isCancelled) return { value: void 0, done: true };
      throw error;
    }
  }
  async return() {
    this.#isCancelled = true;
    this.#request.abort();
    await this.#items.return(void 0).catch(() => {
    });
    return { value: void 0, done: true };
  }
  [Symbol.asyncIterator]() {
    return this;
  }
};
async function* readItems(request, maxItem, bigint) {
  try {
    const response = await request.response;
    if (response.status === 204) return;
    for await (const { event, data } of new SseStream(response, maxItem)) {
      if (event === "end") return;
      const item = fromJson(data, bigint);
      if (event === "failed") throw new CallError(readFailure(item), { sent: true, taken: true });
      yield item;
    }
    throw outcomeUnknown("the response ended before the stream did");
  } catch (error) {
    throw request.toCallError(error);
  } finally {
    request.abort();
  }
}
var requireOk = async (request) => {
  const response = await request;
  if (response.ok) return response;
  throw new CallError(readErrorBody(await response.text(), response), { sent: true, taken: true });
};
var readErrorBody = (text2, { status, statusText }) => {
  try {
    const failure = JSON.parse(text2);
    if (typeof failure?.error === "string") return readFailure(failure);
  } catch {
  }
  return { error: `The server responded with ${status} ${statusText}`.trim(), code: `http_${status}` };
};
var eventPath = (event) => {
  const parts = wellFormed(String(event)).split("/");
  if (parts.every((part) => /^[A-Za-z0-9]/.test(part))) return parts.map(encodeURIComponent).join("/");
  throw new CallError({ error: `Unknown event: ${event}`, code: "unknown_event" }, { sent: false });
};
var readHeaders = (headers) => {
  if (headers === void 0 || headers === null) return new Headers();
  if (typeof headers !== "object") object("the option `headers`", headers);
  const result = new Headers();
  const isList = Symbol.iterator in headers;
  const entries = isList ? headers : Object.entries(headers);
  for (const [name, value] of entries) {
    if (value === void 0 || value === null) throw new TypeError(`aaw: the header ${JSON.stringify(name)} is ${value}`);
    try {
      result.append(name, String(value));
    } catch {
      throw new TypeError(`aaw: the header ${JSON.stringify(name)} has an invalid name or value`);
    }
  }
  return result;
};
var MAX_TIMER_DELAY2 = 2 ** 31 - 1;
var platform = { now: () => performance.now(), setTimeout: (callback, ms) => setTimeout(callback, ms), clearTimeout: (timer) => clearTimeout(timer), random: Math.random, onWake: (callback) => {
  if (typeof addEventListener !== "function" || typeof document === "undefined") return () => {
  };
  const onVisible = () => document.visibilityState === "visible" && callback();
  addEventListener("online", callback);
  document.addEventListener?.("visibilitychange", onVisible);
  document.addEventListener?.("resume", callback);
  return () => {
    removeEventListener("online", callback);
    document.removeEventListener?.("visibilitychange", onVisible);
    document.removeEventListener?.("resume", callback);
  };
}, onPageChange: (onHide, onShow) => {
  if (typeof addEventListener !== "function" || typeof document === "undefined") return () => {
  };
  const onPageShow = ({ persisted }) => persisted && onShow();
  addEventListener("pagehide", onHide);
  addEventListener("pageshow", onPageShow);
  return () => {
    removeEventListener("pagehide", onHide);
    removeEventListener("pageshow", onPageShow);
  };
}, sessionStorage: () => sessionStorage, wallClock: () => Date.now() };
var aaw = (url, options) => new Client(url, options, platform);
aaw.CallError = CallError;
aaw.http = http;
aaw.sse = sse;
var aaw_default = aaw;
module.exports = aaw;
module.exports.default = aaw;
