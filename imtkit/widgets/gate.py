"""Gates and changes in a notebook: passed when answered, else shown, and the notebook stops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from imtkit import config
from imtkit.errors import InputError, WaitingError
from imtkit.kit import Desk, changes, gates, incidents
from imtkit.kit.changes import Plan
from imtkit.kit.gates import Question
from imtkit.model.gate_drawing import gate_html, gate_text
from imtkit.model.gates import MIME_TYPE, Change, Gate
from imtkit.model.incident import Incident
from imtkit.widgets import notebook
from imtkit.widgets.magics import magics_of

Deed = Callable[[], object]


class LiveGate:
    """A gate, or the approval of a change, in a notebook. It asks the log what is so.

    JupyterLab's extension draws it with buttons; elsewhere it is HTML or text that says how to
    answer.
    """

    def __init__(self, desk: Desk, incident_id: str, gate: str) -> None:
        self._desk = desk
        self._incident_id = incident_id
        self.id = gate

    @property
    def state(self) -> Gate:
        """The gate as the log has it now."""
        return gates.get(self._desk, self._incident_id, self.id)

    def __repr__(self) -> str:
        gate, change = self._now()
        return "\n".join(filter(None, (gate_text(gate, change), self._how(gate))))

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> Mapping[str, object]:
        gate, change = self._now()
        how = self._how(gate)
        return {
            "text/plain": repr(self),
            "text/html": gate_html(gate, change) + (f"<p><code>{how}</code></p>" if how else ""),
            MIME_TYPE: {"incident": self._incident_id, "gate": self.id},
        }

    def _now(self) -> tuple[Gate, Change | None]:
        incident = incidents.get(self._desk, self._incident_id)
        return gates.gate_of(incident, self.id), incident.change(self.id)

    def _how(self, gate: Gate) -> str:
        return how_to_answer(self._incident_id, gate) if gate.is_waiting else ""


def how_to_answer(incident_id: str, gate: Gate) -> str:
    """The command that answers a gate."""
    return f"imt gate answer {incident_id} {gate.id} ANSWER"


def pass_gate(desk: Desk, incident_id: str, question: Question) -> str:
    """The answer of a gate that was answered; else it is shown, and WaitingError raised.

    DeniedError when its time is over.
    """
    gate = gates.open_(desk, incident_id, question)
    show(LiveGate(desk, incident_id, gate.id))
    if gate.is_waiting:
        raise WaitingError(
            f"The gate '{gate.question}' waits for an answer.",
            hint=how_to_answer(incident_id, gate),
        )
    if gate.state == "expired":
        raise gates.expired(gate)
    return gate.answer


def make_change(
    desk: Desk, incident_id: str, asked: tuple[Plan, Question], do: Deed, verify: Deed
) -> Change:
    """The verified change; where it is not approved yet it is shown, and WaitingError raised."""
    change = changes.ask(desk, incident_id, *asked)
    live = LiveGate(desk, incident_id, change.id)
    if change.state == "asked":
        show(live)
        raise WaitingError(
            f"The change '{change.title}' waits for approval.",
            hint=how_to_answer(incident_id, change.gate),
        )
    try:
        return changes.carry_out(desk, incident_id, change.id, do, verify)
    finally:
        show(live)


def told(deed: Deed) -> str:
    """What a function does, in its own words: its docstring's first line, else its name.

    InputError for a lambda: nobody can approve what has neither.
    """
    lines = (deed.__doc__ or "").strip().splitlines()
    name = getattr(deed, "__name__", type(deed).__name__)
    if not lines and name == "<lambda>":
        raise InputError(
            "A change does not say what it does.", hint="Give a function with a docstring."
        )
    return lines[0].strip() if lines else name


def names(who: str | Iterable[str]) -> tuple[str, ...]:
    """One name or several, as several."""
    return (who,) if isinstance(who, str) and who else tuple(who)


def where(incident: Incident) -> tuple[str, str]:
    """Which run and which step ask: the run's own, else the sitting's; empty where unknown."""
    ip = notebook.shell()
    run_id = config.current_run()
    if run_id:
        run = incident.run(run_id)
        running = [step.id for step in run.steps if step.status == "running"] if run else []
        return run_id, running[-1] if running else ""
    magics = magics_of(ip)
    if ip is None or magics is None or magics.sitting is None:
        return "", ""
    return magics.sitting.run_id, notebook.running_cell(ip).id


def show(live: LiveGate) -> None:
    """Show a gate in the running cell's output; nothing where there is none."""
    if notebook.shell() is not None:
        from IPython.display import display

        display(live)
