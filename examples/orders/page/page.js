import aaw from "/aaw.js";

/** The labels of the connection's states. */
const STATES = { open: "live", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const byId = (id) => document.getElementById(id);

const ws = aaw();

const showState = () => {
  byId("state").dataset.state = ws.state;
  byId("state").textContent = STATES[ws.state];
};
ws.on("aaw/state", showState);
showState();

/** The stream of totals, from the first choice of a category on. Commands are sent over it. */
let totals;

/** The category that is shown. */
let chosen;

// Without a timeout: the call waits for the first connection, however long that takes.
const categories = await ws.sendAsync("orders/categories", null, Infinity);
for (const category of categories) {
  const label = document.createElement("label");
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = "category";
  radio.className = "visually-hidden";
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
  if (totals) {
    totals.send({ cmd: "update-category", payload: { category } });
  } else {
    watch();
  }
}

function watch() {
  repeat(async () => {
    totals = ws.duplex("orders/watch", { category: chosen });
    for await (const order of totals) showTotal(order);
  });
  repeat(async () => {
    for await (const count of ws.stream("orders/watching")) {
      byId("watching").textContent = count === 1 ? "No other page is watching." : `${count} pages are watching.`;
    }
  });
}

/** Reads a stream again whenever it ends. The call waits for the next connection. */
async function repeat(read) {
  for (;;) {
    try {
      await read();
    } catch (error) {
      // After any error but a lost connection, wait before trying again.
      if (error.code !== "outcome_unknown") await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

function showTotal({ id, category, name, total }) {
  // It was in transit when another category was chosen.
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
  byId("error").textContent = "";
  try {
    // The product arrives over the stream, as on all pages.
    await ws.sendAsync("orders/add", { category: chosen, name: byId("name").value });
    byId("name").value = "";
  } catch ({ error }) {
    byId("error").textContent = error;
  }
});
