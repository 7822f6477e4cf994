"""What runbooks import, as it is found in their files; and what tells a file from what it was."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from notebook_files import code, markdown, write_notebook

from imtkit.runs.imports import Loaded, RunbookImports, imports_of, interpreter_files, stamp


def cells(*sources: str) -> list[dict[str, object]]:
    """Code cells."""
    return [code(f"c{n}", source) for n, source in enumerate(sources)]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import a", {"a"}),
        ("import a.b as c, d", {"a.b", "d"}),
        ("from a.b import c, d as e", {"a.b:c", "a.b:d"}),
        ("from a import *", {"a:*"}),
        ("from . import a\nfrom .b import c", set()),
        ("def f():\n    import a", set()),
        ("%matplotlib inline\n!ls\nimport a", {"a"}),
        ("%%bash\nimport a", set()),
        ("import a\nthis is no python at all", set()),
        ("x = 1\x00\nimport a", set()),
        ("# import a", set()),
        ("", set()),
    ],
)
def test_imports_at_the_top_of_cells_are_found(
    tmp_path: Path, source: str, found: set[str]
) -> None:
    """Magics are passed over, and a cell that does not parse is no fault."""
    path = write_notebook(tmp_path / "one.ipynb", cells("import always", source))
    assert imports_of(path) == {"always", *found}


def test_what_is_no_python_notebook_imports_nothing(tmp_path: Path) -> None:
    """Prose, another language, a broken file and one that is gone."""
    prose = write_notebook(tmp_path / "prose.ipynb", [markdown("m", "import a")])
    assert imports_of(prose) == frozenset()
    other = write_notebook(tmp_path / "r.ipynb", cells("import a"))
    document = json.loads(other.read_text())
    document["metadata"]["kernelspec"]["language"] = "R"
    other.write_text(json.dumps(document))
    assert imports_of(other) == frozenset()
    document["metadata"] = []
    document["cells"][0]["source"] = [1, 2]
    other.write_text(json.dumps(document))
    assert imports_of(other) == frozenset()
    other.write_text("{")
    assert imports_of(other) == frozenset()
    assert imports_of(tmp_path / "gone.ipynb") == frozenset()


def test_runbooks_are_read_again_only_when_they_change(tmp_path: Path) -> None:
    """A new one, a changed one and one that went are seen; nothing else is opened."""
    imports = RunbookImports([tmp_path / "a", tmp_path / "b"])
    assert imports.now() == ()
    first = write_notebook(tmp_path / "a" / "one.ipynb", cells("import x"))
    write_notebook(tmp_path / "b" / "two.ipynb", cells("import y, x"))
    write_notebook(tmp_path / "b" / "one.ipynb", cells("import hidden"))
    assert imports.now() == ("x", "y")
    told = first.stat()
    text = first.read_text().replace("import x", "import z")
    first.write_text(text)
    os.utime(first, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert imports.now() == ("x", "y")  # the same size and time: not opened
    os.utime(first, ns=(told.st_atime_ns, told.st_mtime_ns + 1))
    assert imports.now() == ("x", "y", "z")
    first.unlink()
    assert imports.now() == ("hidden", "x", "y")


def test_a_file_that_was_touched_or_went_has_changed(tmp_path: Path) -> None:
    """The first that did is named; folders count too, and what was never there may stay away."""
    file, folder, gone = tmp_path / "m.py", tmp_path / "site-packages", tmp_path / "gone"
    file.write_text("x")
    folder.mkdir()
    paths = [str(path) for path in (file, folder, gone)]
    loaded = Loaded((), {}, {path: stamp(path) for path in paths})
    assert loaded.changed() == ""
    (folder / "new.dist-info").mkdir()
    os.utime(folder, ns=(1, 1))
    assert loaded.changed() == str(folder)
    file.unlink()
    assert loaded.changed() == str(file)


def test_the_interpreter_is_watched() -> None:
    """The program, what it leads to, and the file that makes it a virtual environment."""
    assert any(stamp(path) != (-1, -1) for path in interpreter_files())
