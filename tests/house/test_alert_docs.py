"""docs/alert-sources.md can be followed: its tables are read, its payloads are understood."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from imtkit.alerts.payloads import delivery_from
from imtkit.alerts.rules import rulebook_from_settings
from imtkit.config import load_settings
from imtkit.config.alerts import KINDS, SourceSettings

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "alert-sources.md"


def blocks(language: str, page: Path = PAGE) -> list[str]:
    """The fenced blocks of a page that are in a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def sources(folder: Path) -> list[SourceSettings]:
    """The sources of every toml block, each read as an imt.toml of its own."""
    found: list[SourceSettings] = []
    for block in blocks("toml"):
        (folder / "imt.toml").write_text(block, encoding="utf-8")
        found += load_settings(folder).alerts.sources.values()
    return found


def test_every_table_is_read_and_every_kind_has_one(tmp_path: Path) -> None:
    """What stands in the page can be put into imt.toml, and no sender is left out."""
    found = sources(tmp_path)
    assert {source.kind for source in found} == set(KINDS)
    assert all(tomllib.loads(block).keys() == {"alerts"} for block in blocks("toml"))


def test_every_rule_and_silence_of_the_docs_is_read(tmp_path: Path) -> None:
    """What docs/alert-rules.md shows can be put into imt.toml as it stands."""
    found = []
    for block in blocks("toml", DOCS / "alert-rules.md"):
        if "[[test]]" in block:
            continue
        (tmp_path / "imt.toml").write_text(block, encoding="utf-8")
        book = rulebook_from_settings(load_settings(tmp_path))
        found += [one.name for one in (*book.rules, *book.silences)]
    assert found == ["orders-fail", "the disks are moved", "sunday backups"]


def test_the_template_for_datadog_is_understood() -> None:
    """With its variables filled in, Datadog's payload is an alert with its service and times."""
    (template,) = (one for one in blocks("json") if "$ALERT_TRANSITION" in one)
    filled = {
        "$ALERT_TRANSITION": "Triggered",
        "$EVENT_TITLE": "[Triggered] Errors on checkout",
        "$ALERT_ID": "17",
        "$ALERT_CYCLE_KEY": "5",
        "$TAGS": "service:checkout,env:live",
        "$DATE": "1795000000000",
    }
    for variable, value in filled.items():
        template = template.replace(f'"{variable}"', json.dumps(value))
    assert not set(filled) & set(json.loads(template).values())
    (notice,) = delivery_from(SourceSettings("datadog", "datadog"), template.encode()).notices
    assert (notice.status, notice.service, notice.name) == (
        "firing",
        "checkout",
        "Errors on checkout",
    )


def test_the_parameters_for_zabbix_are_understood() -> None:
    """A problem posted under the names of the table is an alert of its host."""
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|$", PAGE.read_text(encoding="utf-8"), re.M)
    told = dict(rows) | {"status": "PROBLEM", "host": "db1", "name": "Disk full", "tags": "[]"}
    told |= {"started_at": "1795000000", "event_id": "7", "trigger_id": "3", "ended_at": ""}
    told |= {"update": "0", "severity": "High"}
    del told["url"]
    body = json.dumps(told).encode()
    (notice,) = delivery_from(SourceSettings("zabbix", "zabbix"), body).notices
    assert (notice.status, notice.service, notice.name) == ("firing", "db1", "Disk full")
    assert len(rows) == 13


def test_the_mapped_example_reads_its_own_body(tmp_path: Path) -> None:
    """The paths of the example lead to what the text beside it says."""
    (source,) = (one for one in sources(tmp_path) if one.name == "shop")
    (body,) = (one for one in blocks("json") if '"events"' in one)
    (notice,) = delivery_from(source, body.encode()).notices
    assert (notice.name, notice.service, notice.title) == (
        "CheckoutFails",
        "shop",
        "Checkout fails",
    )
    assert notice.labels["region"] == "eu"
    assert notice.status == "firing"
    over = body.replace('"failing"', '"cleared"')
    assert delivery_from(source, over.encode()).notices[0].status == "resolved"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_heading(kind: str) -> None:
    """Whoever looks for a sender finds it by its name."""
    names = {"sns": "Amazon SNS", "mapped": "Anybody else"}
    headings = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert any(names.get(kind, kind).lower() in heading.lower() for heading in headings)
