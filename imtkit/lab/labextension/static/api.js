/* How the labextension reaches the incident log: our server extension, and nothing else. */

import { Refused, Unreachable, newNonce, patienceMs, recorderClock } from "./checklist.js";

const POLL_MS = 3000;
const QUIET_POLL_MS = 6000;

/* `services` is @jupyterlab/services; its makeRequest adds the token and the XSRF header. */
export class Api {
  constructor(services) {
    this.services = services;
    this.settings = services.ServerConnection.makeSettings();
  }

  async call(path, body) {
    const { ServerConnection } = this.services;
    const init = { cache: "no-store", signal: AbortSignal.timeout(patienceMs()) };
    if (body !== undefined) Object.assign(init, { method: "POST", body: JSON.stringify(body) });
    let response;
    try {
      const url = `${this.settings.baseUrl}imtkit/api/${path}`;
      response = await ServerConnection.makeRequest(url, init, this.settings);
    } catch {
      throw new Unreachable("Cannot reach the Jupyter server.", "Is it still running?");
    }
    return this.read(response);
  }

  async read(response) {
    let answer = null;
    try {
      answer = await response.json();
    } catch {
      answer = {};
    }
    if (response.ok) return answer;
    if (answer.hint === undefined && response.status === 404) {
      throw new Unreachable(
        "Cannot reach imtkit's server extension.",
        "Enable it with: jupyter server extension enable imtkit.lab",
      );
    }
    const message = answer.message || `The server answered ${response.status}.`;
    throw new Refused(message, answer.hint || "");
  }

  person() {
    return this.call("me");
  }

  sayName(name) {
    return this.call("me", { name });
  }

  workspace() {
    return this.call("workspace");
  }

  incidents() {
    return this.call("incidents");
  }

  incident(id) {
    return this.call(`incidents/${encodeURIComponent(id)}`);
  }

  openIncident(opening) {
    return this.call("incidents", opening);
  }

  runbooks() {
    return this.call("runbooks");
  }

  copyRunbook(runbook, incident) {
    return this.call("copies", { runbook, incident });
  }

  checklist(incident, list) {
    const place = `${encodeURIComponent(incident)}/checklists/${encodeURIComponent(list)}`;
    return this.call(`incidents/${place}`);
  }

  mark(list, item, checked, notAfter) {
    const place = `${encodeURIComponent(list.incident)}/checklists/${encodeURIComponent(list.list)}`;
    const nonce = newNonce();
    return this.call(`incidents/${place}`, { item, checked, nonce, not_after: notAfter });
  }
}

/* One checklist of the log, for all the places where it is drawn: they show the same, ask the
   server once, and see one another's ticks at once. `askName` is called when nobody is known. */
export class Feed {
  constructor(api, place, askName) {
    this.api = api;
    this.place = place;
    this.askName = askName;
    this.views = new Set();
    this.list = null;
    this.clock = recorderClock();
    this.timer = 0;
    this.turn = 0;
  }

  add(view) {
    this.views.add(view);
    if (this.list) view.show(this.list);
    else view.loading(this.place.list, this.place.incident);
    this.refresh();
  }

  remove(view) {
    this.views.delete(view);
    if (!this.views.size) clearTimeout(this.timer);
  }

  take(list) {
    this.clock.heard(list);
    this.list = list;
    for (const view of this.views) view.show(list);
  }

  /* Answers overtaken by a newer question are dropped: they show what is no longer so. */
  async refresh() {
    const turn = (this.turn += 1);
    clearTimeout(this.timer);
    let pause = POLL_MS;
    try {
      if (this.isSeen() || !this.list) {
        const list = await this.api.checklist(this.place.incident, this.place.list);
        if (turn === this.turn) this.take(list);
      }
    } catch (error) {
      pause = QUIET_POLL_MS;
      if (turn === this.turn) for (const view of this.views) view.unreachable(error);
    }
    if (turn === this.turn && this.views.size) {
      this.timer = setTimeout(() => this.refresh(), pause);
    }
  }

  isSeen() {
    return !document.hidden && Array.from(this.views).some((view) => view.isSeen());
  }

  /* Records, or throws. When no answer came, the log itself is asked: it decides what is shown. */
  async mark(item, checked) {
    if (!this.list.person) await this.askName();
    const notAfter = this.clock.deadline();
    this.turn += 1;
    try {
      const list = await this.api.mark(this.list, item, checked, notAfter);
      this.turn += 1;
      this.take(list);
      return list;
    } catch (error) {
      const list = await this.asLogged(item, checked, error);
      this.take(list);
      return list;
    } finally {
      this.refresh();
    }
  }

  async asLogged(item, checked, error) {
    if (!(error instanceof Unreachable)) throw error;
    let list;
    try {
      list = await this.api.checklist(this.place.incident, this.place.list);
    } catch {
      throw error;
    }
    const found = list.items.find((one) => one.id === item);
    if (!found || Boolean(found.by) !== checked) throw error;
    return list;
  }
}
