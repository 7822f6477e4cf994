"""Whether the log is what was stored: places, links, hashes and heads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imtkit.contracts import Fault, Head
from imtkit.store.chain import hash_of

Row = Mapping[Any, Any]

_MOST = 20
"""After so many faults more would not help anybody."""


def first_faults(
    rows: Iterable[Row], kept: Mapping[str, Head], anchors: Sequence[Head]
) -> list[Fault]:
    """The first faults of rows that come in order of ``seq``, then of heads and anchors."""
    faults: list[Fault] = []
    ends: dict[str, Head] = {}
    wanted = _by_place(anchors)
    expected = 1
    for row in rows:  # whatever stands in it: the database's own rules may be gone too
        incident = str(row["incident"])
        end = ends.get(incident, Head(incident, 0, ""))
        faults.extend(_row_faults(row, expected, end))
        anchor = wanted.pop((incident, row["n"]), None)
        if anchor is not None and anchor.hash != row["hash"]:
            faults.append(_fault(row, "is not the entry that an anchor outside names"))
        expected = _whole(row["seq"], expected) + 1
        ends[incident] = Head(incident, _whole(row["n"], end.count + 1), str(row["hash"]))
        if len(faults) >= _MOST:
            return faults
    faults.extend(
        Fault(0, head.incident, head.count, "is missing: an anchor outside names this entry")
        for head in wanted.values()
    )
    return faults + _head_faults(ends, kept)


def _by_place(anchors: Sequence[Head]) -> dict[tuple[str, int], Head]:
    return {(head.incident, head.count): head for head in anchors if head.count}


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise


def _fault(row: Row, problem: str) -> Fault:
    return Fault(_whole(row["seq"], 0), str(row["incident"]), _whole(row["n"], 0), problem)


def _row_faults(row: Row, expected: int, end: Head) -> list[Fault]:
    if row["seq"] != expected:
        return [_fault(row, f"stands where entry {expected} is missing")]
    if row["n"] != end.count + 1:
        return [_fault(row, f"should be number {end.count + 1} of {end.incident}")]
    if row["prev"] != end.hash:
        return [_fault(row, "does not link to the entry before it")]
    if not _hash_stands(row):
        return [_fault(row, "is not what was stored: its hash does not match")]
    return []


def _hash_stands(row: Row) -> bool:
    try:
        return bool(hash_of(row) == row["hash"])
    except (ValueError, TypeError):  # bytes that are no text, text that is no UTF-8
        return False


def _head_faults(ends: Mapping[str, Head], kept: Mapping[str, Head]) -> list[Fault]:
    faults = []
    for incident in sorted({*ends, *kept}):
        end, head = ends.get(incident), kept.get(incident)
        if end != head:
            count = end.count if end else 0
            said = _whole(head.count, 0) if head else 0
            problem = f"ends at entry {count}, but its head was kept at {said}"
            if count == said:
                problem = "does not end with the entry that its kept head names"
            faults.append(Fault(0, incident, min(count, said) + 1, problem))
    return faults
