"""What a notebook keeps as evidence: which bytes, under which name."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from imtkit.errors import InputError
from imtkit.kit import Desk, incidents
from imtkit.model.opening import Opening
from imtkit.widgets.exhibit import exhibit_of
from imtkit.widgets.joined import JoinedIncident


def a_figure() -> Figure:
    """A small drawing that no pyplot knows."""
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 3, 2])
    return figure


def test_a_figure_is_kept_as_png() -> None:
    """PNG at a said resolution; the same figure is the same bytes; axes stand for their figure."""
    made = exhibit_of("Lag by minute", a_figure())
    assert made.content.startswith(b"\x89PNG")
    assert (made.name, made.media_type, made.said) == (
        "lag-by-minute.png",
        "image/png",
        "PNG, 150 dpi",
    )
    assert exhibit_of("Lag by minute", a_figure()).content == made.content
    assert exhibit_of("Lag by minute", a_figure().axes[0]).content == made.content


def test_a_table_is_kept_as_csv() -> None:
    """CSV in UTF-8; a counted index is left out, a named one kept."""
    counted = exhibit_of("Locks", pd.DataFrame({"who": ["Zoë"], "pid": [7]}))
    named = exhibit_of("Locks", pd.Series([1, 2], index=["a", "b"], name="count"))
    assert counted.content.decode() == "who,pid\nZoë,7\n"
    assert (counted.name, counted.said) == ("locks.csv", "CSV, 1 by 2")
    assert named.content.decode() == ",count\na,1\nb,2\n"


def test_files_bytes_texts_and_data_are_kept(tmp_path: Path) -> None:
    """A path or its name is the file; other text is text; plain data is JSON."""
    path = tmp_path / "server.log"
    path.write_bytes(b"\xff\x00log")
    assert exhibit_of("Log", path) == exhibit_of("Log", str(path))
    assert exhibit_of("Log", path).content == b"\xff\x00log"
    assert exhibit_of("Log", path).name == "server.log"
    assert exhibit_of("Words", "it\nfailed \ud800").content == b"it\nfailed \\ud800"
    assert exhibit_of("Raw", b"\x00").media_type == "application/octet-stream"
    assert json.loads(exhibit_of("Data", {"p95": [1.5, None]}).content) == {"p95": [1.5, None]}


@pytest.mark.parametrize("thing", [object(), 3, {"x": object()}, [float("nan")], Path("/nowhere")])
def test_what_cannot_be_kept_is_refused(thing: object) -> None:
    """An error says what it was, and nothing is kept."""
    with pytest.raises(InputError):
        exhibit_of("Thing", thing)


def test_evidence_is_shown_with_where_it_is(desk: Desk) -> None:
    """The display names file, resolution, size and hash; a figure nobody sees is shown."""
    joined = JoinedIncident(desk, incidents.open_(desk, Opening("Lag")).id)
    shown = joined.evidence("Lag <b>", a_figure())
    html = str(shown._repr_mimebundle_()["text/html"])
    assert '<img alt="Lag &lt;b&gt;" src="data:image/png;base64,' in html
    assert "150 dpi" in repr(shown)
    assert shown.value.sha256[:12] in repr(shown)
    assert (desk.folder(joined.id) / shown.value.path).is_file()
    assert joined.evidence("Lag <b>", a_figure()).value == shown.value
