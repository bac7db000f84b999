import aaw from "/aaw.js";

/** Rows on the page: the newest ones. */
const MAX_ROWS = 8;

/** Rows that each polling request returns at most. */
const PAGE_SIZE = 500;

const EVENT = "users/all";

const byId = (id) => document.getElementById(id);

/** The credit is larger than the default of 64 items, because the rows are small and many. */
const ws = aaw(undefined, { window: 1024 });

const http = aaw.http();

/** The transports. Each takes the body and a signal, and yields rows. */
const transports = {
  websocket: (body, signal) => ws.stream(EVENT, body, { signal }),

  sse: (body, signal) => http.stream(EVENT, body, { signal }),

  async *array(body, signal) {
    yield* await http.sendAsync(EVENT, body, { signal, timeout: Infinity });
  },

  // The others do without the client: they make plain requests, as any program can.

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
        // If the call fails, the last line is the error. Rows have no such field.
        if (item.error) throw item;
        yield item;
      }
    }
  },

  async *polling(body, signal) {
    let cursor;
    do {
      const query = new URLSearchParams({ take: PAGE_SIZE, ...(cursor && { cursor }) });
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

async function read(transport, name) {
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
    byId("rate").textContent = count && seconds > 0.2 ? `${rate} per second` : "";
    byId("rows").replaceChildren(...newest.toReversed().map(tableRow));
  };
  byId("error").textContent = "";
  byId("status").textContent = `Reading: ${name}`;
  byId("stop").disabled = false;
  draw();
  try {
    for await (const user of transports[transport](body, mine.signal)) {
      count += 1;
      newest.push(user);
      if (newest.length > MAX_ROWS) newest.shift();
      if (isDrawn) {
        // At most once for each animation frame.
        isDrawn = false;
        requestAnimationFrame(draw);
      }
      if (slowly) await new Promise((resolve) => setTimeout(resolve, 100));
    }
    if (mine === stop) byId("status").textContent = `Completed: ${name}`;
  } catch (error) {
    if (mine !== stop) return;
    byId("status").textContent = mine.signal.aborted ? `Stopped: ${name}` : `Failed: ${name}`;
    // The server's error (`error`), or the browser's (`message`).
    if (!mine.signal.aborted) byId("error").textContent = error.error ?? error.message;
  }
  if (mine !== stop) return;
  draw();
  byId("stop").disabled = true;
}

function tableRow({ id, name, email }) {
  const row = document.createElement("tr");
  for (const text of [id, name, email]) row.insertCell().textContent = text;
  return row;
}

for (const button of document.querySelectorAll("[data-transport]")) {
  button.addEventListener("click", () => read(button.dataset.transport, button.textContent));
}
byId("stop").addEventListener("click", () => stop.abort());

/** The labels of the connection's states. */
const STATES = { open: "connected", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const showState = () => {
  byId("state").dataset.state = ws.state;
  byId("state").textContent = STATES[ws.state];
};
ws.on("aaw/state", showState);
showState();
