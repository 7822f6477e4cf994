"""Archive time and size against nbconvert, of the same executed notebook, in one sitting.

    python bench/archive.py

Rounds alternate between ours and theirs, so that a machine that slows down slows both; the
medians are printed, and their ratio, which is what counts. Ends within a minute.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from facts import machine, table

from imtkit.model.entries import Entry
from imtkit.model.fold import fold
from imtkit.model.incident import Incident
from imtkit.record import Pages

CELLS = (
    "# Orders API is slow\n\nDiagnose **first**, then act.",
    "service = 'orders'\nthreshold = 0.5",
    "import numpy as np\nimport pandas as pd\nimport matplotlib.pyplot as plt",
    "## Latency\n\nWhat the *percentiles* say.",
    "sample = np.random.default_rng(1).gamma(2.0, 0.2, 500)\nsample.mean()",
    "frame = pd.DataFrame({'ms': sample * 1000}).describe()\nframe",
    "plt.plot(np.sort(sample))\nplt.title('Latency')\nplt.show()",
    "for q in (50, 90, 95, 99):\n    print(f'p{q}: {np.percentile(sample, q):.3f} s')",
    "## Verdict",
    "print('\\x1b[31mslow\\x1b[0m' if np.percentile(sample, 95) > threshold else 'fine')",
    "{'service': service, 'samples': len(sample)}",
    "def next_step(p95):\n    return 'scale out' if p95 > 1 else 'watch'\n\nnext_step(0.9)",
)
MARKDOWN = "#"
COMMANDS = 2
WARM = 15


def main() -> None:
    """Measure, check what was measured, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = executed(Path(folder) / "runbook.ipynb")
        incident = an_incident()
        pages, theirs = Pages(), stock_exporter()
        pages.page(notebook, incident)
        theirs(notebook)
        ours_warm, theirs_warm, cold, commands = [], [], [], []
        for _ in range(COMMANDS):
            commands.append(seconds(lambda: command(notebook)))
            cold.append(seconds(lambda: new_process(notebook)))
            for _ in range(WARM):
                ours_warm.append(seconds(lambda: archive(pages, notebook, incident)))
            for _ in range(WARM // 3):
                theirs_warm.append(seconds(lambda: theirs(notebook)))
        ours = pages.page(notebook, incident)
        stock = notebook.with_suffix(".html").read_text(encoding="utf-8")
        assert ours == Pages().page(notebook, incident), "not deterministic"
        assert "<script" not in ours
        assert "describe" in ours
        report((ours_warm, theirs_warm, cold, commands), ours, stock)


def executed(path: Path) -> Path:
    """A notebook of twelve cells, executed: prints, a small table, one figure."""
    import nbformat
    from nbclient import NotebookClient

    cells = [
        nbformat.v4.new_markdown_cell(source)
        if source.startswith(MARKDOWN)
        else nbformat.v4.new_code_cell(source)
        for source in CELLS
    ]
    node = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(node, kernel_name="python3", timeout=60).execute()
    nbformat.write(node, path)
    return path


def an_incident() -> Incident:
    """An incident for the page's head."""
    at = datetime(2026, 11, 21, tzinfo=UTC)
    opened = Entry(
        *(1, "INC-2026-0001", 1, "incident.opened", at, "UTC", at),
        *("Ada", "cli", "internal", {"title": "Orders API is slow"}, None, "", "0" * 64),
    )
    return fold("INC-2026-0001", [opened])


def stock_exporter() -> Callable[[Path], object]:
    """The exporter of nbconvert exporter, kept for the life of the process as ours is."""
    from nbconvert.exporters import HTMLExporter

    exporter = HTMLExporter()
    return lambda path: path.with_suffix(".stock").write_text(exporter.from_filename(str(path))[0])


def archive(pages: Pages, notebook: Path, incident: Incident) -> None:
    """From the notebook's file to the page's file."""
    html = pages.page(notebook, incident)
    notebook.with_suffix(".ours").write_text(html, encoding="utf-8")


def command(notebook: Path) -> None:
    """The command that people would type."""
    subprocess.run(
        [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", str(notebook)],
        check=True,
        capture_output=True,
        timeout=40,
    )


def new_process(notebook: Path) -> None:
    """Ours, in a process of its own, imports and all."""
    program = (
        "import sys; sys.path[:0] = sys.argv[2:]; from pathlib import Path; import archive;"
        "archive.archive(archive.Pages(), Path(sys.argv[1]), archive.an_incident())"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(notebook), str(Path(__file__).parent)],
        check=True,
        timeout=40,
    )


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def style_bytes(html: str) -> int:
    """How much of a page is style, which every page repeats."""
    return sum(len(one.encode()) for one in re.findall(r"<style.*?</style>", html, re.DOTALL))


def report(times: Sequence[Sequence[float]], ours: str, stock: str) -> None:
    """Print the table; the times are ours and theirs living, ours and theirs from cold."""
    warm, warm_stock, cold, whole = (statistics.median(one) for one in times)
    size, size_stock = len(ours.encode()), len(stock.encode())
    style, style_stock = style_bytes(ours), style_bytes(stock)
    print(machine())
    rows = [
        ("a page in a living process", f"{warm * 1000:.1f} ms", ""),
        ("nbconvert's exporter, living", f"{warm_stock * 1000:.1f} ms", warm_stock / warm),
        ("a page in a new process", f"{cold * 1000:.0f} ms", cold / warm),
        ("jupyter nbconvert --to html", f"{whole * 1000:.0f} ms", whole / warm),
        ("page, ours", f"{size:,} B", ""),
        ("page, nbconvert's", f"{size_stock:,} B", size_stock / size),
        ("of it style, ours", f"{style:,} B", ""),
        ("of it style, nbconvert's", f"{style_stock:,} B", style_stock / style),
    ]
    told = [
        (name, value, f"{ratio:.1f} times ours" if isinstance(ratio, float) else "")
        for name, value, ratio in rows
    ]
    table(f"Medians of {len(times[0])}, {len(times[1])} and {COMMANDS}", ("", "", ""), told)


if __name__ == "__main__":
    main()
