"""Reading an executed notebook, whatever state it is in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imtkit.errors import RecordError


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook of format 4 as plain tables, mended where parts are missing or misshapen.

    Read without nbformat's schema, which refuses a whole notebook for one odd key and takes a
    second to load. RecordError says why a file cannot be read.
    """
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RecordError(f"Notebook {path.name} is missing.") from error
    except OSError as error:
        raise RecordError(f"Notebook {path.name} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"Notebook {path.name} is unreadable: {error}.") from error
    if (
        not isinstance(raw, dict)
        or raw.get("nbformat") != 4
        or not isinstance(raw.get("cells"), list)
    ):
        raise RecordError(
            f"Notebook {path.name} is unreadable: it is not a notebook of format 4.",
            hint="Open it in JupyterLab and save it, or convert it with jupyter nbconvert.",
        )
    return mended(raw)


def mended(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with every part that the template counts on: ids, sources, outputs, as texts."""
    metadata = _table(raw.get("metadata"))
    metadata["language_info"] = _table(metadata.get("language_info"))
    cells: list[dict[str, Any]] = []
    taken: set[str] = set()
    for number, cell in enumerate(_list(raw.get("cells"))):
        made = _cell(_table(cell), number)
        while made["id"] in taken:
            made["id"] = f"{made['id']}-{number}"
        taken.add(made["id"])
        cells.append(made)
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _cell(cell: Mapping[str, Any], number: int) -> dict[str, Any]:
    kind = cell.get("cell_type")
    made: dict[str, Any] = {
        "cell_type": kind if kind in ("code", "markdown", "raw") else "raw",
        "id": str(cell.get("id") or f"cell-{number}"),
        "metadata": _table(cell.get("metadata")),
        "source": _joined(cell.get("source")),
    }
    if kind == "code":
        count = cell.get("execution_count")
        made["execution_count"] = count if isinstance(count, int) else None
        made["outputs"] = [_output(one) for one in _list(cell.get("outputs"))]
    if kind == "markdown":
        made["attachments"] = {
            str(name): {str(mime): _joined(data) for mime, data in _table(bundle).items()}
            for name, bundle in _table(cell.get("attachments")).items()
        }
    return made


def _output(raw: object) -> dict[str, Any]:
    output = _table(raw)
    match output.get("output_type"):
        case "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            return {"output_type": "stream", "name": name, "text": _joined(output.get("text"))}
        case "error":
            return {
                "output_type": "error",
                "ename": str(output.get("ename", "Error")),
                "evalue": str(output.get("evalue", "")),
                "traceback": [str(line) for line in _list(output.get("traceback"))],
            }
        case "display_data" | "execute_result" as kind:
            data = {
                str(mime): value if _is_json(str(mime)) else _joined(value)
                for mime, value in _table(output.get("data")).items()
            }
            return {"output_type": kind, "data": data, "metadata": {}, "execution_count": None}
    text = json.dumps(raw, sort_keys=True, default=str)
    return {"output_type": "stream", "name": "stdout", "text": f"[An unknown output] {text}"}


def _is_json(mime: str) -> bool:
    return mime == "application/json" or mime.endswith("+json")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _table(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _joined(value: object) -> str:
    """A text, which notebooks also keep as a list of lines."""
    if isinstance(value, list):
        return "".join(str(line) for line in value)
    return value if isinstance(value, str) else json.dumps(value) if value is not None else ""
