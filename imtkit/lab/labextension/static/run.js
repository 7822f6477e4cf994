/* The banner of a run above its notebook: whose turn it is, what happened, and what the kernel is.

   The component draws and nothing else: `actions.take()`, `actions.give()` and `actions.setUp()`
   do, and resolve when it is done. A run is what the server tells of it (run_handlers.py). */

import { element, say } from "./checklist.js";

export const TAKEABLE = ["waiting", "failed", "timed-out", "kernel-died"];

const ENDED = {
  "failed": "Failed",
  "timed-out": "Timed out",
  "kernel-died": "The kernel died",
  "cancelled": "Cancelled",
  "lost": "The machine that ran this died",
};
const SYMBOLS = { machine: "▶", gate: "?", yours: "✎", other: "✎", stopped: "!", over: "✓" };

export const isHeldByMe = (run) => Boolean(run.holder) && run.holder === run.person;
export const isMachines = (run) => run.status === "running";

function turnOf(run) {
  if (isMachines(run)) return "machine";
  if (run.holder) return isHeldByMe(run) ? "yours" : "other";
  if (run.status === "waiting") return "gate";
  return run.status === "completed" ? "over" : "stopped";
}

function at(run) {
  return run.at ? ` at “${run.at}”` : "";
}

/* Whose turn it is and what happened, in a line. */
export function turnInWords(run) {
  const why = run.error ? `: ${run.error}` : "";
  if (isMachines(run)) {
    const step = `step ${Math.min(run.done + 1, run.steps)} of ${run.steps}`;
    const where = run.at ? `${step}, “${run.at}”` : step;
    if (isHeldByMe(run)) return `The machine is still at ${where}; then the run is yours.`;
    if (run.holder) return `The machine is still at ${where}; then ${run.holder} has the run.`;
    return `The machine runs this: ${where}.`;
  }
  if (run.holder) {
    const who = isHeldByMe(run) ? "You have" : `${run.holder} has`;
    return `${who} taken this run over. It stopped${at(run)}.`;
  }
  if (run.status === "waiting") {
    const then = run.kernel === "none" ? `go on with: imt runs resume ${run.run}` : "the machine goes on";
    return `Waiting${at(run)}: answer it below, then ${then}.`;
  }
  if (run.status === "completed") return "Completed.";
  return `${ENDED[run.status] || run.status}${at(run)}${why}.`.replace(/\.\.$/, ".");
}

/* Which kernel this is. `hasKernel`: whether the page sits at one at all. */
export function kernelInWords(run, hasKernel) {
  if (run.kernel === "same") {
    return isMachines(run)
      ? "This is the kernel that runs the steps."
      : "This is the kernel that ran the steps above.";
  }
  if (isMachines(run)) return "";
  if (run.kernel === "renewed") {
    return "The kernel was renewed when the run went on: what earlier steps made is there only where they ran again.";
  }
  if (hasKernel || run.kernel === "new") {
    return "The kernel is not the one that ran the steps above: what they made is gone.";
  }
  return "The kernel that ran the steps above is gone, and with it what they made.";
}

export const isForeign = (run) => !isMachines(run) && run.kernel !== "same";

function frame() {
  const mark = element("span", { class: "imt-run-mark", "aria-hidden": "true" });
  const turn = element("strong", { class: "imt-run-turn", role: "status", "aria-live": "polite" });
  const kernel = element("span", { class: "imt-run-kernel", role: "status", "aria-live": "polite" });
  const problem = element("p", { class: "imt-run-problem", role: "alert" });
  const buttons = element("p", { class: "imt-run-buttons" });
  const words = element("p", { class: "imt-run-words" }, turn, " ", kernel);
  return { mark, turn, kernel, problem, buttons, words };
}

/* Draws into `root`; returns {show(run, page), doubt(error), tell(text), press(name)}.
   `page` is what the notebook's page knows: {hasKernel, setups, note}. */
export function drawRun(root, actions) {
  const parts = frame();
  const box = element("div", { class: "imt-run-box" }, parts.mark, parts.words, parts.buttons);
  box.append(parts.problem);
  root.classList.add("imt-run");
  root.setAttribute("role", "region");
  root.setAttribute("aria-label", "The run that writes this notebook");
  root.append(box);
  let known = null;
  let isBusy = false;

  const button = (name, label, title) => {
    const node = element("button", { type: "button", class: "imt-run-button", title }, label);
    node.hidden = true;
    node.addEventListener("click", () => press(name));
    parts.buttons.append(node);
    return node;
  };
  const buttons = {
    take: button("take", "Take over", "From here on you work in this notebook, and the machine waits"),
    give: button("give", "Give back", "Saves; the machine goes on at the first step that did not complete"),
    setUp: button("setUp", "Run the setup cells", "Runs the cells with parameters and those tagged setup"),
  };

  const setBusy = (busy) => {
    isBusy = busy;
    root.setAttribute("aria-busy", String(busy));
    for (const node of Object.values(buttons)) {
      // Not `disabled`: that would throw the keyboard's place away.
      if (busy) node.setAttribute("aria-disabled", "true");
      else node.removeAttribute("aria-disabled");
    }
  };

  const tell = (text) => say(parts.problem, text);

  const press = async (name) => {
    if (isBusy) return;
    setBusy(true);
    tell("");
    try {
      await actions[name]();
    } catch (error) {
      tell([error.message, error.hint].filter(Boolean).join(" "));
    }
    setBusy(false);
  };

  const showButtons = (run, page) => {
    const mine = isHeldByMe(run);
    const may = {
      take: !mine && (isMachines(run) || TAKEABLE.includes(run.status) || Boolean(run.holder)),
      give: mine && !isMachines(run),
      setUp: isForeign(run) && page.hasKernel && page.setups > 0,
    };
    const held = document.activeElement;
    for (const [name, node] of Object.entries(buttons)) node.hidden = !may[name];
    parts.buttons.hidden = !Object.values(may).some(Boolean);
    // Who holds the button that goes away is led to what is said instead.
    if (parts.buttons.contains(held) && (held.hidden || parts.buttons.hidden)) {
      parts.words.tabIndex = -1;
      parts.words.focus();
    }
  };

  const show = (run, page) => {
    known = run;
    if (root.dataset.turn === "unknown") tell("");
    root.dataset.turn = turnOf(run);
    say(parts.mark, SYMBOLS[turnOf(run)]);
    say(parts.turn, turnInWords(run));
    say(parts.kernel, [kernelInWords(run, page.hasKernel), page.note].filter(Boolean).join(" "));
    root.dataset.kernel = isForeign(run) ? "foreign" : "same";
    root.title = `Run ${run.run}, ${run.incident}`;
    showButtons(run, page);
  };

  /* What is shown may no longer be so. */
  const doubt = (error) => {
    if (!known) return;
    root.dataset.turn = "unknown";
    say(parts.mark, "…");
    say(parts.turn, `${error.message} This may be old: ${turnInWords(known)}`);
  };

  return { show, doubt, tell };
}
