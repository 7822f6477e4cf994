"""Checklists: items, and what the log says of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from imtkit.errors import InputError, NotFoundError

MIME_TYPE = "application/vnd.imtkit.checklist+json"
"""What a notebook keeps of a shown checklist: {"incident", "list"}, a place in the log."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a checklist; ticked when ``by`` is somebody."""

    id: str
    text: str
    by: str = ""
    at: datetime | None = None
    via: str = ""

    @property
    def is_ticked(self) -> bool:
        return bool(self.by)


@dataclass(frozen=True, slots=True)
class Checklist:
    """A named list of items; what is ticked is read from the log, never kept elsewhere."""

    name: str
    title: str
    items: tuple[Item, ...]
    is_required: bool = False

    @property
    def open_items(self) -> tuple[Item, ...]:
        """Items nobody has ticked, in order."""
        return tuple(item for item in self.items if not item.is_ticked)

    def item(self, wanted: str) -> Item:
        """The item with this id, or whose text this is; NotFoundError names the nearest."""
        by_id = (item for item in self.items if item.id == wanted)
        by_text = (item for item in self.items if item.text == wanted)
        found = next(by_id, None) or next(by_text, None)
        if found is not None:
            return found
        raise NotFoundError.of(
            "Item", wanted, (item.id for item in self.items), where=f" in checklist '{self.name}'"
        )

    def as_data(self) -> dict[str, Any]:
        """The definition (without ticks) as an entry's data."""
        return {
            "list": self.name,
            "title": self.title,
            "required": self.is_required,
            "items": [{"id": item.id, "text": item.text} for item in self.items],
        }


def slug(text: str, *, most: int = 48) -> str:
    """A readable id made of a text: lower case, ASCII, hyphens; 'item' when nothing is left."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:most].strip("-")
    return plain or "item"


def _id_of(text: str) -> str:
    """An id that stays with its text wherever the item moves, or a tick would move to another."""
    plain = slug(text)
    is_whole = len(text) <= 48 and any(char.isalnum() for char in text)
    if is_whole and all(char.isascii() for char in text if char.isalnum()):
        return plain
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()
    return f"{plain[:40].rstrip('-')}-{digest[:6]}"


def checklist_of(
    name: str, items: Iterable[str | tuple[str, str]], *, title: str = "", required: bool = False
) -> Checklist:
    """A checklist from texts, or (id, text) pairs; ids are made from texts and kept unique.

    InputError when the name cannot stand in a file name or the list has no items.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"Checklist name {name!r} is not usable.",
            hint="Use letters, digits, '.', '_' and '-', at most 64.",
        )
    made: list[Item] = []
    taken: set[str] = set()
    for entry in items:
        given, text = entry if isinstance(entry, tuple) else ("", entry)
        if not text.strip():
            raise InputError(f"An item of checklist '{name}' is empty.")
        base = given or _id_of(text)
        unique, count = base, 2
        while unique in taken:
            unique, count = f"{base}-{count}", count + 1
        taken.add(unique)
        made.append(Item(unique, text))
    if not made:
        raise InputError(f"Checklist '{name}' has no items.")
    return Checklist(name, title or name, tuple(made), required)


def shown(old: Checklist | None, data: Mapping[str, Any]) -> Checklist:
    """The checklist after a ``checklist.shown`` entry: its items, with the ticks they had."""
    had = {item.id: item for item in old.items} if old else {}
    items = []
    for entry in data.get("items", ()):
        if not isinstance(entry, Mapping):
            continue
        id_, text = str(entry.get("id", "")), str(entry.get("text", ""))
        before = had.get(id_, Item(id_, text))
        items.append(Item(id_, text, before.by, before.at, before.via))
    name = str(data.get("list", ""))
    return Checklist(
        name, str(data.get("title", name)), tuple(items), bool(data.get("required", False))
    )


def marked(checklist: Checklist, item_id: str, by: str, at: datetime | None, via: str) -> Checklist:
    """The checklist with one item ticked (``by`` somebody) or unticked (``by`` empty)."""
    items = tuple(
        Item(item.id, item.text, by, at if by else None, via if by else "")
        if item.id == item_id
        else item
        for item in checklist.items
    )
    return Checklist(checklist.name, checklist.title, items, checklist.is_required)
