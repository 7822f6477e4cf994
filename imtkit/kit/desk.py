"""A desk: where somebody works on incidents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from imtkit import config
from imtkit.config import Settings
from imtkit.contracts import Clock, Store, SystemClock
from imtkit.errors import IdentityError, InputError
from imtkit.model.entries import Draft, Visibility
from imtkit.model.scrubber import Scrubber
from imtkit.store import open_store


@dataclass(frozen=True, slots=True)
class Desk:
    """Settings, the log and the time, and who acts through which face.

    An empty ``actor`` is found out when first needed: reading asks nobody's name. What
    ``scrubber`` knows as a secret is taken out of whatever is written here.
    """

    settings: Settings
    store: Store
    clock: Clock
    actor: str = ""
    source: str = "cli"
    scrubber: Scrubber = field(default_factory=lambda: Scrubber({}))

    def who(self) -> str:
        """Who is acting; IdentityError says how to say it when nobody knows."""
        if self.actor and not config.is_somebody(self.actor):
            raise IdentityError(
                f"{self.actor!r} is nobody's name.", hint="Give the name colleagues know you by."
            )
        return self.actor or config.person()

    def acting_as(self, actor: str, source: str = "") -> Desk:
        """The same desk with somebody else at it."""
        return replace(self, actor=actor, source=source or self.source)

    def draft(
        self,
        type_: str,
        data: Mapping[str, Any] | None = None,
        *,
        at: datetime | None = None,
        key: str | None = None,
        visibility: Visibility = "internal",
    ) -> Draft:
        """An entry by whoever is acting, ready for the log. ``at`` is aware, and not ahead."""
        zone = "UTC"
        if at is not None:
            zone = _zone(at)
            if at > self.clock.now():
                raise InputError(
                    f"{at.isoformat()} is still to come; the log keeps what happened.",
                    hint="Say when it was, such as 10m or 14:05, or leave the time out for now.",
                )
        return Draft(
            type_,
            self.scrubber.table(data or {}),
            actor=self.who(),
            source=self.source,
            visibility=visibility,
            occurred_at=at,
            zone=zone,
            key=key,
        )

    def patient(self, seconds: float, *, is_over: Callable[[], bool] = lambda: False) -> Desk:
        """The same desk at the same log, which is waited for so long when it cannot be reached."""
        from imtkit.store.patience import patient

        return replace(self, store=patient(self.store, seconds, is_over=is_over))

    def folder(self, incident_id: str) -> Path:
        """Where an incident's notebooks, evidence and record are kept."""
        return self.settings.outputs / incident_id

    def close(self) -> None:
        """Let go of the log."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_desk(root: Path | None = None, *, actor: str = "", source: str = "cli") -> Desk:
    """A desk in the workspace that ``root`` (else the working directory) lies in."""
    settings = config.load_settings(config.find_workspace(root))
    scrubber = Scrubber(config.known_secrets())
    store = open_store(settings.store_url)
    return Desk(settings, store, SystemClock(), actor, source, scrubber)


def id_of(text: str) -> str:
    """An incident's id as the log has it; people type it in any case."""
    return text.strip().upper()


def _zone(at: datetime) -> str:
    if at.tzinfo is None:
        raise InputError(
            f"{at.isoformat()} has no time zone.", hint="Write 2026-11-21T20:16:00+01:00 or …Z."
        )
    key = getattr(at.tzinfo, "key", None)
    return str(key or at.strftime("%z") or "UTC")
