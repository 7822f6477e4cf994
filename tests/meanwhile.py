"""Something that happens in the midst of what a test does: at a log, at a certain time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from imtkit.kit import Desk


class Meanwhile:
    """A log at which something happens, once, before (or after) what is done first of a kind."""

    def __init__(self, store: Any, verb: str, before: Any = None, after: Any = None) -> None:
        self._store, self._verb = store, verb
        self._deeds = [before, after]

    def __getattr__(self, name: str) -> Any:
        done = getattr(self._store, name)
        if name != self._verb:
            return done

        def with_deeds(*args: Any, **named: Any) -> Any:
            (before, after), self._deeds = self._deeds, [None, None]
            if before is not None:
                before()
            answer = done(*args, **named)
            if after is not None:
                after()
            return answer

        return with_deeds


def at(desk: Desk, verb: str, **deeds: Callable[[], object]) -> Desk:
    """The desk, with something that happens meanwhile."""
    return replace(desk, store=Meanwhile(desk.store, verb, **deeds))  # type: ignore[arg-type]
