"""The tree of errors: as drawn, as raised, as pickled, as exit codes."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator

import pytest

from imtkit import errors
from imtkit.errors import ImtkitError, MissingFieldsError, NotFoundError, suggestion


def _all(kind: type[ImtkitError] = ImtkitError) -> Iterator[type[ImtkitError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _all(below)


def _drawn() -> dict[str, str]:
    """Each class of the drawing with the one it hangs on."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w*Error)\b", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else "Exception"
    return parents


KINDS = sorted(
    (kind for kind in _all() if kind.__module__ == "imtkit.errors"), key=lambda kind: kind.__name__
)


def test_the_tree_is_as_it_is_drawn() -> None:
    """The docstring of errors.py shows every class below the one it inherits from."""
    assert _drawn() == {kind.__name__: kind.__mro__[1].__name__ for kind in KINDS}


def test_every_error_of_imtkit_stands_in_the_tree() -> None:
    """No room defines errors of its own."""
    assert {kind.__module__ for kind in _all()} == {"imtkit.errors"}


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling_whole(kind: type[ImtkitError]) -> None:
    """Message, hint, ``retryable`` and whatever else was set cross process borders."""
    error = kind("what happened", hint="what to do")
    error.retryable = True
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 # our own bytes
    assert type(again) is kind
    assert str(again) == "what happened"
    assert vars(again) == vars(error)


def test_what_is_missing_survives_pickling() -> None:
    """The names that MissingFieldsError carries come along."""
    error = MissingFieldsError("owed", missing=("cause", "checklist x"))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 # our own bytes
    assert again.missing == ("cause", "checklist x")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_without_a_message_says_its_docstring(kind: type[ImtkitError]) -> None:
    """The class's first line is its default message, a full sentence."""
    assert str(kind()) == (kind.__doc__ or "").split("\n")[0]
    assert str(kind()).endswith(".")


def test_each_branch_has_an_exit_code_of_its_own() -> None:
    """Codes differ from branch to branch; twigs share theirs, but for 'not found'."""
    branches = [*ImtkitError.__subclasses__(), NotFoundError]
    codes = [ImtkitError.exit_code, *(kind.exit_code for kind in branches)]
    assert len(set(codes)) == len(codes)
    assert all(1 <= code <= 63 for code in codes)
    for branch in ImtkitError.__subclasses__():
        twigs = {kind.exit_code for kind in _all(branch) if not issubclass(kind, NotFoundError)}
        assert twigs == {branch.exit_code}


def test_what_is_not_found_names_the_nearest() -> None:
    """A mistyped name gets 'did you mean'; a far one gets a few that exist; none gets nothing."""
    error = NotFoundError.of("Runbook", "db-failver", ["db-failover", "host"], where=" in x/")
    assert str(error) == "Runbook 'db-failver' not found in x/."
    assert error.hint == "Did you mean 'db-failover'?"
    assert suggestion("zzz", ["b", "a"]) == "Known: 'a', 'b'"
    assert suggestion("zzz", map(str, range(20))).endswith("'15' …")
    assert suggestion("zzz", []) == ""


def test_what_is_not_found_among_many_says_how_to_list_them() -> None:
    """Where a few of them would tell nothing; one that is near is named all the same."""
    far = NotFoundError.of("Run", "zzz", iter(["20261121", "20261122"]), see="imt runs list")
    assert far.hint == "See what there is: imt runs list"
    near = NotFoundError.of("Run", "2026112", iter(["20261121", "zzz"]), see="imt runs list")
    assert near.hint == "Did you mean '20261121'?"
