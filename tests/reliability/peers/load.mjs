// The load of tests/reliability/peers: clients that make calls, or read pushes, through connections that break. Compares
// what they know with what the server has recorded, and prints the counts as one line of JSON.
//
// `src/peers/load.rs` starts this with the options as JSON. `clients/` has the clients.

import { setTimeout as sleep } from "node:timers/promises";

import { callBody, callId } from "../call_body.mjs";

/**
 * The same for all peers; in ms.
 *
 * @typedef {{
 *   client: number,
 *   timeout: number,
 *   connectTimeout: number,
 *   backoff: { min: number, max: number },
 * }} Timing
 *
 * @typedef {{
 *   counts: { resumed: number, begun: number },
 *   call: (event: string, body: object) => Promise<any>,
 *   ticks: (
 *     times: number,
 *     every: number,
 *     listeners: { onTick: (number: number) => void, onGap: (lost: number) => void },
 *   ) => void,
 *   close: () => void | Promise<void>,
 * }} Connection `begun` counts the connections that do not continue an earlier one.
 *
 * @typedef {(url: string, timing: Timing) => Connection} Connect
 */

const { peer, url, direct, seed, clients, calls, inFlight, time, timeout, ticks } = JSON.parse(process.argv[2]);

/** @type {{ connect: Connect }} */
const { connect } = await import(`./clients/${peer}.mjs`);

const timing = (/** @type {number} */ client) => ({
  client,
  timeout,
  connectTimeout: 4000,
  backoff: { min: 1, max: 20 },
});

/** How long results may arrive after the last call was made: a call that has been made last may take its whole timeout. */
const SETTLING = timeout + 5000;

/** No further push is expected if none has arrived at any client for this time: longer than a black hole is open. */
const LAST_PUSH = 25_000;

/** What a client knows about its call. */
const State = { pending: 0, response: 1, failed: 2 };

/** A promise, and the function that resolves it. */
const signal = () => {
  let done = () => {};
  const reached = new Promise((resolve) => (done = () => resolve(undefined)));
  return { reached, done };
};

/** Waits for `promise`, or for this time. */
const atMost = (/** @type {Promise<unknown>} */ promise, /** @type {number} */ ms) => {
  const timer = new AbortController();
  const over = sleep(ms, undefined, { signal: timer.signal }).catch(() => {});
  return Promise.race([promise, over]).finally(() => timer.abort());
};

/** Closes clients, whose connections may be broken at the moment. */
const closeAll = (/** @type {Connection[]} */ all) => atMost(Promise.all(all.map((one) => one.close())), 2000);

const sum = (/** @type {number[]} */ numbers) => numbers.reduce((sum, number) => sum + number, 0);

const connectionCounts = (/** @type {Connection[]} */ all) => ({
  resumed: sum(all.map((one) => one.counts.resumed)),
  lost_connections: sum(all.map((one) => Math.max(0, one.counts.begun - 1))),
});

/** Makes the calls. Returns what the clients know about each, by its id. */
const makeCalls = async () => {
  const began = Date.now();
  /** @type {Map<number, number>} */
  const results = new Map();
  /** @type {Record<string, number>} */
  const errors = {};
  const fail = (/** @type {number} */ id, /** @type {string} */ error) => {
    results.set(id, State.failed);
    errors[error] = (errors[error] ?? 0) + 1;
  };
  const connections = Array.from({ length: clients }, (_, client) => connect(url, timing(client)));
  const runClient = (/** @type {Connection} */ connection, /** @type {number} */ client) => {
    const many = Math.floor(calls / clients) + (client < calls % clients ? 1 : 0);
    let next = 0;
    const caller = async () => {
      while (next < many && Date.now() < began + time) {
        const id = callId(client, next);
        next += 1;
        results.set(id, State.pending);
        try {
          const added = await connection.call("counter/add", callBody(seed, id));
          if (added.id === id) results.set(id, State.response);
          else fail(id, "the response to another call");
        } catch (error) {
          fail(id, `${error.error ?? error.message ?? error}`);
        }
      }
    };
    return Promise.all(Array.from({ length: inFlight }, caller));
  };
  await atMost(Promise.all(connections.map(runClient)), time + SETTLING);
  const wall = Date.now() - began;
  const { user, system } = process.cpuUsage();
  const counts = connectionCounts(connections);
  // A late response does not change what was known in time.
  const known = new Map(results);
  await closeAll(connections);
  return { known, report: { errors, ...counts, wall, cpu: (user + system) / 1000 } };
};

/** Returns how often the calls of these ids have run, once that does not change any more. */
const executionsOf = async (/** @type {number[]} */ ids) => {
  const connection = connect(direct, timing(0));
  const count = async () => (await connection.call("counter/get", { ids: [] })).calls;
  for (let before = -1, now = await count(); now !== before; now = await count()) {
    before = now;
    await sleep(500);
  }
  /** @type {number[]} */
  const executions = [];
  for (let at = 0; at < ids.length; at += 1000) {
    const part = await connection.call("counter/get", { ids: ids.slice(at, at + 1000) });
    executions.push(...part.executions.map((/** @type {{ started: number }} */ one) => one.started));
  }
  await closeAll([connection]);
  return executions;
};

const runCalls = async () => {
  const { known, report } = await makeCalls();
  const ids = [...known.keys()];
  const executions = await executionsOf(ids);
  /** Counts the calls of which this is true. */
  const count = (/** @type {(state: number | undefined, ran: number) => boolean} */ is) =>
    ids.filter((id, n) => is(known.get(id), executions[n])).length;
  return {
    made: ids.length,
    responses: count((state) => state === State.response),
    once: count((_, ran) => ran === 1),
    repeated: count((_, ran) => ran > 1),
    failed_and_ran: count((state, ran) => state === State.failed && ran > 0),
    failed_and_never_ran: count((state, ran) => state === State.failed && ran === 0),
    succeeded_and_never_ran: count((state, ran) => state === State.response && ran === 0),
    without_result: count((state) => state === State.pending),
    ...report,
  };
};

const runPushes = async () => {
  const { times, every } = ticks;
  const began = Date.now();
  let latest = began;
  const clientPushes = (/** @type {number} */ client) => {
    const connection = connect(url, timing(client));
    const received = new Map();
    const { reached, done } = signal();
    let reported = 0;
    connection.ticks(times, every, {
      onTick: (number) => {
        latest = Date.now();
        received.set(number, (received.get(number) ?? 0) + 1);
        if (number === times) done();
      },
      onGap: (lost) => (reported += lost),
    });
    return { connection, received, reached, reported: () => reported };
  };
  const all = Array.from({ length: clients }, (_, client) => clientPushes(client));
  let haveAllReached = false;
  const reached = Promise.all(all.map((one) => one.reached)).then(() => (haveAllReached = true));
  while (!haveAllReached && Date.now() < latest + LAST_PUSH) await atMost(reached, 1000);
  const wall = Date.now() - began;
  const { user, system } = process.cpuUsage();
  const counts = connectionCounts(all.map((one) => one.connection));
  const report = {
    sent: clients * times,
    lost: sum(all.map((one) => times - one.received.size)),
    doubled: sum(all.map((one) => [...one.received.values()].filter((often) => often > 1).length)),
    reported: sum(all.map((one) => one.reported())),
    ...counts,
    wall,
    cpu: (user + system) / 1000,
  };
  await closeAll(all.map((one) => one.connection));
  return report;
};

const report = ticks ? await runPushes() : await runCalls();
process.stdout.write(JSON.stringify(report), () => process.exit(0));
