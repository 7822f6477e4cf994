"""Every error imtkit raises on purpose, as one tree.

The branch answers the caller's question: whose fault, and what now?

    ImtkitError                    anything from this library
    ├── InputError                 what was asked for cannot be meant: mend the request
    │   ├── NotFoundError          the named thing does not exist
    │   ├── ParameterError         a runbook parameter is unknown, missing or of the wrong type
    │   └── PayloadError           an alert payload cannot be read
    ├── ConfigError                imt.toml or the environment is wrong
    │   └── WorkspaceError         there is no workspace here
    ├── StateError                 the incident's state does not allow it
    │   ├── MissingFieldsError     fields or tasks are owed before a state is left
    │   └── DeniedError            a gate expired, or a change was not approved
    ├── AuthorityError             this actor may not do that
    │   ├── IdentityError          nobody knows who is acting
    │   └── SignatureError         a sender did not prove that a request is its own
    ├── StoreError                 the log could not be read or written
    │   ├── StoreBusyError         another writer holds it; try again
    │   ├── StoreDownError         its database cannot be reached; it may come back
    │   ├── StoreVersionError      the database is older or newer than this imtkit
    │   └── ChainError             an entry is not what was stored
    ├── RunError                   a runbook could not be run to its end
    │   ├── StepError              a step failed
    │   ├── WaitingError           a gate waits for an answer; the run is parked there
    │   └── KernelError            the kernel is missing, did not start, or died
    ├── ServiceError               an outside service refused or failed
    │   └── ServiceDownError       it could not be reached or asks to come back later
    └── RecordError                the archive could not be built or does not verify

Every error has ``hint`` (what to do next) and ``retryable``; its ``exit_code`` is the
terminal's, one for each branch.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, ClassVar


class ImtkitError(Exception):
    """Something went wrong in imtkit."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message or (self.__doc__ or "").split("\n")[0])
        self.hint = hint
        self.retryable = retryable

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), str(self), dict(self.__dict__))


def _revive(kind: type[ImtkitError], message: str, state: dict[str, Any]) -> ImtkitError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class InputError(ImtkitError):
    """What was asked for cannot be meant."""

    exit_code = 2


class NotFoundError(InputError):
    """The named thing does not exist."""

    exit_code = 3

    @classmethod
    def of(
        cls, kind: str, name: str, known: Iterable[str], *, where: str = "", see: str = ""
    ) -> NotFoundError:
        """An error that names the nearest known name, or lists a few that exist.

        ``see``, a command that lists them, is told instead where no few of them are of use.
        """
        names = list(known)
        hint = f"See what there is: {see}" if see and not _nearest(name, names) else ""
        return cls(f"{kind} '{name}' not found{where}.", hint=hint or suggestion(name, names))


class ParameterError(InputError):
    """A runbook parameter is unknown, missing or of the wrong type."""


class PayloadError(InputError):
    """An alert payload cannot be read."""


class ConfigError(ImtkitError):
    """The configuration is wrong."""

    exit_code = 4


class WorkspaceError(ConfigError):
    """There is no imtkit workspace here."""


class StateError(ImtkitError):
    """The incident's state does not allow that."""

    exit_code = 5


class MissingFieldsError(StateError):
    """Fields or tasks are owed before this state is left."""

    def __init__(self, message: str = "", *, missing: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.missing = missing


class DeniedError(StateError):
    """A gate expired, or a change was not approved."""


class AuthorityError(ImtkitError):
    """The actor may not do that."""

    exit_code = 6


class IdentityError(AuthorityError):
    """Nobody knows who is acting."""


class SignatureError(AuthorityError):
    """The request does not prove who sent it."""


class StoreError(ImtkitError):
    """The log could not be read or written."""

    exit_code = 7


class StoreBusyError(StoreError):
    """Another writer holds the log."""


class StoreDownError(StoreError):
    """The log's database cannot be reached."""


class StoreVersionError(StoreError):
    """The database is of another version than this imtkit."""


class ChainError(StoreError):
    """An entry is not what was stored."""


class RunError(ImtkitError):
    """The runbook could not be run to its end."""

    exit_code = 8


class StepError(RunError):
    """A step of the runbook failed."""


class WaitingError(RunError):
    """A gate waits for an answer."""


class KernelError(RunError):
    """The kernel is missing, did not start, or died."""


class ServiceError(ImtkitError):
    """An outside service refused or failed."""

    exit_code = 9


class ServiceDownError(ServiceError):
    """An outside service could not be reached, or asks to come back later."""


class RecordError(ImtkitError):
    """The record could not be built or does not verify."""

    exit_code = 10


def suggestion(name: str, known: Iterable[str]) -> str:
    """The sentence that helps somebody who mistyped ``name``; empty when nothing is known."""
    names = sorted(known)
    near = _nearest(name, names)
    if near:
        return f"Did you mean '{near}'?"
    if not names:
        return ""
    shown = ", ".join(f"'{one}'" for one in names[:8])
    return f"Known: {shown}{' …' if len(names) > 8 else ''}"


def _nearest(name: str, known: Iterable[str]) -> str:
    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=0.5)), "")
