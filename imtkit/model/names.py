"""Names that were probably meant to be others."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_NEAR = 0.8


def meant_by(name: str, known: Iterable[str]) -> str:
    """The known name that an unknown one is a slip of; empty when it is known or like none."""
    names = sorted(known)
    if name in names:
        return ""
    return next(iter(get_close_matches(name.lower(), names, n=1, cutoff=_NEAR)), "")
