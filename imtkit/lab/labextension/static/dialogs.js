/* What people are asked: their name, an incident for a runbook, the words of a new one. */

function field(label, control, help = "") {
  const row = document.createElement("div");
  row.className = "imt-field";
  const name = document.createElement("label");
  control.id = `imt-field-${Math.random().toString(36).slice(2)}`;
  name.htmlFor = control.id;
  name.textContent = label;
  row.append(name, control);
  if (help) {
    const note = document.createElement("small");
    note.id = `${control.id}-help`;
    note.textContent = help;
    control.setAttribute("aria-describedby", note.id);
    row.append(note);
  }
  return row;
}

function choice(options) {
  const select = document.createElement("select");
  for (const [value, text] of options) select.add(new Option(text, value));
  return select;
}

function textInput(placeholder = "") {
  const input = document.createElement("input");
  input.type = "text";
  input.maxLength = 200;
  input.placeholder = placeholder;
  return input;
}

function openingFields(workspace) {
  const title = textInput("Checkout answers 502");
  const severity = choice([
    ["", "The default"],
    ...workspace.severities.map(({ name, title: says }) => [
      name,
      says ? `${name.toUpperCase()}: ${says}` : name.toUpperCase(),
    ]),
  ]);
  const service = textInput("");
  const known = document.createElement("datalist");
  known.id = `imt-services-${Math.random().toString(36).slice(2)}`;
  for (const name of workspace.services) known.append(new Option(name, name));
  service.setAttribute("list", known.id);
  const box = document.createElement("div");
  box.append(
    field("What is wrong", title),
    field("Severity", severity),
    field("Service", service, "Owner and tags come from it, where imt.toml knows it."),
    known,
  );
  const read = () => ({
    title: title.value.trim(),
    severity: severity.value,
    service: service.value.trim(),
  });
  return { box, read, title };
}

/* The dialogs, made of JupyterLab's own parts. */
export function makeDialogs({ apputils, widgets }) {
  const { Dialog, InputDialog, showErrorMessage } = apputils;

  class Form extends widgets.Widget {
    constructor(parts, read) {
      super();
      this.addClass("imt-form");
      this.node.append(...parts);
      this.read = read;
    }

    getValue() {
      return this.read();
    }
  }

  const ask = async (title, form, word) => {
    const buttons = [Dialog.cancelButton(), Dialog.okButton({ label: word })];
    const focusNodeSelector = ".imt-form :is(input, select)";
    const answer = await new Dialog({ title, body: form, buttons, focusNodeSelector }).launch();
    return answer.button.accept ? answer.value : null;
  };

  const problem = (error) =>
    showErrorMessage("Incident", [error.message, error.hint].filter(Boolean).join("\n"));

  /* The name a person gives, or null. */
  const name = async () => {
    const answer = await InputDialog.getText({
      title: "Who are you?",
      label: "The log says who did what. Give the name colleagues know you by.",
      okLabel: "Remember me",
    });
    return answer.button.accept ? (answer.value || "").trim() : null;
  };

  /* {incident} of an open one, or {opening} of a new one, or null. */
  const incidentFor = (title, workspace, open) => {
    const fields = openingFields(workspace);
    const which = choice([
      ...open.map((one) => [one.id, `${one.id} · ${one.severity.toUpperCase()} · ${one.title}`]),
      ["", "A new incident"],
    ]);
    const isNew = () => which.value === "";
    const follow = () => {
      fields.box.hidden = !isNew();
    };
    which.addEventListener("change", follow);
    follow();
    const form = new Form([field("Incident", which), fields.box], () =>
      isNew() ? { opening: fields.read() } : { incident: which.value },
    );
    return ask(`Open “${title}”`, form, "Open runbook");
  };

  /* {opening, runbook} or null; `runbook` may be empty. */
  const newIncident = (workspace, runbooks) => {
    const fields = openingFields(workspace);
    const runbook = choice([
      ["", "None yet"],
      ...runbooks.map((one) => [one.name, one.title]),
    ]);
    const form = new Form([fields.box, field("Start with the runbook", runbook)], () => ({
      opening: fields.read(),
      runbook: runbook.value,
    }));
    return ask("New incident", form, "Open incident");
  };

  return { name, incidentFor, newIncident, problem };
}
