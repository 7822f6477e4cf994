"""Big outputs: first and last lines, the whole in a file, and an end to everything."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from imtkit.runs.volume import Budget, Excerpt, Transcript, Volume, overwritten, shortened

LINES = [f"line {n}\n" for n in range(100)]


def test_first_and_last_lines_stay():
    """What lies between is counted."""
    excerpt = Excerpt(10)
    for line in LINES:
        excerpt.add(line)
    left_out = sum(map(len, LINES[5:-5]))
    middle = f"[imtkit: 90 lines ({left_out} characters) left out; see f]\n"
    assert excerpt.text("see f") == "".join(LINES[:5]) + middle + "".join(LINES[-5:])


@given(st.lists(st.text(alphabet="ab\n", max_size=30), max_size=20), st.integers(1, 12))
def test_pieces_make_no_difference(pieces: list[str], lines: int):
    """However a text arrives, the excerpt is that of the whole; few enough lines are all shown."""
    whole = "".join(pieces)
    cut, at_once = Excerpt(lines), Excerpt(lines)
    for piece in pieces:
        cut.add(piece)
    at_once.add(whole)
    assert cut.text("x") == at_once.text("x")
    if whole.count("\n") < max(1, lines // 2):
        assert cut.is_whole
    if cut.is_whole:
        assert cut.text("x") == whole


def test_one_endless_line_is_cut_too():
    """Lines are not the only measure."""
    excerpt = Excerpt(10)
    for _ in range(1000):
        excerpt.add("x" * 1000)
    assert len(excerpt.text("")) < 250_000
    assert "800,000 characters" in excerpt.text("")
    assert len(shortened("y" * 1_000_000)) < 250_000
    assert shortened("short") == "short"


def test_the_whole_goes_to_a_file_in_the_order_it_came(tmp_path: Path):
    """Made only when something is left out; both streams; named with its SHA-256."""
    path = tmp_path / "run.cell.txt"
    volume = Volume(4, Transcript(path, Budget()))
    assert volume.said("stdout", "one\n") == "one\n"
    volume.said("stderr", "warning\n")
    assert not path.exists()
    for line in LINES:
        volume.said("stdout", line)
    cut, words = volume.ended()
    content = path.read_bytes()
    assert content.decode() == "one\nwarning\n" + "".join(LINES)
    sha256 = hashlib.sha256(content).hexdigest()
    assert list(cut) == ["stdout"]
    assert f"the whole is in run.cell.txt, SHA-256 {sha256}" in cut["stdout"]
    assert words == ""
    told = {"file": "run.cell.txt", "sha256": sha256, "size": len(content), "dropped": 0}
    assert volume.transcript.told() == told


def test_a_flood_is_skimmed_once_the_file_is_full(tmp_path: Path):
    """What is not looked at is counted, and the last lines are still the last."""
    volume = Volume(4, Transcript(tmp_path / "a.txt", Budget(1_000)))
    flood = "".join(f"line {n}\n" for n in range(30_000))
    anywhere = lambda _text, at: at  # noqa: E731 # shorter than its definition
    assert volume.skimmed("stdout", flood, anywhere) == flood
    volume.said("stdout", flood)
    rest = volume.skimmed("stdout", flood, anywhere)
    assert rest == flood[-100_000:]
    shown = volume.said("stdout", rest)
    assert shown.startswith("line 0\nline 1\n[imtkit: 59,996 lines ")
    assert shown.endswith("]\nline 29998\nline 29999\n")
    volume.ended()
    assert volume.transcript.told()["dropped"] == 2 * len(flood) - volume.transcript.told()["size"]


def test_a_file_of_an_earlier_attempt_is_left_alone(tmp_path: Path):
    """The log names it by its SHA-256."""
    path = tmp_path / "run.cell.txt"
    path.write_text("earlier")
    transcript = Transcript(path, Budget())
    transcript.write("later")
    transcript.close()
    assert path.read_text() == "earlier"
    assert transcript.told()["file"] == "run.cell-2.txt"


def test_cell_and_run_have_a_limit_on_the_disk(tmp_path: Path):
    """What is dropped is counted; no character is cut in two; the next cell has the rest."""
    budget = Budget(10)
    first = Transcript(tmp_path / "a.txt", budget, most=6)
    for text in ("abc", "dé€", "more"):
        first.write(text)
    first.close()
    assert (tmp_path / "a.txt").read_text() == "abcdé"
    assert (first.told()["size"], first.told()["dropped"]) == (6, 7)
    assert "its first 6 bytes are in a.txt" in first.where()
    second = Transcript(tmp_path / "b.txt", budget)
    second.write("12345")
    second.close()
    assert (tmp_path / "b.txt").read_text() == "1234"


def test_a_full_disk_or_no_file_stops_nothing(tmp_path: Path):
    """It is said, and what was left out is counted."""
    full = Transcript(tmp_path / "full.txt", Budget())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, before[1]))
    try:
        full.write("text")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    full.write("more")
    full.close()
    assert (tmp_path / "full.txt").read_text() == "tex"
    assert "5 bytes are not kept (File too large)" in full.where()
    nowhere = Transcript(None, Budget())
    missing = Transcript(tmp_path / "no" / "x.txt", Budget())
    for transcript in (nowhere, missing):
        transcript.write("text")
        transcript.close()
        assert transcript.told()["dropped"] == 4
    assert "not kept (no output file was named)" in nowhere.where()
    assert "No such file" in missing.where()


def test_a_carriage_return_writes_over_its_line():
    """As nbclient does it, in time that grows with the text and not with its square."""
    for before, after in [
        ("a\rb\rc\nd", "c\nd"),
        ("10%\r20%\r", "20%\r"),
        ("dos\r\nlines\r\n", "dos\r\nlines\r\n"),
        ("plain", "plain"),
        ("", ""),
    ]:
        assert overwritten(before) == after
    assert overwritten("x" * 5_000_000 + "\ry") == "y"


def test_displays_have_an_end_and_clearing_begins_anew():
    """A thousand displays, or 50 MB of them, and no more."""
    volume = Volume(4, Transcript(None, Budget()))
    fitting = [volume.has_room({"data": {"text/plain": "x"}}) for _ in range(1001)]
    assert fitting == [True] * 1000 + [False]
    assert "1 further outputs" in volume.ended()[1]
    volume.cleared()
    assert volume.has_room({"data": {"text/plain": "x"}})
    assert not volume.has_room({"data": {"image/png": "x" * 50_000_001}})


def test_a_stream_may_be_divided_while_all_of_it_is_shown(tmp_path: Path):
    """What was displayed in between stays there; from the first line left out on, it is one."""
    volume = Volume(8, Transcript(tmp_path / "a.txt", Budget()))
    assert not volume.divides("stdout")
    assert volume.said("stdout", "1\n2\n") == "1\n2\n"
    assert volume.divides("stdout")
    assert volume.said("stdout", "3\n4\n") == "3\n4\n"
    assert not volume.divides("stdout")
    volume.said("stdout", "5\n6\n7\n8\n9\n")
    cut, _ = volume.ended()
    assert cut["stdout"].startswith("3\n4\n[imtkit: 1 lines (2 characters) left out; ")
    assert cut["stdout"].endswith("]\n6\n7\n8\n9\n")
    assert (tmp_path / "a.txt").read_text() == "".join(f"{n}\n" for n in range(1, 10))
