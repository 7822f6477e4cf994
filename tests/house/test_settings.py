"""The imt.toml that ships shows every setting there is, with what counts without it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from fnmatch import fnmatchcase
from typing import Any

from imtkit.config import FILE, _tables, shipped
from imtkit.config.alerts import ServeSettings

TEMPLATE = (shipped("templates") / FILE).read_text(encoding="utf-8")


def known(schema: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    """Every setting that a table may hold: its table, as it is written, and its name."""
    match schema["type"]:
        case "typed-dict":
            for name, one in schema["fields"].items():
                below = list(known(one["schema"], f"{place}.{name}".strip(".")))
                yield from below or [(place, name)]
        case "dict" if schema.get("values_schema"):
            yield from known(schema["values_schema"], f"{place}.*")
        case "list":
            yield from known(schema["items_schema"], place)


def shown() -> set[tuple[str, str]]:
    """What stands in the template, be it in a comment: tables and the names in them."""
    found, table = set(), ""
    for line in TEMPLATE.splitlines():
        plain = line.lstrip("# ")
        if head := re.fullmatch(r"\[+([\w.]+)\]+", plain):
            table = head[1]
            above, _, name = table.rpartition(".")
            found.add((above, name))
        elif setting := re.match(r"(\w+) = ", plain):
            found.add((table, setting[1]))
    return found


def test_every_setting_is_shown() -> None:
    """Whoever reads imt.toml finds all that it may hold, table by table."""
    told = shown()
    missing = [
        f"[{table}] {name}"
        for key, schema in _tables().items()
        for table, name in known(schema, key)
        if not any(fnmatchcase(one, table) and word == name for one, word in told)
    ]
    assert missing == []


def test_the_defaults_of_serve_are_those_that_count() -> None:
    """The commented table says what holds without it."""
    commented = TEMPLATE[TEMPLATE.index("# [serve]") :].split("\n\n")[0]
    table = tomllib.loads(re.sub(r"(?m)^# ", "", commented))["serve"]
    usual = ServeSettings()
    assert table.keys() == {one.name for one in fields(usual)}
    assert {name: tuple(v) if isinstance(v, list) else v for name, v in table.items()} == {
        name: getattr(usual, name) for name in table
    }
