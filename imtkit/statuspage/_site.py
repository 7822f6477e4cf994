"""The embedded page as files: HTML, feed and JSON. Pure: takes a page, gives texts."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import groupby
from typing import Any
from xml.etree import ElementTree as ET

from imtkit.config import shipped
from imtkit.statuspage import _pagestate as pages
from imtkit.statuspage._pagestate import PublicPage

_RECENT = 10
_MOST_ENTRIES = 50
_ATOM = "http://www.w3.org/2005/Atom"
_WORDS = {
    "operational": "Operational",
    "under_maintenance": "Under maintenance",
    "degraded_performance": "Degraded performance",
    "partial_outage": "Partial outage",
    "major_outage": "Major outage",
}


def files_of(page: PublicPage) -> Mapping[str, str]:
    """Every file of the page by its path within the page's folder; all text is UTF-8."""
    summary, status, incidents = (
        _json(make(page)) for make in (pages.summary, pages.status, pages.incidents)
    )
    return {
        **_html(page),
        "feed.atom": _atom(page),
        "summary.json": summary,
        # Where tools that are given only a page's address look.
        "api/v2/summary.json": summary,
        "api/v2/status.json": status,
        "api/v2/incidents.json": incidents,
    }


def _html(page: PublicPage) -> Mapping[str, str]:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = shipped("templates") / "statuspage"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(words=_WORDS.__getitem__, iso=_iso, moment=_moment, span=_span)
    style = (folder / "style.css").read_text(encoding="utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    common = {"page": page, "style": style, "style_hash": f"sha256-{digest}"}
    months = [
        (name, list(some))
        for name, some in groupby(page.newest, lambda one: f"{one.started_at:%B %Y}")
    ]
    return {
        "index.html": environment.get_template("index.html").render(
            **common, recent=page.resolved[:_RECENT]
        ),
        "history.html": environment.get_template("history.html").render(**common, months=months),
    }


def _atom(page: PublicPage) -> str:
    """The feed, one entry an update (RFC 4287); its links are relative to where it lies."""
    feed = ET.Element("feed", xmlns=_ATOM)
    _add(feed, "id", page.id.urn)
    _add(feed, "title", page.title)
    _add(feed, "updated", _rfc3339(page.updated_at))
    _add(_add(feed, "author"), "name", page.title)
    _add(feed, "link", rel="alternate", type="text/html", href="index.html")
    _add(feed, "link", rel="self", type="application/atom+xml", href="feed.atom")
    posted = [(update, one) for one in page.incidents for update in one.updates]
    posted.sort(key=lambda pair: (pair[0].posted_at, pair[0].at), reverse=True)
    for update, one in posted[:_MOST_ENTRIES]:
        entry = _add(feed, "entry")
        _add(entry, "id", pages.update_id(page, one, update).urn)
        _add(entry, "title", f"{update.status.capitalize()}: {one.title}")
        _add(entry, "updated", _rfc3339(update.posted_at))
        _add(entry, "published", _rfc3339(update.at))
        _add(entry, "link", rel="alternate", type="text/html", href=f"history.html#{one.id}")
        _add(entry, "category", term=update.status)
        _add(entry, "content", update.body, type="text")
    ET.indent(feed)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(feed, encoding="unicode") + "\n"


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text or None
    return child


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M} UTC"


def _span(length: timedelta) -> str:
    """``2 h 5 min``: a length of time as people say it, in two units at most."""
    minutes = max(0, round(length.total_seconds() / 60))
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    said = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(said[:2]) or "under a minute"
