import aaw from "/aaw.js";

/** What the states of the connection are called. */
const STATES = { open: "live", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const byId = (id) => document.getElementById(id);

/** The connection: made when the first category is chosen. */
let ws;

/** The stream of totals, to which commands can be sent. */
let totals;

/** What is shown. */
let chosen;

// What there is to choose from is asked over HTTP: there is no connection yet.
const categories = await aaw.http().sendAsync("orders/categories");
for (const category of categories) {
  const label = document.createElement("label");
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = "category";
  radio.className = "unseen";
  radio.addEventListener("change", () => choose(category));
  label.append(radio, category);
  byId("categories").append(label);
}

function choose(category) {
  chosen = category;
  byId("products").replaceChildren();
  byId("chosen").textContent = category;
  byId("hint").hidden = true;
  byId("add").hidden = false;
  if (ws) {
    totals.send({ cmd: "update-category", payload: { category } });
  } else {
    connect();
  }
}

function connect() {
  ws = aaw();
  const tell = () => {
    byId("state").dataset.state = ws.state;
    byId("state").textContent = STATES[ws.state];
  };
  ws.on("aaw/state", tell);
  tell();
  again(async () => {
    totals = ws.duplex("orders/watch", { category: chosen });
    for await (const order of totals) show(order);
  });
  again(async () => {
    for await (const many of ws.stream("orders/watching")) {
      byId("watching").textContent = many === 1 ? "Nobody else is watching." : `${many} pages are watching.`;
    }
  });
}

/** Reads a stream, and once more whenever it has ended: it waits for the next connection by itself. */
async function again(read) {
  for (;;) {
    try {
      await read();
    } catch (error) {
      // If it is not the connection that was lost, another attempt is not worth a hurry.
      if (error.code !== "outcome_unknown") await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

function show({ id, category, name, total }) {
  // What was on its way when another category was chosen.
  if (category !== chosen) return;
  let item = byId(id);
  if (!item) {
    item = document.createElement("li");
    item.id = id;
    item.className = "card";
    item.innerHTML = `<span class="id quiet"></span><h2></h2><p class="orders"><span class="big"></span> orders</p>`;
    item.querySelector(".id").textContent = id;
    item.querySelector("h2").textContent = name;
    item.addEventListener("animationend", () => item.classList.remove("changed"));
    byId("products").append(item);
  } else if (item.querySelector(".big").textContent !== String(total)) {
    item.classList.add("changed");
  }
  item.querySelector(".big").textContent = total;
}

byId("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("wrong").textContent = "";
  try {
    // It comes back over the stream, as to everybody.
    await ws.sendAsync("orders/add", { category: chosen, name: byId("name").value });
    byId("name").value = "";
  } catch ({ error }) {
    byId("wrong").textContent = error;
  }
});
