/* A checklist on the screen. A tick shows only when the log has it.

   The component draws and nothing else: `actions.mark(item, checked)` records and resolves to
   the list as the log has it, `actions.retry()` asks again. JupyterLab reaches the log through
   our server extension, other front ends through the kernel; both draw with this file.

   A list is {incident, list, title, required, person, now, items: [{id, text, by, at, via}]}. */

/* How long a click may take to be recorded, and how much longer its sender waits to hear of
   it: when the sender gives up, the recorder has long refused. */
const PATIENCE_MS = 6000;
const MARGIN_MS = 1500;
/* A click this soon after somebody else's change was meant for what was there before it. */
const SURPRISE_MS = 700;

/* What a person is told. `hint` is the next step. */
export class Refused extends Error {
  constructor(message, hint = "") {
    super(message);
    this.hint = hint;
  }
}

/* Nobody answered in time, or nobody can be reached. */
export class Unreachable extends Refused {}

export function patienceMs() {
  return PATIENCE_MS + MARGIN_MS;
}

export function newNonce() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/* The recorder's clock counts: `now` of its last answer, carried on by ours. The answer's way
   here makes the deadline earlier, never later. */
export function recorderClock() {
  let offset = 0;
  return {
    heard(list) {
      offset = Date.parse(list.now) - Date.now();
    },
    deadline() {
      return new Date(Date.now() + offset + PATIENCE_MS).toISOString();
    },
  };
}

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/* Writes only what differs, so that a screen reader is not told the same thing twice. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function clockTime(iso) {
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return today ? time : `${at.toLocaleDateString()} ${time}`;
}

export function utcTime(iso) {
  return `${new Date(iso).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

function drawItem(prefix, item, press) {
  const box = element("input", {
    type: "checkbox",
    id: `${prefix}-box`,
    "aria-describedby": `${prefix}-by`,
  });
  const label = element("label", { for: `${prefix}-box`, class: "imt-text" });
  const by = element("span", { class: "imt-by", id: `${prefix}-by` });
  const row = element("li", { class: "imt-item", "data-state": "open" }, box, label, by);
  box.addEventListener("click", (event) => {
    // The browser must not tick it: the log does. The second click of a double click is
    // not a wish to take the tick back.
    event.preventDefault();
    if (event.detail < 2) press(item.id);
  });
  return { row, box, label, by, item, shown: "", changedAt: -Infinity };
}

function showItem(line, item) {
  if (Boolean(line.item.by) !== Boolean(item.by)) line.changedAt = performance.now();
  line.item = item;
  say(line.label, item.text);
  if (line.row.dataset.state === "recording") return;
  const ticked = Boolean(item.by);
  line.box.checked = ticked;
  line.box.removeAttribute("aria-busy");
  line.row.dataset.state = ticked ? "recorded" : "open";
  const shown = ticked ? `${item.by}${item.at}${clockTime(item.at)}` : "";
  if (shown === line.shown) return;
  line.shown = shown;
  line.by.replaceChildren();
  if (ticked) {
    const time = element("time", { datetime: item.at, title: utcTime(item.at) });
    time.textContent = clockTime(item.at);
    line.by.append(`${item.by}, `, time);
  }
}

function frame() {
  const title = element("span", { class: "imt-title" });
  const meta = element("span", { class: "imt-meta" });
  const count = element("p", { class: "imt-count" });
  const bar = element("span", { class: "imt-bar", "aria-hidden": "true" }, element("span"));
  const items = element("ul", { class: "imt-items" });
  const status = element("p", { class: "imt-status", role: "status", "aria-live": "polite" });
  const problem = element("p", { class: "imt-problem", role: "alert" });
  const retry = element("button", { type: "button", class: "imt-retry", hidden: "" });
  retry.textContent = "Try again";
  const field = element("fieldset", { class: "imt-fieldset" });
  field.append(element("legend", {}, title, meta), bar, count, items, problem, retry, status);
  return { title, meta, count, bar, items, status, problem, retry, field };
}

let drawn = 0;

/* Draws into `root`; returns {show(list), loading(), unreachable(error), dispose()}. */
export function drawChecklist(root, actions) {
  const prefix = `imt-${(drawn += 1)}-${newNonce().slice(0, 6)}`;
  const parts = frame();
  const lines = new Map();
  root.classList.add("imt-live");
  root.append(parts.field);

  const setState = (state) => {
    root.dataset.state = state;
    parts.field.setAttribute("aria-busy", String(state === "loading"));
    parts.retry.hidden = state !== "unreachable";
    for (const { box } of lines.values()) {
      // Not `disabled`: that would throw the keyboard's place away.
      if (state === "live") box.removeAttribute("aria-disabled");
      else box.setAttribute("aria-disabled", "true");
    }
  };

  const complain = (error, lead) => {
    say(parts.problem, [lead, error.message, error.hint].filter(Boolean).join(" "));
  };

  const press = async (id) => {
    const line = lines.get(id);
    if (root.dataset.state !== "live" || line.row.dataset.state === "recording") return;
    if (performance.now() - line.changedAt < SURPRISE_MS) {
      const now = line.item.by ? `${line.item.by} ticked it` : "its tick was taken back";
      say(parts.status, `Nothing done: ${now} just now. ${line.item.text}`);
      return;
    }
    const wanted = !line.item.by;
    line.row.dataset.state = "recording";
    line.box.setAttribute("aria-busy", "true");
    line.shown = null;
    say(line.by, "recording…");
    say(parts.problem, "");
    say(parts.status, "");
    let failure = null;
    let list = null;
    try {
      list = await actions.mark(id, wanted);
    } catch (error) {
      failure = error;
    }
    line.row.dataset.state = "open";
    if (list) {
      show(list);
      announce(lines.get(id), list, wanted);
      return;
    }
    showItem(line, line.item);
    line.row.dataset.state = "failed";
    if (!line.item.by) say(line.by, "NOT RECORDED");
    complain(failure, `NOT RECORDED: “${line.item.text}”.`);
  };

  const announce = (line, list, wanted) => {
    if (!line) return;
    const { item } = line;
    if (wanted && item.by === list.person) say(parts.status, `Recorded: ${item.text}`);
    else if (wanted && item.by) say(parts.status, `${item.by} had ticked it already: ${item.text}`);
    else if (!wanted && !item.by) say(parts.status, `Tick taken back: ${item.text}`);
    else say(parts.status, `Somebody else changed it meanwhile: ${item.text}`);
  };

  const show = (list) => {
    say(parts.title, list.title);
    say(parts.meta, list.incident);
    const keep = new Set(list.items.map((item) => item.id));
    for (const [id, line] of lines) {
      if (keep.has(id)) continue;
      line.row.remove();
      lines.delete(id);
    }
    list.items.forEach((item, index) => {
      if (!lines.has(item.id)) lines.set(item.id, drawItem(`${prefix}-${index}`, item, press));
      const line = lines.get(item.id);
      if (parts.items.children[index] !== line.row) {
        parts.items.insertBefore(line.row, parts.items.children[index] || null);
      }
      const failed = line.row.dataset.state === "failed" && !item.by;
      if (!failed) showItem(line, item);
    });
    const done = list.items.filter((item) => item.by).length;
    const all = done === list.items.length;
    const owed = list.required && !all ? " · required before the incident is closed" : "";
    say(parts.count, `${done} of ${list.items.length} done${owed}`);
    parts.bar.firstChild.style.width = `${(100 * done) / Math.max(1, list.items.length)}%`;
    if (root.dataset.state !== "live") say(parts.problem, "");
    setState("live");
  };

  const loading = (list, incident) => {
    say(parts.title, list);
    say(parts.meta, incident);
    say(parts.count, "Reading the incident log…");
    setState("loading");
  };

  const unreachable = (error) => {
    setState("unreachable");
    const known = lines.size ? "What stands here may be old. " : "";
    if (!lines.size) say(parts.count, "The items are not known yet.");
    complain(error, `${known}Nothing can be ticked now.`);
  };

  parts.retry.addEventListener("click", () => actions.retry());
  return { show, loading, unreachable, dispose: () => root.replaceChildren() };
}
