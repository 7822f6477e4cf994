"""``%imt``: the words that are typed most, without brackets and quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

if TYPE_CHECKING:
    from imtkit.kit import Desk
    from imtkit.widgets.joined import JoinedIncident
    from imtkit.widgets.sitting import Sitting

_USAGE = """\
%imt                                the incident
%imt note WORDS
%imt decide WORDS --because REASON
%imt ask PERSON: WORDS
%imt timeline
With %%imt, the cell's lines are the words."""


@magics_class
class ImtMagics(Magics):  # type: ignore[misc]  # IPython's types are skipped
    """The magics of one IPython, and what it has joined: its only state."""

    desk: Desk | None = None
    joined: JoinedIncident | None = None
    sitting: Sitting | None = None

    @no_var_expand  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def imt(self, line: str, cell: str | None = None) -> object:
        """Write to the incident's log: note, decide, ask; or show it: timeline."""
        verb, _, words = line.strip().partition(" ")
        words = "\n".join(part for part in (words.strip(), (cell or "").strip()) if part)
        incident = self._incident()
        match verb:
            case "":
                return incident
            case "note" if words:
                return incident.note(words)
            case "decide" if words:
                return incident.decide(*_reasoned(words))
            case "ask" if words:
                who, colon, what = words.partition(":")
                if not colon or not what.strip():
                    raise UsageError("%imt ask PERSON: WORDS")
                return incident.ask(what.strip(), who.strip())
            case "timeline":
                return incident.timeline()
        raise UsageError(f"%imt {line.strip()} is not understood.\n{_USAGE}")

    def _incident(self) -> JoinedIncident:
        if self.joined is None:
            from imtkit.widgets.door import join

            return join()
        return self.joined


def _reasoned(words: str) -> tuple[str, str]:
    text, because, reason = words.partition("--because")
    if not because or not text.strip() or not reason.strip():
        raise UsageError("A decision has a reason: %imt decide WORDS --because REASON")
    return text.strip(), reason.strip()


def magics_of(ip: Any | None) -> ImtMagics | None:  # noqa: ANN401 - IPython ships no types
    """The magics of this IPython, made and registered when they are not there yet."""
    if ip is None:
        return None
    known = ip.magics_manager.registry.get("ImtMagics")
    if not isinstance(known, ImtMagics):
        known = ImtMagics(ip)
        ip.register_magics(known)
    return known
