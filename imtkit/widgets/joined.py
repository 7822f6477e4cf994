"""The incident that a notebook works on."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from html import escape

from imtkit.errors import InputError
from imtkit.kit import Desk, changes, checklists, corrections, evidence, incidents
from imtkit.kit.changes import Plan
from imtkit.kit.gates import Question
from imtkit.model import drawing
from imtkit.model.checklist import checklist_of
from imtkit.model.entries import Entry
from imtkit.model.gates import Change, Gate, denied
from imtkit.model.incident import Evidence, Incident, Task, Update
from imtkit.model.words import moment_text
from imtkit.widgets import gate as gated
from imtkit.widgets.checklist import Answers, LiveChecklist
from imtkit.widgets.exhibit import Exhibit, exhibit_of
from imtkit.widgets.shown import Shown, line, tell

_SPAN = re.compile(r"(\d+)\s*(s|m|min|h|d)")
_SECONDS: Mapping[str, int] = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


class JoinedIncident:
    """An incident at hand. Every verb writes to the log and gives back what it wrote.

    It holds no state of its own: ``state`` reads the log anew.
    """

    def __init__(self, desk: Desk, incident_id: str) -> None:
        self._desk = desk
        self.id = incident_id

    @property
    def state(self) -> Incident:
        """The incident as the log has it now."""
        return incidents.get(self._desk, self.id)

    @property
    def actor(self) -> str:
        """Who acts here."""
        return self._desk.who()

    def note(self, text: str, *, at: datetime | None = None) -> Shown[Entry]:
        """Write something down; ``at`` (aware) when it happened earlier."""
        return self._said(incidents.note(self._desk, self.id, text, at=at))

    def decide(self, text: str, reason: str, *, at: datetime | None = None) -> Shown[Entry]:
        """Log a decision with who and why."""
        return self._said(incidents.decide(self._desk, self.id, text, reason=reason, at=at))

    def correct(self, n: int, reason: str, **data: object) -> Shown[Entry]:
        """Replace what entry ``n`` says, such as text='…'; the old entry stays readable."""
        return self._said(corrections.correct(self._desk, self.id, n, data, reason=reason))

    def withdraw(self, n: int, reason: str) -> Shown[Entry]:
        """Take entry ``n`` back: it stays readable, and no longer counts."""
        return self._said(corrections.withdraw(self._desk, self.id, n, reason=reason))

    def evidence(self, title: str, thing: object) -> Shown[Evidence]:
        """Keep a figure (PNG), table (CSV), file, bytes, text or plain data, by its SHA-256."""
        made = exhibit_of(title, thing)
        kept = evidence.keep(
            self._desk,
            self.id,
            title,
            made.content,
            name=made.name,
            media_type=made.media_type,
        )
        return _kept(kept, made)

    def assign(self, role: str, person: str) -> JoinedIncident:
        """Give a person a role; 'owner' is one."""
        incidents.assign(self._desk, self.id, role, person)
        return self

    def release(self, role: str) -> JoinedIncident:
        """Take a role back from whoever holds it."""
        incidents.release(self._desk, self.id, role)
        return self

    def ask(self, text: str, who: str, *, within: str | timedelta = "") -> Shown[Task]:
        """Ask a named person to do something, ``within`` '10m', '2h', '1d' or a timedelta."""
        due_at = self._desk.clock.now() + span(within) if within else None
        task = incidents.ask(self._desk, self.id, text, assignee=who, due_at=due_at)
        due = f", by {moment_text(task.due_at)}" if task.due_at else ""
        return line(task, f"Asked {task.assignee}: {task.text}{due} (task {task.id})")

    def done(self, task: Task | Shown[Task] | str) -> Shown[Task]:
        """Say that a task is done."""
        known = task.value if isinstance(task, Shown) else task
        task_id = known if isinstance(known, str) else known.id
        done = incidents.done(self._desk, self.id, task_id)
        return line(done, f"Done, {moment_text(done.done_at)}: {done.text}")

    def checklist(
        self,
        name: str,
        items: Iterable[str | tuple[str, str]] = (),
        *,
        title: str = "",
        required: bool = False,
        answers: Answers | None = None,
    ) -> LiveChecklist:
        """Put a checklist before people; without items, the one of that name again.

        ``required``: it must be finished before the incident is closed. ``answers`` (ids or
        texts, or a table with True) are ticked at once, typically from a parameter; the rest
        stays open.
        """
        given = tuple(items)
        if given:
            made = checklist_of(name, given, title=title, required=required)
            checklists.show(self._desk, self.id, made)
        else:
            checklists.get(self._desk, self.id, name)
        shown = LiveChecklist(self._desk, self.id, name)
        return shown.answer(answers) if answers is not None else shown

    def gate(
        self,
        question: str,
        *,
        answers: Iterable[str] = ("yes", "no"),
        who: str | Iterable[str] = (),
        within: str | timedelta = "",
        name: str = "",
    ) -> str:
        """The answer to a question that holds this work up.

        Until there is one the gate is shown and WaitingError raised, so nothing after it runs;
        answered, the cell run again goes on. ``who``: people or roles that may answer, else any
        person. ``within`` '30m', '2h': then DeniedError. ``name`` keeps the gate the same when
        the question's words change between tries.
        """
        run, step = gated.where(self.state)
        asked = Question(
            question, tuple(answers), gated.names(who), _within(within), run, step, name
        )
        return gated.pass_gate(self._desk, self.id, asked)

    def change(  # noqa: PLR0913 # each word of a plan is told by its name
        self,
        title: str,
        *,
        why: str,
        do: Callable[[], object],
        verify: Callable[[], object],
        rollback: str,
        who: str | Iterable[str] = (),
        within: str | timedelta = "",
        name: str = "",
    ) -> Shown[Change]:
        """Do something that somebody else must approve first, and verify it; each once.

        Whoever approves reads ``why``, the docstrings' first lines of ``do`` and ``verify``, and
        ``rollback``. Until it is approved it is shown and WaitingError raised; DeniedError when
        it was denied. ``verify`` fails by returning False or raising; then the rollback is told.
        """
        run, step = gated.where(self.state)
        plan = Plan(title, why, gated.told(do), gated.told(verify), rollback)
        asked = Question(
            title, who=gated.names(who), within=_within(within), run=run, step=step, name=name
        )
        made = gated.make_change(self._desk, self.id, (plan, asked), do, verify)
        return line(made, f"Change {made.state}, {moment_text(made.ended_at)}: {made.title}")

    def settle(self, change: str, outcome: str, reason: str) -> Shown[Change]:
        """Say how a change ended that was begun and whose kernel or runner died: 'executed' or
        'failed', and how you know. ``change`` is its id, as ``imt gate list`` shows it.
        """
        made = changes.settle(self._desk, self.id, change, outcome, reason=reason)
        return line(made, f"Change settled as {made.settled_as}: {made.title}")

    @property
    def denied(self) -> tuple[Gate, ...]:
        """What this run, or this work by hand, asked for and was not given; else empty.

        Expired gates, and changes that were denied: their question, by whom, reason. A cell
        tagged ``denied`` begins with ``if inc.denied:``, so that it does nothing when somebody
        runs all cells by hand and nothing was denied.
        """
        state = self.state
        return denied(state.gates, state.changes, gated.where(state)[0])

    def set(self, *, reason: str = "", **fields: object) -> JoinedIncident:
        """Give fields new values: inc.set(severity='sev1', cause='expired certificate')."""
        incidents.set_fields(self._desk, self.id, fields, reason=reason)
        return self

    def measure(self, **measures: float) -> JoinedIncident:
        """Log what was measured; the severity rises when a threshold of imt.toml is reached."""
        incidents.measure(self._desk, self.id, measures)
        return self

    def acknowledge(self) -> JoinedIncident:
        """Take the incident in hand."""
        incidents.acknowledge(self._desk, self.id)
        return self

    def mitigate(self, *, reason: str = "") -> JoinedIncident:
        """Say that the damage is contained."""
        incidents.mitigate(self._desk, self.id, reason=reason)
        return self

    def resolve(self, **fields: str) -> JoinedIncident:
        """Say that service is restored and that this was verified; fields that are owed."""
        return self._over(incidents.resolve(self._desk, self.id, fields=fields))

    def close(self, *, anyway: bool = False, **fields: str) -> JoinedIncident:
        """Say that all that was owed is done; the record is built.

        StateError while other runs, gates or changes are unfinished, unless ``anyway``.
        """
        return self._over(incidents.close(self._desk, self.id, fields=fields, anyway=anyway))

    def reopen(self, reason: str) -> JoinedIncident:
        """Say that it was not over, and why."""
        incidents.reopen(self._desk, self.id, reason=reason)
        return self

    def status(
        self,
        status_: str,
        body: str,
        *,
        page: str = "",
        title: str = "",
        components: Mapping[str, str] | None = None,
        notify: bool = False,
    ) -> Shown[Update]:
        """Tell a status page: investigating, identified, monitoring or resolved, and the words.

        Subscribers are told only with ``notify=True``.
        """
        from imtkit.kit import status  # requests is loaded only by those who need it

        words = status.Words(status_, body, title, components or {}, notify)
        update = status.post(self._desk, self.id, words, page=page)
        where = f" on {update.page}" if update.page else ""
        error = f". {update.error}" if update.error else ""
        text = f"Update{where}: {update.state}{error}\n{update.status.capitalize()}: {update.body}"
        return line(update, text, loud=update.state == "failed")

    def timeline(self) -> Shown[Incident]:
        """Everything that happened so far, in order."""
        state = self.state
        return Shown(state, drawing.timeline_text(state), drawing.timeline_html(state))

    def __repr__(self) -> str:
        return drawing.incident_text(self.state)

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> Mapping[str, object]:
        state = self.state
        return {
            "text/plain": drawing.incident_text(state),
            "text/html": drawing.incident_html(state),
        }

    def _over(self, over: Incident) -> JoinedIncident:
        """The incident, once it is said what of it goes on all the same."""
        if said := incidents.still_going(over):
            tell("\n".join(f"Still: {one}" for one in said))
        return self

    def _said(self, entry: Entry) -> Shown[Entry]:
        text = f"{moment_text(entry.occurred_at)}  {drawing.sentence(entry)}  – {entry.actor}"
        return line(entry, text)


def span(text: str | timedelta) -> timedelta:
    """A duration from '90s', '10m', '2h' or '1d'; InputError says what is expected."""
    if isinstance(text, timedelta):
        return text
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None:
        raise InputError(f"{text!r} is not a duration.", hint="Write 90s, 10m, 2h or 1d.")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def _within(text: str | timedelta) -> timedelta | None:
    return span(text) if text else None


def _kept(kept: Evidence, made: Exhibit) -> Shown[Evidence]:
    how = f"{made.said}, " if made.said else ""
    size = f"{kept.size / 1000:.1f} kB" if kept.size >= 1000 else f"{kept.size} bytes"
    text = f"Kept as evidence: {kept.title}\n{kept.path} ({how}{size}, SHA-256 {kept.sha256[:12]}…)"
    shown = line(kept, text)
    if made.media_type != "image/png" or made.is_on_screen:
        return shown
    picture = b64encode(made.content).decode("ascii")
    image = f'<img alt="{escape(kept.title)}" src="data:image/png;base64,{picture}">'
    return Shown(kept, shown.text, image + shown.html)
