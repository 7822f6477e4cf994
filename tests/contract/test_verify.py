"""Verification finds what anybody does to the log behind imtkit's back.

Each example starts from one small log in memory whose triggers and constraints are gone, as
they are for whoever owns the database file; what it changes is rolled back afterwards.
"""

# ruff: noqa: S608  # the statements are put together from this module's own column names

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from clocks import FixedClock
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from imtkit.contracts import Fault, Head
from imtkit.errors import InputError
from imtkit.model.entries import WORKSPACE, Draft
from imtkit.store import open_store
from imtkit.store.chain import FIELDS, canonical, hash_of
from imtkit.store.schema import entries as table

if TYPE_CHECKING:
    from imtkit.store.log import SqlStore

COLUMNS = (*FIELDS, "hash")
COUNT = 14


def _draft(number: int) -> Draft:
    data = {"text": f"entry {number} – ü", "value": number / 7, "list": [number, None]}
    key = f"key/{number}" if number % 3 == 0 else None
    return Draft("note.added", data, actor="Ann Example", source="cli", key=key)


@pytest.fixture(scope="module")
def bare() -> Iterator[SqlStore]:
    """A log of fourteen entries in three chains, with nothing left that would refuse a change."""
    store = open_store("sqlite://", clock=FixedClock())
    ids = [store.open_incident(_draft(n)).incident for n in (1, 2)]
    for number in range(3, COUNT + 1):
        store.append([*ids, WORKSPACE][number % 3], _draft(number))
    with store._engine.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE open_entries AS SELECT * FROM entries")
        connection.exec_driver_sql("DROP TABLE entries")
        connection.exec_driver_sql("ALTER TABLE open_entries RENAME TO entries")
    assert store.verify() == []
    yield store
    store.close()


@contextmanager
def tampered(store: SqlStore, *statements: tuple[str, Sequence[Any]]) -> Iterator[list[Fault]]:
    """What verification finds once these statements have run; they are undone afterwards."""
    backup = "CREATE TEMP TABLE {0}_kept AS SELECT * FROM {0}"
    with store._engine.writing() as connection:
        for name in ("entries", "heads"):
            connection.exec_driver_sql(backup.format(name))
        for statement, values in statements:
            connection.exec_driver_sql(statement, tuple(values))
    try:
        yield store.verify()
    finally:
        with store._engine.writing() as connection:
            for name in ("entries", "heads"):
                connection.exec_driver_sql(f"DELETE FROM {name}")
                connection.exec_driver_sql(f"INSERT INTO {name} SELECT * FROM temp.{name}_kept")
                connection.exec_driver_sql(f"DROP TABLE temp.{name}_kept")


def value_of(store: SqlStore, seq: int, column: str) -> Any:
    with store._engine.reading() as connection:
        wanted = f"SELECT {column} FROM entries WHERE seq = ?"
        return connection.exec_driver_sql(wanted, (seq,)).scalar()


def row_of(store: SqlStore, seq: int) -> dict[str, Any]:
    with store._engine.reading() as connection:
        row = connection.exec_driver_sql("SELECT * FROM entries WHERE seq = ?", (seq,)).one()
        return dict(zip(table.columns.keys(), row, strict=True))


SEQS = st.integers(1, COUNT)


@given(
    seq=SEQS, column=st.sampled_from(COLUMNS), place=st.integers(0, 400), flip=st.integers(1, 255)
)
@settings(max_examples=400)
@example(seq=1, column="data", place=2, flip=0x80)  # no longer UTF-8
@example(seq=3, column="key", place=0, flip=1)
@example(seq=14, column="hash", place=63, flip=1)
def test_every_change_of_one_byte_is_found(
    bare: SqlStore, seq: int, column: str, place: int, flip: int
) -> None:
    """Whichever byte of whichever column of whichever entry: the entry itself is named first."""
    old = value_of(bare, seq, column)
    assume(old is not None)
    if isinstance(old, int):
        new: Any = old ^ (flip << 8 * (place % 3))
        change = f"UPDATE entries SET {column} = ? WHERE seq = ?"
    else:
        raw = bytearray(old.encode())
        assume(raw)
        raw[place % len(raw)] ^= flip
        new = bytes(raw)
        change = f"UPDATE entries SET {column} = CAST(? AS TEXT) WHERE seq = ?"
    with tampered(bare, (change, (new, seq))) as faults:
        assert faults
        if column == "seq":
            assert faults[0].seq == new or f"entry {seq} is missing" in faults[0].problem
        else:
            assert faults[0].seq == seq


@given(
    seq=SEQS,
    column=st.sampled_from([name for name in COLUMNS if name != "seq"]),
    value=st.one_of(st.none(), st.integers(-(2**62), 2**62), st.text(), st.binary(), st.floats()),
)
@settings(max_examples=150)
def test_every_other_value_is_found(bare: SqlStore, seq: int, column: str, value: object) -> None:
    """NULL, a number, bytes where a text was: a fault that names the entry, never a crash."""
    old = value_of(bare, seq, column)
    change = (f"UPDATE entries SET {column} = ? WHERE seq = ?", (value, seq))
    with tampered(bare, change) as faults:
        if value_of(bare, seq, column) != old:
            assert faults
            assert faults[0].seq == seq


@given(seq=SEQS)
def test_every_deletion_is_found(bare: SqlStore, seq: int) -> None:
    """An entry cut out of the middle or off the end is missed, and the place is named."""
    incident, n = value_of(bare, seq, "incident"), value_of(bare, seq, "n")
    with tampered(bare, ("DELETE FROM entries WHERE seq = ?", (seq,))) as faults:
        first = faults[0]
        if seq < COUNT:
            assert first.seq == seq + 1
            assert f"entry {seq} is missing" in first.problem
        else:
            assert (first.incident, first.n) == (incident, n)
            assert "its head was kept at" in first.problem


@given(seq=SEQS)
def test_a_cut_tail_is_found_by_anchors_when_heads_are_cut_too(bare: SqlStore, seq: int) -> None:
    """Whoever cuts the end and mends the heads is caught by a head that was kept outside."""
    anchors = bare.heads()
    cut = (
        ("DELETE FROM entries WHERE seq >= ?", (seq,)),
        ("DELETE FROM heads", ()),
        (
            "INSERT INTO heads SELECT incident, n, hash FROM entries e WHERE n ="
            " (SELECT max(n) FROM entries WHERE incident = e.incident)",
            (),
        ),
    )
    with tampered(bare, *cut) as faults:
        assert faults == []  # nothing inside the database can tell
        missed = bare.verify(anchors)
        assert missed
        lost = {h.incident: h.count for h in anchors}
        assert all(lost[fault.incident] == fault.n for fault in missed)


def test_an_entry_written_anew_with_its_whole_chain_is_found_by_anchors(bare: SqlStore) -> None:
    """A forger who computes every later hash again is caught by an anchor."""
    anchors = bare.heads()
    row = row_of(bare, COUNT)
    row["data"] = canonical({"text": "it was never down"}, "note.added").decode()
    row["hash"] = hash_of(row)
    forge = (
        ("UPDATE entries SET data = ?, hash = ? WHERE seq = ?", (row["data"], row["hash"], COUNT)),
        ("UPDATE heads SET hash = ? WHERE incident = ?", (row["hash"], row["incident"])),
    )
    with tampered(bare, *forge) as faults:
        assert faults == []
        assert [fault.seq for fault in bare.verify(anchors)] == [COUNT]


@given(one=SEQS, other=SEQS, whole=st.booleans())
def test_every_swap_is_found(bare: SqlStore, one: int, other: int, *, whole: bool) -> None:
    """Two entries that change places, with or without their numbers: the earlier is named."""
    assume(one != other)
    names = [name for name in COLUMNS if name != "seq" and (whole or name != "n")]
    a, b = row_of(bare, one), row_of(bare, other)
    write = f"UPDATE entries SET {', '.join(f'{name} = ?' for name in names)} WHERE seq = ?"
    swap = (
        (write, [*(a[name] for name in names), other]),
        (write, [*(b[name] for name in names), one]),
    )
    with tampered(bare, *swap) as faults:
        assert faults[0].seq == min(one, other)


@given(after=st.integers(0, COUNT), is_numbered=st.booleans())
def test_every_insertion_is_found(bare: SqlStore, after: int, *, is_numbered: bool) -> None:
    """A forged entry, its own hash right, is found wherever it is put in.

    With later entries numbered anew it is the first whose place is wrong, or the one behind it.
    """
    row = row_of(bare, max(after, 1))
    row |= {"seq": after + 1, "n": row["n"] + 1 if after else 1, "key": None}
    row["prev"] = row["hash"] if after else ""
    row["hash"] = hash_of(row)
    places = ", ".join("?" for _ in row)
    insert = (f"INSERT INTO entries VALUES ({places})", list(row.values()))
    renumber = ("UPDATE entries SET seq = seq + 1 WHERE seq > ?", (after,))
    with tampered(bare, *([renumber] if is_numbered else []), insert) as faults:
        assert faults
        if after < COUNT:
            assert faults[0].seq > after
        else:
            assert "its head was kept at" in faults[0].problem


def test_only_the_first_faults_are_told(bare: SqlStore) -> None:
    """A log that is broken from end to end gives a short list, in the log's order."""
    with tampered(bare, ("UPDATE entries SET actor = 'Mallory'", ())) as faults:
        assert [fault.seq for fault in faults] == list(range(1, COUNT + 1))
    many = [Head(f"INC-2020-{n:04d}", 1, "0") for n in range(50)]
    assert len(bare.verify(many)) == 50


@given(
    row=st.fixed_dictionaries(
        {
            **{name: st.text() for name in FIELDS if name not in ("seq", "n", "data", "key")},
            "seq": st.integers(1, 2**53 - 1),
            "n": st.integers(1, 2**31),
            "key": st.none() | st.text(),
        }
    ),
    data=st.dictionaries(st.text(), st.text() | st.integers(-9, 9) | st.floats(allow_nan=False)),
)
def test_the_quick_hash_is_the_slow_hash(row: dict[str, Any], data: dict[str, Any]) -> None:
    """What the store hashes is byte for byte what RFC 8785 makes of the entry."""
    import hashlib

    import rfc8785

    assume(all(abs(x) != float("inf") for x in data.values() if isinstance(x, float)))
    text = canonical(data, "x").decode()
    assert (
        hash_of({**row, "data": text})
        == hashlib.sha256(rfc8785.dumps({**row, "data": data})).hexdigest()
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(data=st.dictionaries(st.text(), JSON))
def test_plain_data_is_written_as_all_data_is(data: dict[str, Any]) -> None:
    """What is quick to write is byte for byte RFC 8785's form; what has none is refused."""
    import rfc8785

    try:
        wanted = rfc8785.dumps(data)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises(InputError):
            canonical(data, "x")
    else:
        assert canonical(data, "x") == wanted
