/* A gate on the screen, or a change to be approved. An answer shows only when the log has it.

   The component draws and nothing else: `actions.answer(answer, reason)` records and resolves
   to the gate as the log has it, `actions.retry()` asks again.

   A gate is {incident, gate, title, state, said, answers, answer, by, at, facts, by_hand,
   person, refusal, now}. */

import { clockTime, element, newNonce, say, utcTime } from "./checklist.js";

function frame(prefix) {
  const title = element("span", { class: "imt-title" });
  const meta = element("span", { class: "imt-meta" });
  const said = element("p", { class: "imt-count imt-said" });
  const facts = element("dl", { class: "imt-facts" });
  const reason = element("input", { type: "text", id: `${prefix}-reason`, maxlength: "2000" });
  const label = element("label", { for: `${prefix}-reason` }, "Why (it stands in the log)");
  const why = element("p", { class: "imt-why" }, label, reason);
  const buttons = element("p", { class: "imt-answers" });
  const status = element("p", { class: "imt-status", role: "status", "aria-live": "polite" });
  const problem = element("p", { class: "imt-problem", role: "alert" });
  const retry = element("button", { type: "button", class: "imt-retry", hidden: "" });
  retry.textContent = "Try again";
  const field = element("fieldset", { class: "imt-fieldset" });
  field.append(element("legend", {}, title, meta), said, facts, why, buttons, problem, retry, status);
  return { title, meta, said, facts, why, reason, buttons, status, problem, retry, field };
}

function showFacts(node, facts) {
  const text = JSON.stringify(facts);
  if (node.dataset.shown === text) return;
  node.dataset.shown = text;
  node.replaceChildren(
    ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
}

function showSaid(node, gate) {
  const shown = [gate.said, gate.by, gate.at].join();
  if (node.dataset.shown === shown) return;
  node.dataset.shown = shown;
  node.replaceChildren(element("strong", {}, gate.said));
  if (!gate.at || !gate.by) return;
  const time = element("time", { datetime: gate.at, title: utcTime(gate.at) }, clockTime(gate.at));
  node.append(` – ${gate.by}, `, time);
}

let drawn = 0;

/* Draws into `root`; returns {show(gate), loading(), unreachable(error), dispose()}. */
export function drawGate(root, actions) {
  const prefix = `imt-gate-${(drawn += 1)}-${newNonce().slice(0, 6)}`;
  const parts = frame(prefix);
  const buttons = new Map();
  let known = null;
  let isRecording = false;
  /* What was pressed and is not recorded: said until an answer is, or the log is read again. */
  let lost = "";
  root.classList.add("imt-live", "imt-live-gate");
  root.append(parts.field);

  const mayPress = () =>
    root.dataset.state === "live" && known.state === "waiting" && !known.refusal && !isRecording;

  const setState = (state) => {
    root.dataset.state = state;
    parts.field.setAttribute("aria-busy", String(state === "loading" || isRecording));
    parts.retry.hidden = state !== "unreachable";
    for (const button of buttons.values()) {
      // Not `disabled`: that would throw the keyboard's place away.
      if (known && mayPress()) button.removeAttribute("aria-disabled");
      else button.setAttribute("aria-disabled", "true");
    }
  };

  const complain = (error, lead) => {
    say(parts.problem, [lead, error.message, error.hint].filter(Boolean).join(" "));
  };

  const press = async (answer) => {
    if (root.dataset.state === "unreachable") {
      lost = `NOT RECORDED: “${answer}”.`;
      say(parts.problem, `${lost} Nothing can be answered now.`);
    }
    if (!mayPress()) return;
    lost = "";
    isRecording = true;
    setState("live");
    say(parts.problem, "");
    say(parts.status, "recording…");
    let failure = null;
    try {
      await actions.answer(answer, parts.reason.value);
    } catch (error) {
      failure = error;
    }
    isRecording = false;
    if (root.dataset.state === "live") show(known);
    if (!failure) return;
    say(parts.status, "");
    lost = `NOT RECORDED: “${answer}”.`;
    complain(failure, lost);
  };

  const showButtons = (gate) => {
    for (const answer of gate.answers) {
      if (buttons.has(answer)) continue;
      const button = element("button", { type: "button", class: "imt-answer" }, answer);
      button.addEventListener("click", (event) => {
        if (event.detail < 2) press(answer);
      });
      buttons.set(answer, button);
      parts.buttons.append(button);
    }
    const isOver = gate.state !== "waiting";
    parts.buttons.hidden = isOver;
    parts.why.hidden = isOver || Boolean(gate.refusal);
  };

  const tell = (gate) => {
    if (isRecording) return;
    if (gate.state === "waiting") say(parts.status, gate.refusal);
    else if (gate.state === "expired") say(parts.status, "It takes no answer any more.");
    else if (gate.by_hand) say(parts.status, `Recorded: ${gate.answer}. Run the cell again to go on.`);
    else say(parts.status, `Recorded: ${gate.answer}`);
  };

  const show = (gate) => {
    known = gate;
    say(parts.title, gate.title);
    say(parts.meta, gate.incident);
    showSaid(parts.said, gate);
    showFacts(parts.facts, gate.facts);
    // Who holds the button that goes away is led to what is said instead.
    const hadFocus = parts.buttons.contains(document.activeElement);
    showButtons(gate);
    if (hadFocus && parts.buttons.hidden) {
      parts.said.tabIndex = -1;
      parts.said.focus();
    }
    if (root.dataset.state !== "live") {
      lost = "";
      say(parts.problem, "");
    }
    setState("live");
    tell(gate);
  };

  const loading = (gate, incident) => {
    say(parts.title, gate);
    say(parts.meta, incident);
    say(parts.said, "Reading the incident log…");
    parts.why.hidden = true;
    setState("loading");
  };

  const unreachable = (error) => {
    setState("unreachable");
    const stale = known ? "What stands here may be old." : "";
    complain(error, [lost, stale, "Nothing can be answered now."].filter(Boolean).join(" "));
  };

  parts.retry.addEventListener("click", () => actions.retry());
  return { show, loading, unreachable, dispose: () => root.replaceChildren() };
}
