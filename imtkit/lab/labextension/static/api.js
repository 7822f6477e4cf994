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
    const refused = new Refused(message, answer.hint || "");
    throw Object.assign(refused, { isUnknown: response.status === 404 });
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

  /* The run that writes a notebook. */
  runOf(notebook) {
    return this.call(`runs?notebook=${encodeURIComponent(notebook)}`);
  }

  run(id) {
    return this.call(`runs/${encodeURIComponent(id)}`);
  }

  takeRun(id) {
    return this.call(`runs/${encodeURIComponent(id)}/take`, {});
  }

  giveRun(id) {
    return this.call(`runs/${encodeURIComponent(id)}/give`, {});
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

  gate({ incident, gate }) {
    return this.call(`incidents/${encodeURIComponent(incident)}/gates/${encodeURIComponent(gate)}`);
  }

  answer({ incident, gate }, answer, reason, notAfter) {
    const place = `${encodeURIComponent(incident)}/gates/${encodeURIComponent(gate)}`;
    return this.call(`incidents/${place}`, { answer, reason, not_after: notAfter });
  }
}

/* One checklist (or gate) of the log, for all the places where it is drawn: they show the same, ask the
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

  name() {
    return this.place.list;
  }

  read() {
    return this.api.checklist(this.place.incident, this.place.list);
  }

  add(view) {
    this.views.add(view);
    if (this.list) view.show(this.list);
    else view.loading(this.name(), this.place.incident);
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
        const list = await this.read();
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
      list = await this.read();
    } catch {
      throw error;
    }
    const found = list.items.find((one) => one.id === item);
    if (!found || Boolean(found.by) !== checked) throw error;
    return list;
  }
}

/* One gate of the log, or a change to be approved. */
export class GateFeed extends Feed {
  name() {
    return this.place.gate;
  }

  read() {
    return this.api.gate(this.place);
  }

  /* Records, or throws. Whatever came of it, the log is asked and shown: somebody else may have
     answered first, and a lost answer may have been recorded. */
  async answer(answer, reason) {
    if (!this.list.person) await this.askName();
    const notAfter = this.clock.deadline();
    this.turn += 1;
    try {
      const gate = await this.api.answer(this.place, answer, reason, notAfter);
      this.turn += 1;
      this.take(gate);
      return gate;
    } catch (error) {
      return await this.asAnswered(answer, error);
    } finally {
      this.refresh();
    }
  }

  async asAnswered(answer, error) {
    let gate;
    try {
      gate = await this.read();
    } catch {
      throw error;
    }
    this.take(gate);
    if (error instanceof Unreachable && gate.answer === answer && gate.by === gate.person) {
      return gate;
    }
    throw error;
  }
}
