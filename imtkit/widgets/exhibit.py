"""Things of a notebook as bytes that can be kept: figures, tables, files, text."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from imtkit.errors import InputError
from imtkit.model.checklist import slug

DPI = 150
"""Sharp on paper at the size it is drawn, and still small."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Bytes with a file name and a media type; ``said`` tells how they were made."""

    content: bytes
    name: str
    media_type: str
    said: str = ""
    is_on_screen: bool = False


def exhibit_of(title: str, thing: object) -> Exhibit:
    """The bytes of a figure (PNG), a table (CSV), a file, bytes, text, or plain data (JSON).

    A text of one line that names a file is that file. InputError names what cannot be kept.
    """
    name = slug(title)
    figure = _figure(thing)
    if figure is not None:
        return _png(name, figure)
    to_csv = getattr(thing, "to_csv", None)
    if to_csv is not None:
        return _csv(name, thing, to_csv)
    if isinstance(thing, Path) or (isinstance(thing, str) and _names_a_file(thing)):
        return _file(Path(thing))
    if isinstance(thing, bytes | bytearray):
        return Exhibit(bytes(thing), f"{name}.bin", "application/octet-stream")
    if isinstance(thing, str):
        return Exhibit(thing.encode("utf-8", "backslashreplace"), f"{name}.txt", "text/plain")
    if isinstance(thing, dict | list | tuple):
        return _json(name, thing)
    raise InputError(
        f"A {type(thing).__name__} cannot be kept as evidence.",
        hint="Give a figure, a table, a path, bytes, text, or plain data.",
    )


def _figure(thing: object) -> Any | None:  # noqa: ANN401 - matplotlib is not loaded for this
    if hasattr(thing, "savefig"):
        return thing
    if hasattr(thing, "get_figure") and hasattr(thing, "plot"):  # axes stand for their figure
        owner = thing.get_figure()
        return owner if hasattr(owner, "savefig") else None
    return None


def _png(name: str, figure: Any) -> Exhibit:  # noqa: ANN401
    drawn = BytesIO()
    # Without its own name and version in the file, the same figure is the same bytes.
    figure.savefig(drawn, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    # pyplot's figures have a manager, and the notebook shows them by itself.
    is_on_screen = getattr(getattr(figure, "canvas", None), "manager", None) is not None
    said = f"PNG, {DPI} dpi"
    return Exhibit(drawn.getvalue(), f"{name}.png", "image/png", said, is_on_screen)


def _csv(name: str, table: object, to_csv: Callable[..., str]) -> Exhibit:
    index = getattr(table, "index", None)
    is_counted = type(index).__name__ == "RangeIndex"
    shape = getattr(table, "shape", ())
    text = to_csv(index=not is_counted)
    said = "CSV, " + " by ".join(str(size) for size in shape)
    return Exhibit(text.encode("utf-8"), f"{name}.csv", "text/csv", said)


def _json(name: str, data: object) -> Exhibit:
    try:
        text = json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False)
        return Exhibit(text.encode("utf-8"), f"{name}.json", "application/json", "JSON")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"This {type(data).__name__} cannot be kept as evidence: {error}.",
            hint="Keep it as text: inc.evidence(title, str(value))",
        ) from error


def _names_a_file(text: str) -> bool:
    if not text.strip() or "\n" in text or "\0" in text or len(text) > 1000:
        return False
    try:
        return Path(text).is_file()
    except OSError:
        return False


def _file(path: Path) -> Exhibit:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"The file {path} cannot be read: {error.strerror}.") from error
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Exhibit(content, path.name, kind)
