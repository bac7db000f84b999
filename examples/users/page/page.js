import aaw from "/aaw.js";

/** The newest rows are shown; a page does not hold a million either. */
const SHOWN = 8;

/** Rows that one request of polling asks for. */
const AT_ONCE = 500;

const EVENT = "users/all";

const byId = (id) => document.getElementById(id);

/** With more room than the usual 64 items: these are small, and many. */
const ws = aaw(undefined, { window: 1024 });

const http = aaw.http();

/** The ways to read one event. Each is given the body and a signal, and yields rows. */
const ways = {
  websocket: (body, signal) => ws.stream(EVENT, body, { signal }),

  sse: (body, signal) => http.stream(EVENT, body, { signal }),

  async *array(body, signal) {
    yield* await http.sendAsync(EVENT, body, { signal, timeout: Infinity });
  },

  // What follows shows what the above do: plain requests, as any program can make them.

  async *ndjson(body, signal) {
    const response = await post(EVENT, body, "application/x-ndjson", signal);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const item = JSON.parse(line);
        // A failure is the last line; a row has no such field.
        if (item.error) throw item;
        yield item;
      }
    }
  },

  async *polling(body, signal) {
    let cursor;
    do {
      const query = new URLSearchParams({ take: AT_ONCE, ...(cursor && { cursor }) });
      const response = await post(`${EVENT}?${query}`, body, "application/json", signal);
      const page = await response.json();
      yield* page.items;
      cursor = page.cursor;
    } while (cursor);
  },
};

async function post(path, body, accept, signal) {
  const headers = { accept, "content-type": "application/json" };
  const response = await fetch(`/events/${path}`, { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!response.ok) throw await response.json();
  return response;
}

let stop = new AbortController();

async function read(way, name) {
  stop.abort();
  const mine = (stop = new AbortController());
  const body = { is_damaged: byId("damaged").checked };
  const slowly = byId("slowly").checked;
  const began = performance.now();
  let count = 0;
  let newest = [];
  let isDrawn = true;
  const draw = () => {
    isDrawn = true;
    if (mine !== stop) return;
    byId("count").textContent = count.toLocaleString("en");
    const seconds = (performance.now() - began) / 1000;
    const rate = Math.round(count / seconds).toLocaleString("en");
    byId("rate").textContent = count && seconds > 0.2 ? `${rate} a second` : "";
    byId("rows").replaceChildren(...newest.toReversed().map(line));
  };
  byId("wrong").textContent = "";
  byId("how").textContent = `Reading: ${name}`;
  byId("stop").disabled = false;
  draw();
  try {
    for await (const user of ways[way](body, mine.signal)) {
      count += 1;
      newest.push(user);
      if (newest.length > SHOWN) newest.shift();
      if (isDrawn) {
        // At most once a frame: rows come faster than anybody looks.
        isDrawn = false;
        requestAnimationFrame(draw);
      }
      if (slowly) await new Promise((resolve) => setTimeout(resolve, 100));
    }
    if (mine === stop) byId("how").textContent = `Read all: ${name}`;
  } catch (error) {
    if (mine !== stop) return;
    byId("how").textContent = mine.signal.aborted ? `Stopped: ${name}` : `Failed: ${name}`;
    // The server's words, of whatever way; or the browser's.
    if (!mine.signal.aborted) byId("wrong").textContent = error.error ?? error.message;
  }
  if (mine !== stop) return;
  draw();
  byId("stop").disabled = true;
}

function line({ id, name, email }) {
  const row = document.createElement("tr");
  for (const text of [id, name, email]) row.insertCell().textContent = text;
  return row;
}

for (const button of document.querySelectorAll("[data-way]")) {
  button.addEventListener("click", () => read(button.dataset.way, button.textContent));
}
byId("stop").addEventListener("click", () => stop.abort());

/** What the states of the connection are called. */
const STATES = { open: "connected", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const tell = () => {
  byId("state").dataset.state = ws.state;
  byId("state").textContent = STATES[ws.state];
};
ws.on("aaw/state", tell);
tell();
