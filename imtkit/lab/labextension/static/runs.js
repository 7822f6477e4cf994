/* Which open notebooks runs write, how those runs stand, and what a person does with them. */

import { Refused, Unreachable } from "./checklist.js";
import { Follower } from "./follow.js";
import { TAKEABLE, drawRun, isHeldByMe, isMachines } from "./run.js";

const POLL_MS = 1000;
const QUIET_POLL_MS = 6000;
const NARROW = 560;
const TAGS = ["parameters", "injected-parameters", "setup"];

/* Its height is its text's, which the layout around it cannot know. */
function makeBanner(lab, panel) {
  const widget = new lab.widgets.Widget();
  const place = panel.contentHeader;
  const fit = () => {
    const box = widget.node.firstElementChild;
    if (!box || widget.isDisposed) return;
    widget.node.dataset.narrow = String(widget.node.clientWidth < NARROW);
    const height = `${box.offsetHeight + 1}px`;
    if (widget.node.style.minHeight === height) return;
    Object.assign(widget.node.style, { minHeight: height, maxHeight: height });
    widget.fit();
    place.fit();
  };
  const observer = new ResizeObserver(fit);
  return {
    widget,
    put() {
      place.addWidget(widget);
      observer.observe(widget.node);
      observer.observe(widget.node.firstElementChild);
    },
    dispose() {
      observer.disconnect();
      widget.dispose();
    },
  };
}

/* One open notebook. */
class RunPage {
  constructor(lab, { app, api, askName, panel }) {
    Object.assign(this, { lab, app, api, askName, panel, context: panel.context });
    this.contents = app.serviceManager.contents;
    this.run = null;
    this.path = "";
    this.seen = "";
    this.timer = 0;
    this.turn = 0;
    this.seenAgain = () => this.look();
    panel.disposed.connect(() => this.dispose());
    this.context.pathChanged.connect(() => this.look());
    panel.sessionContext.statusChanged.connect((_, status) => {
      if (/restarting|dead|starting/.test(status)) this.look();
    });
    this.look();
  }

  dispose() {
    this.turn += 1;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.seenAgain);
    this.banner?.dispose();
    this.panel = null;
  }

  /* Asks how the run stands, shows it, and looks again in a while. */
  async look() {
    const turn = (this.turn += 1);
    clearTimeout(this.timer);
    let pause = QUIET_POLL_MS;
    try {
      if (!document.hidden || !this.run) await this.ask(turn);
      const isMoving = this.run && (["running", "waiting"].includes(this.run.status) || this.run.holder);
      if (isMoving && this.panel?.isVisible) pause = POLL_MS;
    } catch (error) {
      if (turn === this.turn) this.view?.doubt(error);
    }
    if (turn !== this.turn || !this.panel) return;
    // A notebook that is no run's will not become one.
    if (this.run || !this.isNone) this.timer = setTimeout(() => this.look(), pause);
  }

  async ask(turn) {
    await this.context.ready;
    let run;
    try {
      run = await (this.run ? this.api.run(this.run.run) : this.api.runOf(this.context.path));
    } catch (error) {
      this.isNone = Boolean(error.isUnknown) && !this.run;
      throw error;
    }
    if (turn === this.turn) await this.take(run);
  }

  /* What the server tells counts; the file is shown as it stands then. */
  async take(run) {
    this.run = run;
    if (!this.view) this.begin();
    this.show();
    this.lock();
    if (this.isHere() && run.written && run.written !== this.seen) {
      await this.follower.follow(run.person);
      this.seen = run.written;
      this.lock();
    }
  }

  begin() {
    this.banner = makeBanner(this.lab, this.panel);
    this.view = drawRun(this.banner.widget.node, {
      take: () => this.takeOver(),
      give: () => this.giveBack(),
      setUp: () => this.setUp(),
    });
    this.banner.put();
    this.follower = new Follower({
      context: this.context,
      contents: this.contents,
      asRun: () => this.asRun(),
      kept: (copy) => this.tellCopy(copy),
    });
    const { NotebookActions } = this.lab.notebook;
    NotebookActions.executionScheduled.connect(this.ran, this);
    this.panel.disposed.connect(() => NotebookActions.executionScheduled.disconnect(this.ran, this));
    document.addEventListener("visibilitychange", this.seenAgain);
  }

  isHere() {
    return this.context.path === this.run.notebook;
  }

  show() {
    const kernel = this.panel.sessionContext.session?.kernel;
    const note = this.isHere()
      ? ""
      : `This file was moved: the run's notebook is ${this.run.notebook}, and the machine goes on there alone.`;
    this.view.show(this.run, { hasKernel: Boolean(kernel), setups: this.setups().length, note });
  }

  /* How the run of this notebook stands now; null when it is no longer its notebook, or nobody
     can tell. */
  async asRun() {
    try {
      this.run = await this.api.run(this.run.run);
    } catch (error) {
      if (error instanceof Unreachable) return null;
      throw error;
    }
    return this.isHere() ? this.run : null;
  }

  /* While the machine writes the notebook nobody else does. */
  lock() {
    const isLocked = isMachines(this.run) && this.isHere();
    for (const cell of this.panel?.content.widgets || []) {
      if (isLocked !== cell.syncEditable) continue;
      // Unsynced, because it must not go into the notebook's metadata; synced, it is read there.
      cell.syncEditable = false;
      cell.readOnly = isLocked;
      cell.syncEditable = !isLocked;
    }
  }

  setups() {
    return this.panel.content.widgets.filter((cell) => {
      const tags = cell.model.type === "code" && cell.model.getMetadata("tags");
      return Array.isArray(tags) && tags.some((tag) => TAGS.includes(tag));
    });
  }

  async named(work) {
    if (!this.run.person) await this.askName();
    return work();
  }

  async takeOver() {
    const turn = (this.turn += 1);
    const run = await this.named(() => this.api.takeRun(this.run.run));
    if (turn === this.turn) await this.take(run);
    this.look();
  }

  async giveBack() {
    // Not the kernel's own word: it is busy, too, while it tells a new page about itself.
    if (this.panel.content.widgets.some((cell) => cell.model.executionState === "running")) {
      throw new Refused("A cell of yours still runs.", "Wait for its end, or interrupt it.");
    }
    await this.context.save();
    const turn = (this.turn += 1);
    try {
      const run = await this.named(() => this.api.giveRun(this.run.run));
      if (turn === this.turn) await this.take(run);
    } finally {
      this.look();
    }
  }

  async setUp() {
    const { content, sessionContext } = this.panel;
    await this.lab.notebook.NotebookActions.runCells(content, this.setups(), sessionContext);
  }

  /* Who runs a cell of a run that is not in their hands has taken it over by that. */
  async ran(_, { notebook }) {
    const { run } = this;
    if (notebook !== this.panel?.content || this.isTaking || isHeldByMe(run)) return;
    if (!run.holder && !TAKEABLE.includes(run.status)) return;
    this.isTaking = true;
    try {
      await this.takeOver();
      if (isMachines(run)) return;
      const whose = run.holder ? ` from ${run.holder}` : "";
      this.notify("info", `You ran a cell: by that you have taken the run over${whose}.`);
    } catch (error) {
      this.notify("error", `You ran a cell of a run that is not yours. ${error.message} ${error.hint}`);
    }
    this.isTaking = false;
  }

  tellCopy(copy) {
    // JupyterLab cuts a notice after 140 characters; the button leads there in any case.
    const text = `The machine wrote this. What you typed is kept in ${copy.split("/").pop()}`;
    const open = () => this.app.commands.execute("docmanager:open", { path: copy });
    this.notify("warning", text, [{ label: "Open it", callback: open }]);
  }

  notify(kind, text, actions = []) {
    const autoClose = kind === "info" ? 6000 : false;
    this.lab.apputils.Notification[kind](text, { autoClose, actions });
  }
}

/* Watches every notebook that is opened. */
export function addRuns(lab, { app, api, askName, tracker }) {
  const watch = (panel) => new RunPage(lab, { app, api, askName, panel });
  tracker.forEach(watch);
  tracker.widgetAdded.connect((_, panel) => watch(panel));
}
