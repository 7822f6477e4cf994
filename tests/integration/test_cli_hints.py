"""Every refusal of what people mistype says what to do next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from terminal import Imt

AHEAD = (datetime.now(UTC) + timedelta(days=400)).isoformat()


@pytest.fixture
def imt(imt: Imt) -> Imt:
    """Calls ``imt`` in the workspace as Ann Example, with one incident in its log."""
    assert imt("incident", "open", "--title", "Checkout fails").code == 0
    return imt


@pytest.mark.parametrize(
    "words",
    [
        ("incident", "open", "--title", " "),
        ("incident", "note", "ID", " "),
        ("incident", "note", "ID", "x", "--at", AHEAD),
        ("incident", "note", "ID", "x", "--at", "teatime"),
        ("incident", "decide", "ID", "Roll back", "--reason", ""),
        ("incident", "decide", "ID", " ", "--reason", "x"),
        ("incident", "set", "ID", "title="),
        ("incident", "assign", "ID", "commander", " "),
        ("incident", "assign", "ID", " ", "Bob"),
        ("incident", "ask", "ID", " ", "Call the bank"),
        ("incident", "correct", "ID", "1", "title=x", "--reason", " "),
        ("incident", "withdraw", "ID", "1", "--reason", " "),
        ("status", "post", "ID", "-s", "identified", "-m", " "),
    ],
)
def test_what_is_mistyped_is_refused_with_a_next_step(imt: Imt, words: tuple[str, ...]) -> None:
    """Nothing is stored, the code is 2, and the hint says something."""
    incident = imt("incident", "list", "--json").json[0]["id"]
    done = imt(*(incident if word == "ID" else word for word in words), "--json")
    assert done.code == 2, done.err
    assert done.error["hint"].strip()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[store", "not valid TOML"),
        ("\xff".encode("latin-1"), "not valid TOML"),
        ("[store]\nurl = 7\n", "'store.url'"),
        ("[workspace]\nname = ['a']\n", "'workspace.name'"),
        ("store = 'sqlite'\n", "'store'"),
        ("[lifecycle.require]\nclosed = 'cause'\n", "'lifecycle.require.closed'"),
        ("[services]\norders = 'payments'\n", "'services.orders'"),
        ("[status_pages.public]\ntitle = 'x'\n", "'status_pages.public.url'"),
        ("[store]\naddress = 'x'\n", "'store.address'"),
        ("[severity.levels]\n", "no severity"),
    ],
)
def test_a_broken_imt_toml_is_told_with_a_next_step(
    imt: Imt, workspace: Path, text: str | bytes, place: str
) -> None:
    """The place that is wrong is named, the code is 4, and the hint says how to mend it."""
    raw = text if isinstance(text, bytes) else text.encode()
    (workspace / "imt.toml").write_bytes(raw)
    done = imt("incident", "list", "--json")
    assert done.code == 4, done.err
    assert place in done.error["message"]
    assert done.error["hint"].strip()


@pytest.mark.parametrize("raw", [b"{bad", b"\xff\xfe\x00", b"[]", b'{"cells": 3}', b"[" * 100_000])
def test_a_broken_runbook_is_told_with_a_next_step(imt: Imt, workspace: Path, raw: bytes) -> None:
    """A file that is no notebook is named, and the hint says how to come to one."""
    (workspace / "runbooks" / "broken.ipynb").write_bytes(raw)
    done = imt("runbook", "show", "broken", "--json")
    assert done.code == 2, done.err
    assert "broken.ipynb" in done.error["message"]
    assert done.error["hint"].strip()
