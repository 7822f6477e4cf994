/* A run's notebook in JupyterLab: it shows what the machine writes, and loses nothing that a
   person typed. Every save and every reload goes through here, one after the other. */

import { Refused } from "./checklist.js";
import { isMachines } from "./run.js";

const text = (value) => (Array.isArray(value) ? value.join("") : value);

/* What a person reads of a cell, in one form: as the file has it and as the page has it. */
function read(cell) {
  const outputs = (cell.outputs || []).map((one) => {
    const data = Object.entries(one.data || {}).map(([mime, value]) => [mime, text(value)]);
    return [one.output_type, text(one.text), data.sort(), one.ename, one.evalue];
  });
  return { source: text(cell.source), outputs: JSON.stringify(outputs) };
}

function readAll(notebook) {
  return new Map((notebook.cells || []).map((cell, n) => [cell.id ?? n, read(cell)]));
}

/* Whether the file lacks what a person did to a cell since the page read it: their text, or what
   their text gave, unless the machine ran the cell again. */
function isLost(mine, base, there) {
  if (!there || mine.source !== there.source) return mine.source !== (base ? base.source : "");
  const isMine = mine.outputs !== (base ? base.outputs : "[]");
  return isMine && mine.outputs !== there.outputs && base && base.outputs === there.outputs;
}

/* Puts a notebook into the page cell by cell, so that nothing moves that did not change. False
   where the cells are no longer the same ones. */
function patch(model, notebook) {
  const cells = Array.from(model.cells);
  const isSame =
    cells.length === notebook.cells.length &&
    cells.every((cell, n) => cell.id === notebook.cells[n].id && cell.type === notebook.cells[n].cell_type);
  if (!isSame) return false;
  cells.forEach((cell, n) => {
    const { sharedModel } = cell;
    const [was, is] = [sharedModel.toJSON(), notebook.cells[n]];
    const differs = (name) => JSON.stringify(was[name]) !== JSON.stringify(is[name]);
    // First what it says of trust: it decides how the outputs are drawn.
    if (differs("metadata")) sharedModel.setMetadata(is.metadata);
    if (text(was.source) !== text(is.source)) sharedModel.setSource(text(is.source));
    if (cell.type !== "code") return;
    if (differs("execution_count")) sharedModel.execution_count = is.execution_count;
    if (read(was).outputs !== read(is).outputs) sharedModel.setOutputs(is.outputs);
  });
  const { metadata } = notebook;
  if (JSON.stringify(model.sharedModel.metadata) !== JSON.stringify(metadata)) {
    model.sharedModel.metadata = metadata;
  }
  model.dirty = false;
  return true;
}

function slug(name) {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "") || "somebody";
}

/* NAME.ada-lovelace-20261121T201600Z.ipynb */
export function copyName(path, person) {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  return path.replace(/\.ipynb$/, `.${slug(person)}-${time}.ipynb`);
}

/* `context` is JupyterLab's of the notebook, `asRun` asks how its run stands (null: no run's, or
   nobody knows), `kept(path)` hears of a copy. */
export class Follower {
  constructor({ context, contents, asRun, kept }) {
    this.context = context;
    this.contents = contents;
    this.asRun = asRun;
    this.kept = kept;
    this.base = readAll(context.model.toJSON());
    this.turn = Promise.resolve();
    this.save = context.save.bind(context);
    // JupyterLab saves by itself, too: neither may write over what the machine wrote, nor ask
    // the person to choose between the two.
    context.save = () => this.alone(() => this.saveUnlessMachines());
  }

  alone(work) {
    const done = this.turn.then(work);
    this.turn = done.catch(() => undefined);
    return done;
  }

  async saveUnlessMachines() {
    const run = await this.asRun();
    if (run && (isMachines(run) || (await this.isNewer()))) await this.reload(run.person);
    else await this.save();
  }

  /* Whether somebody else wrote the file since the page read or wrote it. */
  async isNewer() {
    const { path, contentsModel } = this.context;
    const there = await this.contents.get(path, { content: false, hash: true });
    if (contentsModel.hash && there.hash) return contentsModel.hash !== there.hash;
    return contentsModel.last_modified !== there.last_modified;
  }

  /* Shows what the file holds, if that is new. */
  follow(person) {
    return this.alone(async () => {
      if (await this.isNewer()) await this.reload(person);
    });
  }

  async reload(person) {
    await this.keepTyped(person);
    const { model } = this.context;
    const whole = model.fromJSON;
    model.fromJSON = (notebook) => patch(model, notebook) || whole.call(model, notebook);
    try {
      await this.context.revert();
    } finally {
      delete model.fromJSON;
    }
    model.sharedModel.clearUndoHistory();
    this.base = readAll(model.toJSON());
  }

  /* What a person changed since the page last read the file, and the file has not, is kept
     beside it. Saved or not: the machine may have written over what was saved. */
  async keepTyped(person) {
    const { path, model } = this.context;
    const mine = model.toJSON();
    const file = await this.contents.get(path, { type: "notebook", content: true });
    const there = readAll(file.content);
    const cells = [...readAll(mine)];
    if (!cells.some(([id, cell]) => isLost(cell, this.base.get(id), there.get(id)))) return;
    const copy = copyName(path, person);
    try {
      await this.contents.save(copy, { type: "notebook", format: "json", content: mine });
    } catch (error) {
      throw new Refused(`What you typed cannot be kept in ${copy}: ${error.message}.`);
    }
    this.kept(copy);
  }
}
