// Server-sent events, as the HTML standard defines them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { sse } from "../aaw/sse.js";

const encoder = new TextEncoder();

/** A body of these chunks, which counts reads and records its cancellation. @param {(string | Uint8Array)[]} chunks */
const body = (chunks, isEndless = false) => {
  let at = 0;
  let isCancelled = false;
  let pulls = 0;
  const stream = new ReadableStream(
    {
      pull(controller) {
        pulls += 1;
        if (at < chunks.length) {
          const chunk = chunks[at];
          at += 1;
          controller.enqueue(typeof chunk === "string" ? encoder.encode(chunk) : chunk);
        } else if (!isEndless) {
          controller.close();
        }
      },
      cancel() {
        isCancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, isCancelled: () => isCancelled, pulls: () => pulls };
};

/** @param {ReadableStream<Uint8Array> | Response} response @param {import("../aaw/sse.js").SseOptions} [options] */
const read = async (response, options) => {
  const events = [];
  for await (const event of sse(response, options)) events.push(event);
  return events;
};

/** @param {string} text */
const check = async (text, /** @type {unknown[]} */ ...events) =>
  assert.deepEqual(await read(body([text]).stream), events, JSON.stringify(text));

/** @param {string} data */
const message = (data, id = "") => ({ event: "message", data, id });

// All rules at once: byte order mark, the three line ends, comments, all fields, characters of two to four bytes.
const SAMPLE = [
  "\uFEFF: a comment\r\n",
  "retry: 10\r",
  "data: first\r\n",
  "data:sec\u00f6nd\r",
  "data\n",
  "\r\n",
  "id: \u20ac1\n",
  "event: \u{1F600}\n",
  'data: {"a":"\u{1F600}\uFEFF"}\n',
  "unknown: field\n",
  "\n",
  ":\r\r",
  "event: nothing\n\n",
  "id: x\0y\r\ndata:  two spaces\r\r",
  "id\rdata: last\n\n",
  "data: never ended\n",
].join("");

const EVENTS = [
  { event: "message", data: "first\nsec\u00f6nd\n", id: "", retry: 10 },
  { event: "\u{1F600}", data: '{"a":"\u{1F600}\uFEFF"}', id: "\u20ac1" },
  { event: "message", data: " two spaces", id: "\u20ac1" },
  { event: "message", data: "last", id: "" },
];

test("the events do not depend on where a chunk ends", async () => {
  const bytes = encoder.encode(SAMPLE);
  assert.deepEqual(await read(body([bytes]).stream), EVENTS);
  for (let at = 0; at <= bytes.length; at += 1) {
    const chunks = [bytes.slice(0, at), bytes.slice(at)];
    assert.deepEqual(await read(body(chunks).stream), EVENTS, `split at ${at}`);
  }
  assert.deepEqual(await read(body(Array.from(bytes, (byte) => Uint8Array.of(byte))).stream), EVENTS, "byte by byte");
});

test("the events do not depend on where two chunks end", async () => {
  const bytes = encoder.encode(SAMPLE);
  for (let from = 0; from < bytes.length; from += 1) {
    for (let to = from; to <= Math.min(from + 4, bytes.length); to += 1) {
      const chunks = [bytes.slice(0, from), bytes.slice(from, to), bytes.slice(to)];
      assert.deepEqual(await read(body(chunks).stream), EVENTS, `split at ${from} and ${to}`);
    }
  }
});

test("the examples of the HTML standard yield the events it documents", async () => {
  await check("data: YHOO\ndata: +2\ndata: 10\n\n", message("YHOO\n+2\n10"));
  await check(
    ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
    message("first event", "1"),
    message("second event"),
    message(" third event"),
  );
  await check("data\n\ndata\ndata\n\ndata:", message(""), message("\n"));
  await check("data:test\n\ndata: test\n\n", message("test"), message("test"));
});

test("the fields data, id, event and retry are parsed, and others ignored", async () => {
  await check("data: a\nid: 1\n\ndata: b\n\n", message("a", "1"), message("b", "1"));
  await check("id: 1\n\ndata: b\n\n", message("b", "1"));
  await check("id: 1\ndata: a\nid: 2\0\n\n", message("a", "1"));
  await check(
    "retry: 1x\ndata: a\n\nretry: -1\ndata: b\n\nretry:\ndata: c\n\n",
    message("a"),
    message("b"),
    message("c"),
  );
  await check("retry: 5\n\ndata: a\n\ndata: b\n\n", { ...message("a"), retry: 5 }, message("b"));
  await check("event: a\nevent: b\ndata: 1\n\ndata: 2\n\n", { event: "b", data: "1", id: "" }, message("2"));
  await check("Data: no\n data: no\ndata : no\nDATA: no\n\n");
  await check("data: a:b: c\n\n", message("a:b: c"));
  await check("\uFEFF\uFEFFdata: a\n\ndata: b\n\n", message("b"));
  await check("data: a\n");
  await check("");
});

test("invalid UTF-8 is replaced with U+FFFD", async () => {
  const bytes = Uint8Array.of(...encoder.encode("data: "), 0xff, 0xe2, 0x82, ...encoder.encode("\n\n"));
  assert.deepEqual(await read(body([bytes]).stream), [message("\ufffd\ufffd")]);
});

test("a response is read, and an error status is thrown", async () => {
  assert.deepEqual(await read(new Response("data: a\n\n")), [message("a")]);
  assert.deepEqual(await read(new Response(null, { status: 204 })), []);
  await assert.rejects(read(new Response("no", { status: 500 })), { code: "http_500" });
});

test("leaving the loop cancels the body, and nothing is read ahead", async () => {
  const { stream, isCancelled, pulls } = body(["data: a\n\ndata: b\n\n", "data: c\n\n"], true);
  for await (const { data } of sse(stream)) if (data === "b") break;
  assert.equal(isCancelled(), true);
  assert.equal(pulls(), 1);
});

test("return ends a pending next", async () => {
  const { stream, isCancelled } = body([], true);
  const events = sse(stream);
  const next = events.next();
  assert.deepEqual(await events.return(), { value: undefined, done: true });
  assert.deepEqual(await next, { value: undefined, done: true });
  assert.equal(isCancelled(), true);
});

test("next can be called several times at once", async () => {
  const events = sse(body(["data: a\n\nda", "ta: b\n\n"]).stream);
  const results = await Promise.all([events.next(), events.next(), events.next(), events.next()]);
  assert.deepEqual(
    results.map(({ value }) => value?.data),
    ["a", "b", undefined, undefined],
  );
});

test("an error of the body is thrown once", async () => {
  const broken = new Error("reset");
  let isFirst = true;
  const events = sse(
    new ReadableStream({
      pull(controller) {
        if (isFirst) controller.enqueue(encoder.encode("data: a\n\n"));
        else controller.error(broken);
        isFirst = false;
      },
    }),
  );
  assert.equal((await events.next()).value?.data, "a");
  await assert.rejects(events.next(), broken);
  assert.equal((await events.next()).done, true);
});

test("an event that is too large throws, and the body is cancelled", async () => {
  const megabyte = "x".repeat(1 << 20);
  for (const chunks of [
    [`data: ${megabyte.repeat(10)}\n\n`],
    ["data: ", ...Array(10).fill(megabyte)],
    [": ", ...Array(10).fill(megabyte)],
    Array(10).fill(`data: ${megabyte}\n`),
    Array(10).fill(`event: ${megabyte}\r\n`),
    Array(10).fill("data\n".repeat(1 << 18)),
  ]) {
    const { stream, isCancelled, pulls } = body(chunks, true);
    await assert.rejects(read(stream), { name: "EventTooLarge", code: "too_large" });
    assert.equal(isCancelled(), true);
    assert.ok(pulls() <= 6, `${pulls()} chunks were read`);
  }
});

test("the size limit applies to a single event, and is configurable", async () => {
  const megabyte = "x".repeat(1 << 20);
  const events = await read(
    body([...Array(10).fill(`data: ${megabyte}\n\n`), ...Array(10).fill(`:${megabyte}\n`)]).stream,
  );
  assert.equal(events.length, 10);
  const large = body([`data: ${megabyte.repeat(10)}\n\n`]).stream;
  assert.equal((await read(large, { maxEvent: 11 << 20 }))[0].data.length, 10 << 20);
  await assert.rejects(read(body(["data: 12345\n\n"]).stream, { maxEvent: 10 }), { code: "too_large" });
});
