/* The plugin: draws checklists and gates, puts runbooks into the launcher and the palette, says in
   the status bar which incident a notebook belongs to, and above it how its run stands. */

import { Api, Feed, GateFeed } from "./api.js";
import { Refused, drawChecklist } from "./checklist.js";
import { makeDialogs } from "./dialogs.js";
import { drawGate } from "./gate.js";
import { addRuns } from "./runs.js";

const MIME_TYPE = "application/vnd.imtkit.checklist+json";
const GATE_MIME_TYPE = "application/vnd.imtkit.gate+json";
const STATUS_POLL_MS = 15000;
const RUNBOOKS_POLL_MS = 60000;
const RETRY_MS = 5000;
const RUNBOOK_ICON = `<svg xmlns="http://www.w3.org/2000/svg" width="24" viewBox="0 0 24 24">
<path class="jp-icon3" fill="#616161" d="M6 2h11a2 2 0 0 1 2 2v16a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2V4a2
2 0 0 1 2-2zm0 2v16h11V4zm2 3 1.2 1.2L11.6 5.8l1 1-3.4 3.4L7 8zm6 1h2v1.500h-2zM8 14l1.200 1.200 2.400-2.400
1 1-3.400 3.400L7 15zm6 1h2v1.500h-2z"/></svg>`;
const INCIDENT_ICON = `<svg xmlns="http://www.w3.org/2000/svg" width="24" viewBox="0 0 24 24">
<path class="jp-icon3" fill="#616161" d="M12 2.500 1.500 21h21zm0 4L19 19H5zM11 10v5h2v-5zm0 6v2h2v-2z"/></svg>`;

/* `shared(name)` gives JupyterLab's own copy of one of its packages. */
export async function makePlugin(shared) {
  const names = ["apputils", "launcher", "notebook", "rendermime", "services", "statusbar"];
  const lab = {};
  for (const name of names) lab[name] = await shared(`@jupyterlab/${name}`);
  lab.ui = await shared("@jupyterlab/ui-components");
  lab.widgets = await shared("@lumino/widgets");
  lab.signaling = await shared("@lumino/signaling");
  return {
    id: "imtkit:plugin",
    description: "Incident checklists, runbooks and the incident of a notebook.",
    autoStart: true,
    requires: [lab.rendermime.IRenderMimeRegistry],
    optional: [
      lab.launcher.ILauncher,
      lab.apputils.ICommandPalette,
      lab.statusbar.IStatusBar,
      lab.notebook.INotebookTracker,
    ],
    activate(app, registry, launcher, palette, statusBar, tracker) {
      const api = new Api(lab.services);
      const dialogs = makeDialogs(lab);
      const askName = makeAskName(api, dialogs);
      const feeds = makeFeeds(api, askName);
      addRenderer(lab, registry, {
        mimeType: MIME_TYPE,
        feedOf: ({ incident, list }) => feeds(Feed, { incident, list: String(list) }),
        draw: (node, feed) =>
          drawChecklist(node, {
            mark: (item, checked) => feed.mark(item, checked),
            retry: () => feed.refresh(),
          }),
      });
      addRenderer(lab, registry, {
        mimeType: GATE_MIME_TYPE,
        feedOf: ({ incident, gate }) => feeds(GateFeed, { incident, gate: String(gate) }),
        draw: (node, feed) =>
          drawGate(node, {
            answer: (answer, reason) => feed.answer(answer, reason),
            retry: () => feed.refresh(),
          }),
      });
      if (statusBar && tracker) addStatus(lab, api, statusBar, tracker);
      if (tracker) addRuns(lab, { app, api, askName, tracker });
      addIncidentCommand(lab, { app, api, dialogs, launcher, palette });
      addRunbooks(lab, { app, api, dialogs, launcher, palette });
    },
  };
}

function makeAskName(api, dialogs) {
  return async () => {
    const name = await dialogs.name();
    if (!name) {
      throw new Refused("Nobody knows who you are.", "Say your name, and click again.");
    }
    await api.sayName(name);
  };
}

function makeFeeds(api, askName) {
  const feeds = new Map();
  return (Kind, given) => {
    const place = { ...given, incident: String(given.incident) };
    const key = JSON.stringify(place);
    if (!feeds.has(key)) feeds.set(key, new Kind(api, place, askName));
    return feeds.get(key);
  };
}

function addRenderer(lab, registry, { mimeType, feedOf, draw }) {
  class Live extends lab.widgets.Widget {
    async renderModel(model) {
      const place = model.data[mimeType];
      if (this.place && JSON.stringify(place) === JSON.stringify(this.place)) return;
      this.leave();
      this.place = place;
      this.feed = feedOf(place);
      const view = draw(this.node, this.feed);
      this.view = { ...view, isSeen: () => this.node.getClientRects().length > 0 };
      this.feed.add(this.view);
    }

    leave() {
      if (!this.view) return;
      this.feed.remove(this.view);
      this.view.dispose();
      this.view = null;
    }

    dispose() {
      this.leave();
      super.dispose();
    }
  }
  // Below 0 is better: it goes before the widget view, which needs a living kernel and trust.
  registry.addFactory(
    { safe: true, mimeTypes: [mimeType], createRenderer: () => new Live() },
    -10,
  );
}

async function openRunbook({ app, api }, runbook, incident) {
  const { path } = await api.copyRunbook(runbook, incident);
  await app.commands.execute("docmanager:open", { path });
}

async function incidentOf(api, answer) {
  return answer.incident || (await api.openIncident(answer.opening)).id;
}

function addIncidentCommand(lab, { app, api, dialogs, launcher, palette }) {
  const command = "imtkit:new-incident";
  app.commands.addCommand(command, {
    label: "New incident",
    caption: "Open an incident, and perhaps a runbook in it",
    icon: new lab.ui.LabIcon({ name: "imtkit:incident", svgstr: INCIDENT_ICON }),
    execute: async () => {
      try {
        const [workspace, runbooks] = await Promise.all([api.workspace(), api.runbooks()]);
        const answer = await dialogs.newIncident(workspace, runbooks.runbooks);
        if (!answer) return;
        const { id } = await api.openIncident(answer.opening);
        lab.apputils.Notification.success(`${id} is open.`, { autoClose: 8000 });
        if (answer.runbook) await openRunbook({ app, api }, answer.runbook, id);
      } catch (error) {
        await dialogs.problem(error);
      }
    },
  });
  if (launcher) launcher.add({ command, category: "Incident", rank: 0 });
  if (palette) palette.addItem({ command, category: "Incident" });
}

/* Runbooks may be added while JupyterLab is open, and the server may come later than it. */
function addRunbooks(lab, { app, api, dialogs, launcher, palette }) {
  const known = new Map();
  const command = "imtkit:open-runbook";
  const titleOf = (args) => known.get(args.runbook) || "a runbook";
  app.commands.addCommand(command, {
    label: (args) => (args.isPalette ? `Runbook: ${titleOf(args)}` : titleOf(args)),
    caption: (args) => `Open a fresh copy of ${titleOf(args)} for an incident`,
    icon: new lab.ui.LabIcon({ name: "imtkit:runbook", svgstr: RUNBOOK_ICON }),
    execute: async (args) => {
      try {
        const [workspace, open] = await Promise.all([api.workspace(), api.incidents()]);
        const answer = await dialogs.incidentFor(titleOf(args), workspace, open.incidents);
        if (!answer) return;
        await openRunbook({ app, api }, args.runbook, await incidentOf(api, answer));
      } catch (error) {
        await dialogs.problem(error);
      }
    },
  });
  const add = ({ name, title }) => {
    const isNew = !known.has(name);
    known.set(name, title);
    if (!isNew) return;
    const rank = known.size;
    if (launcher) launcher.add({ command, args: { runbook: name }, category: "Runbooks", rank });
    const args = { runbook: name, isPalette: true };
    if (palette) palette.addItem({ command, category: "Incident", args });
  };
  const look = async () => {
    let pause = RUNBOOKS_POLL_MS;
    try {
      if (!document.hidden || !known.size) (await api.runbooks()).runbooks.forEach(add);
    } catch (error) {
      console.warn(`imtkit: the runbooks are not known. ${error.message}`);
      pause = RETRY_MS;
    }
    setTimeout(look, pause);
  };
  look();
}

function addStatus(lab, api, statusBar, tracker) {
  const item = new lab.widgets.Widget();
  item.addClass("imt-incident-status");
  const changed = new lab.signaling.Signal(item);
  let shown = "";
  let timer = 0;
  let outputs;
  const idOf = async () => {
    const path = tracker.currentWidget ? tracker.currentWidget.context.path : "";
    if (path && outputs === undefined) outputs = (await api.workspace()).outputs;
    if (!outputs || !path.startsWith(`${outputs}/`)) return "";
    const parts = path.slice(outputs.length + 1).split("/");
    return parts.length > 1 ? parts[0] : "";
  };
  const refresh = async () => {
    clearTimeout(timer);
    let id = "";
    try {
      id = await idOf();
      shown = id;
      changed.emit();
      if (!id) return;
      const incident = await api.incident(id);
      if (shown !== id) return;
      const parts = [incident.id, incident.severity.toUpperCase(), incident.status, incident.title];
      item.node.textContent = parts.filter(Boolean).join(" · ");
      item.node.dataset.over = String(incident.is_over);
      item.node.title = incident.owner ? `Owner: ${incident.owner}` : "Nobody owns it yet";
    } catch (error) {
      item.node.textContent = `${id} · ${error.message}`;
    }
    clearTimeout(timer);
    timer = setTimeout(refresh, STATUS_POLL_MS);
  };
  tracker.currentChanged.connect(refresh);
  statusBar.registerStatusItem("imtkit:incident", {
    item,
    align: "left",
    rank: 50,
    isActive: () => shown !== "",
    activeStateChanged: changed,
  });
  refresh();
}
