"""Facts as tables, and amounts as words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imtkit.model.words import span_text

if TYPE_CHECKING:
    import pandas as pd


def frame_of(kind: type[Any], rows: Iterable[Any]) -> pd.DataFrame:
    """A table of dataclass instances: a column for each field, also when there are no rows."""
    import pandas as pd

    names = [one.name for one in fields(kind)]
    return pd.DataFrame([[getattr(row, name) for name in names] for row in rows], columns=names)


def seconds_text(seconds: float) -> str:
    """A duration in the units that read best: '12 ms', '1.4 s', '3 h 12 min'."""
    return span_text(timedelta(seconds=seconds))


def bytes_text(size: float) -> str:
    """A size in binary units: '512 B', '3.4 MiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def share_text(share: float) -> str:
    """A share between 0 and 1 in percent; one decimal where a whole number would mislead."""
    percent = share * 100
    return f"{percent:.1f}%" if percent < 10 or 99 < percent < 100 else f"{percent:.0f}%"


def mix_text(counts: Mapping[str, int]) -> str:
    """Counts in words, most frequent first: '12 × timeout, 3 × 5xx'."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} × {name}" for name, count in ordered)
