"""An incident from the alert to the archive, on the scene's real service.

What is decided follows from what the runbook found. Where it found nothing, nothing is
repaired; where it blames something that is not the scene's, a person must go on.

A person's name stands only under what that person answered. With nobody at the terminal the
demo decides, and ticks what it measured, as ``automation/demo``. Publishing and closing are a
person's by rule: then whoever started the demo owns it and lends the name, and this is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from imtkit.demo.diagnosis import Diagnosis, diagnosis_of
from imtkit.demo.scene import Scene
from imtkit.demo.watcher import SERVICE, Watcher
from imtkit.errors import ImtkitError, StateError
from imtkit.kit import (
    Desk,
    alerts,
    checklists,
    evidence,
    incidents,
    records,
    runbooks,
    runs,
    status,
)
from imtkit.model.entries import AUTOMATION
from imtkit.model.incident import Incident, Run
from imtkit.model.opening import Opening
from imtkit.model.words import moment_text, span_text
from imtkit.probes import http
from imtkit.runs.runbook import Runbook

RUNBOOK = "http-service"
MACHINE = f"{AUTOMATION}demo"
REQUESTS = 12
"""How many requests the runbook makes each time it measures; the demo shall not take long."""
ALERT_SECONDS = 30.0
RECOVERY_SECONDS = 20.0


class Voice(Protocol):
    """Tells whoever watches what happens, and asks."""

    @property
    def is_asking(self) -> bool:
        """Whether somebody is there to answer."""
        ...

    def begin(self, act: str) -> None:
        """A new act."""
        ...

    def say(self, text: str) -> None:
        """One thing that happened."""
        ...

    def show(self, diagnosis: Diagnosis) -> None:
        """What a run found."""
        ...

    def agree(self, question: str) -> bool:
        """What the person there answers; asked only where somebody is there."""
        ...

    def watch(self, runbook: Runbook) -> AbstractContextManager[runs.OnStep]:
        """Shows a run's steps."""
        ...


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended. ``doubts`` are what should be true and is not; empty when all of it is.

    ``left_open`` are the texts of the checklist's items that nobody ticked.
    """

    incident: Incident
    found: Diagnosis
    afterwards: Diagnosis
    repaired: str
    record: Path
    page: Path | None
    doubts: tuple[str, ...]
    left_open: tuple[str, ...]


@dataclass(slots=True)
class Play:
    """One play: the desk it is logged at, the scene it is about, the voice that tells it."""

    desk: Desk
    scene: Scene
    voice: Voice
    watcher: Watcher
    incident_id: str = ""
    runs: list[Run] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    grounds: dict[str, str] = field(default_factory=dict)
    """What was established and is not yet ticked: how, by the checklist item's id."""

    @property
    def machine(self) -> Desk:
        """The desk with the demo itself at it."""
        return self.desk.acting_as(MACHINE)

    def perform(self, fault: str) -> Ending:
        """Everything, from the first measurement to the archive."""
        self.voice.begin("A service at work")
        if not self.voice.is_asking:
            self.voice.say(
                f"Nobody is at the terminal: the demo decides, as {MACHINE}. {self.desk.who()} "
                "owns it; publishing and closing, which need a person, go out under that name."
            )
        self.voice.say(f"{SERVICE} answers at {self.scene.url}, and asks an inventory behind it.")
        self._tell_look()
        if fault == "none":
            self._open_by_hand()
        else:
            self._break(fault)
        self._take_in_hand()
        found = self._diagnose()
        repaired = self._decide_and_act(found)
        afterwards = self._verify(found, repaired)
        return self._end(found, afterwards, repaired)

    # Detection

    def _tell_look(self) -> None:
        samples = self.watcher.look()
        failed = sum(samples.errors.values())
        self.voice.say(f"{len(samples)} requests, {failed} failed. {_times(samples)}".rstrip())

    def _break(self, fault: str) -> None:
        self.voice.begin("Something breaks")
        self.voice.say(self.scene.break_inventory(fault))
        ends_at = time.monotonic() + ALERT_SECONDS
        while not self.watcher.is_firing:
            if time.monotonic() > ends_at:
                raise StateError(
                    f"No alert after {ALERT_SECONDS:g} s, though the inventory is gone."
                )
            self._tell_look()
        body = self._alert(is_over=False)
        (outcome,) = alerts.receive(self.desk, body)
        self.incident_id = outcome.incident
        incident = incidents.get(self.desk, self.incident_id)
        self.voice.say(f"The alert {outcome.alert} {outcome.action} {incident.id}.")
        self.voice.say(f"{incident.severity}: {incident.title}")
        evidence.keep(
            self.machine,
            self.incident_id,
            "The alert as it came in",
            body,
            name="alert.json",
            media_type="application/json",
        )

    def _alert(self, *, is_over: bool) -> bytes:
        since = self.watcher.bad_since or self.watcher.looks[-1].taken[0].at
        return self.watcher.payload(since, is_over=is_over)

    def _open_by_hand(self) -> None:
        self.voice.begin("Nothing breaks")
        self._tell_look()
        if self.watcher.is_firing:
            raise StateError("The alert fires, though nothing was broken.")
        self.voice.say("No alert fires. A drill is opened to look all the same.")
        opening = Opening(f"Is {SERVICE} well?", services=(SERVICE,), mode="drill")
        self.incident_id = incidents.open_(self.machine, opening).id

    def _take_in_hand(self) -> None:
        incident = incidents.get(self.desk, self.incident_id)
        if incident.status == "open":
            incidents.acknowledge(self.machine, self.incident_id)
            self.voice.say(f"{MACHINE} acknowledged {self.incident_id}.")
        owner = self.desk.who()
        incidents.assign(self.machine, self.incident_id, "owner", owner)
        self.voice.say(f"{owner} started the demo, and owns its incident.")

    # Diagnosis

    def _diagnose(self) -> Diagnosis:
        self.voice.begin("The runbook looks")
        found = self._run()
        self.voice.show(found)
        self._establish(found)
        return found

    def _establish(self, found: Diagnosis) -> None:
        """Keep what was measured, and how; what was not measured stays for people."""
        bad_since = self.watcher.bad_since
        if bad_since is not None:
            rate = self.watcher.looks[-1].error_rate
            self.grounds["impact"] = (
                f"{rate:.0%} of the requests to {SERVICE} fail since {moment_text(bad_since)}."
            )
        began = bad_since or incidents.get(self.desk, self.incident_id).opened_at
        started = max(part.started_at for part in self.scene.parts.values())
        if began and started < began:
            names = " and ".join(self.scene.parts)
            told = f"Nothing was deployed: {names} run unchanged since {moment_text(started)}."
            self.grounds["changes"] = told
        if found.blamed:
            self.grounds["dependency"] = found.why

    def _run(self) -> Diagnosis:
        incident = incidents.get(self.desk, self.incident_id)
        name = self._proposed(incident)
        book = runbooks.find(self.desk.settings, name)
        given: dict[str, object] = {"url": self.scene.url, "health_url": self.scene.health_url}
        if incident.alerts:
            given = alerts.parameters_for(book, incident.alerts[-1])
        given["count"] = REQUESTS
        with self.voice.watch(book) as on_step:
            run = runs.start(
                self.desk,
                name,
                incident_id=self.incident_id,
                parameters=given,
                on_step=on_step,
            )
        self.runs.append(runs.require_completed(run))
        self.voice.say(f"{book.name} {run.status}: {self.desk.settings.root / run.output_path}")
        incident = incidents.get(self.desk, self.incident_id)
        return diagnosis_of(self.desk, incident, self.scene.parts)

    def _proposed(self, incident: Incident) -> str:
        """The runbook that says it answers the alert; without an alert, the one for HTTP."""
        named = [e.data["runbook"] for e in incident.entries if e.type == "runbook.proposed"]
        return str(named[0]) if named else RUNBOOK

    # Decision and repair

    def _decide_and_act(self, found: Diagnosis) -> str:
        """What was repaired; empty when there was nothing to repair."""
        self.voice.begin("Somebody decides")
        if found.is_well:
            self._decide("Change nothing", found.why)
            return ""
        if not found.blamed:
            raise self._left_open(f"The diagnosis blames nothing that the demo runs: {found.why}")
        part = found.blamed[0]
        self._decide(f"Restart {part}", found.why)
        self._post("identified", f"Requests to {SERVICE} fail: {part} does not work as it should.")
        done = self.scene.restart(part)
        incidents.note(self.machine, self.incident_id, done)
        self.voice.say(done)
        return part

    def _left_open(self, why: str) -> StateError:
        return StateError(
            f"{self.incident_id} is left open. {why}",
            hint=f"See it: imt incident show {self.incident_id}",
        )

    def _decide(self, what: str, reason: str) -> None:
        """Somebody's decision: the person's who is asked, else the demo's own."""
        desk = self.machine
        if self.voice.is_asking:
            if not self.voice.agree(f"{what}?"):
                raise self._left_open(f"Nobody agreed to {what[0].lower()}{what[1:]}.")
            desk = self.desk
        else:
            self.voice.say("Nobody is at the terminal: the demo decides.")
        incidents.decide(desk, self.incident_id, f"{what}.", reason=reason)
        self.voice.say(f"Decided by {desk.who()}: {what}. {reason}")

    def _tick(self) -> tuple[str, ...]:
        """Tick what is established, or what the person there says is; the texts left open."""
        shown = incidents.get(self.desk, self.incident_id).checklist(RUNBOOK)
        left = []
        for item in shown.open_items if shown else ():
            grounds = self.grounds.get(item.id, "")
            if self.voice.is_asking:
                self.voice.say(grounds)
                is_known, desk = self.voice.agree(f"Tick '{item.text}'?"), self.desk
            else:
                is_known, desk = bool(grounds), self.machine
            if not is_known:
                left.append(item.text)
                continue
            if grounds:
                incidents.note(self.machine, self.incident_id, grounds)
            checklists.tick(desk, self.incident_id, RUNBOOK, item.id)
            self.voice.say(f"Ticked by {desk.who()}: {item.text}")
        for text in left:
            self.voice.say(f"Left open, for a person: {text}")
        return tuple(left)

    def _post(self, state: str, body: str) -> None:
        """Tell the embedded page; no other page ever hears of a demo."""
        page = self._page()
        if page and incidents.get(self.desk, self.incident_id).mode == "live":
            if self.voice.is_asking and not self.voice.agree(f"Publish {state}. {body}"):
                return
            update = status.post(self.desk, self.incident_id, status.Words(state, body), page=page)
            self.voice.say(f"The page {page} says, by {self.desk.who()}: {state}. {body}")
            if update.state != "published":
                self.doubts.append(f"The update '{state}' is {update.state}, not published.")

    def _page(self) -> str:
        pages = self.desk.settings.status_pages.values()
        return next((one.name for one in pages if one.url.startswith("embedded:")), "")

    # Verification and closure

    def _verify(self, found: Diagnosis, repaired: str) -> Diagnosis:
        if not repaired:
            return found  # nothing was done, so there is no afterwards to measure
        self.voice.begin("The runbook looks again")
        ends_at = time.monotonic() + RECOVERY_SECONDS
        began = self.watcher.bad_since
        while self.watcher.bad_since is not None:
            if time.monotonic() > ends_at:
                raise self._left_open(f"Restarting {repaired} did not help.")
            self._tell_look()
        if began is not None:
            alerts.receive(self.desk, self.watcher.payload(began, is_over=True))
        if incidents.get(self.desk, self.incident_id).status == "acknowledged":
            incidents.mitigate(self.machine, self.incident_id, reason=f"{repaired} was restarted")
        after = self._run()
        self.voice.show(after)
        if not after.is_well:
            raise self._left_open(f"It is still not well: {after.why}")
        self.grounds["verified"] = f"Measured again: {after.why}"
        return after

    def _end(self, found: Diagnosis, after: Diagnosis, repaired: str) -> Ending:
        self.voice.begin("Closed and archived")
        resolution = f"Restarted {repaired}. Measured again: {after.why}" if repaired else after.why
        cause = found.why if repaired else "Nothing was wrong."
        if repaired:
            self._post("resolved", f"{SERVICE} answers again.")
        incidents.resolve(self.machine, self.incident_id, fields={"resolution": resolution})
        left_open = self._tick()
        if self.voice.is_asking and not self.voice.agree(f"Close {self.incident_id}?"):
            raise self._left_open("It is resolved, and nobody agreed to close it.")
        closed = incidents.move(self.desk, self.incident_id, "close", fields={"cause": cause})
        self.voice.say(f"Closed by {self.desk.who()}.")
        self._check(closed)
        page = status.build(self.desk, self._page()) if repaired and self._page() else None
        record = self.desk.folder(closed.id) / "record" / "index.html"
        return Ending(closed, found, after, repaired, record, page, tuple(self.doubts), left_open)

    def _check(self, closed: Incident) -> None:
        """What should be true now: each thing that is not is a doubt."""
        checks: dict[str, Callable[[], object]] = {
            "The record does not verify": lambda: records.verify_incident(self.desk, closed.id),
            "The log does not verify": self.desk.store.verify,
            "The incident is not closed": lambda: closed.status != "closed",
            "A run did not complete": lambda: any(r.status != "completed" for r in closed.runs),
            "The alert still fires": lambda: self._is_firing(closed),
        }
        for doubt, holds in checks.items():
            try:
                wrong = holds()
            except ImtkitError as error:
                wrong = error
            if wrong:
                self.doubts.append(f"{doubt}: {wrong}")

    def _is_firing(self, incident: Incident) -> bool:
        mine = self.watcher.fingerprint
        return any(a.status == "firing" for a in incident.alerts if a.fingerprint == mine)


def _times(samples: http.Samples) -> str:
    p95 = samples.percentiles().p95
    return (
        "" if p95 is None else f"95% of the answers took up to {span_text(timedelta(seconds=p95))}."
    )
