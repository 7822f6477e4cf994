"""What a file of a workspace is called, whether its folder is a link or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from imtkit.config.place import place_below, place_in


@pytest.fixture(params=["a folder", "a link"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A workspace whose outputs are in it, or on a volume elsewhere."""
    root = tmp_path / "workspace"
    root.mkdir()
    if request.param == "a link":
        (tmp_path / "volume").mkdir()
        (root / "outputs").symlink_to(tmp_path / "volume", target_is_directory=True)
    (root / "outputs" / "INC-1").mkdir(parents=True)
    (root / "outputs" / "INC-1" / "a.ipynb").touch()
    return root


def test_a_file_has_one_name_by_whichever_way_one_came(root: Path) -> None:
    """As it is written, with links followed, and with steps back."""
    path = root / "outputs" / "INC-1" / "a.ipynb"
    for way in (path, path.resolve(), root / "outputs" / "INC-1" / ".." / "INC-1" / "a.ipynb"):
        assert place_in(root, way) == "outputs/INC-1/a.ipynb"
    assert place_below(root, path) == "outputs/INC-1/a.ipynb"
    assert place_in(root, root / "runbooks" / "b.ipynb") == "runbooks/b.ipynb"


def test_what_lies_elsewhere_is_not_the_workspaces(root: Path, tmp_path: Path) -> None:
    """Neither by steps back nor by a link in its outputs."""
    (root / "outputs" / "INC-1" / "out").symlink_to(tmp_path)
    for way in (tmp_path / "x", root / ".." / "x", root / "outputs" / "INC-1" / "out" / "x"):
        with pytest.raises(ValueError, match="subpath"):
            place_in(root, way)
    with pytest.raises(ValueError, match="subpath"):
        place_below(root, tmp_path / "x")


def test_a_folder_that_is_shown_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    """What it shows is called the same from it and from where it leads."""
    (tmp_path / "shown").symlink_to(root)
    path = root / "outputs" / "INC-1" / "a.ipynb"
    assert place_below(tmp_path / "shown", path) == "outputs/INC-1/a.ipynb"
    assert place_below(root, tmp_path / "shown" / "runbooks" / "b.ipynb") == "runbooks/b.ipynb"
