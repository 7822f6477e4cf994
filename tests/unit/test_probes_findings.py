"""How findings are ordered and shown."""

from __future__ import annotations

import time

import pytest

from imtkit.probes.findings import Finding, Findings, findings_of
from imtkit.probes.patience import within
from imtkit.probes.tables import bytes_text, seconds_text, share_text

OK = Finding("ok", "well")
WARNING = Finding("warning", "so so", "3 of 4", "look")
CRITICAL = Finding("critical", "<b>bad</b>", 'a "quote" & more', "run <script>")


def test_worst_comes_first() -> None:
    """Findings stand worst first, whatever the order in which they were found."""
    found = findings_of([OK], [WARNING, CRITICAL])
    assert [one.level for one in found] == ["critical", "warning", "ok"]
    assert found.worst == "critical"
    assert [one.level for one in found.problems] == ["critical", "warning"]


def test_nothing_found_is_not_called_well() -> None:
    """An empty list says that nothing was looked at."""
    assert Findings().text == "Nothing was looked at."
    assert Findings().worst == "ok"


def test_html_holds_text_only() -> None:
    """What was measured is escaped; the level stands as a word; no style and no script."""
    html = Findings([CRITICAL])._repr_html_()
    assert "&lt;b&gt;bad&lt;/b&gt;" in html
    assert "<script" not in html
    assert "style=" not in html
    assert 'class="imt-finding imt-critical"' in html
    assert "CRITICAL" in html


def test_what_nobody_could_see_is_made_visible() -> None:
    """Control characters and reversed reading in what was measured are shown as such."""
    found = Findings([Finding("warning", "a\x1b[2Jb", "\u202ecod.exe")])
    for shown in (found.text, found._repr_html_()):
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_text_says_all_of_it() -> None:
    """Plain text has level, grounds and next step, and is what print shows."""
    assert str(Findings([WARNING])) == "WARNING: so so\n  Grounds: 3 of 4\n  Next: look"


def test_findings_are_a_table_too() -> None:
    """The frame has a row for each finding."""
    assert list(Findings([OK, CRITICAL]).frame()["level"]) == ["critical", "ok"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.012, "12 ms"), (1.44, "1.4 s"), (300, "5 min 0 s"), (11520, "3 h 12 min")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    """A duration is shown in the unit that reads best."""
    assert seconds_text(seconds) == text


def test_sizes_and_shares_read_well() -> None:
    """Sizes are in binary units; shares do not round 99.9% to all."""
    assert [bytes_text(n) for n in (512, 3.4 * 2**20, 5 * 2**40)] == ["512 B", "3.4 MiB", "5.0 TiB"]
    assert [share_text(n) for n in (0.5, 0.999, 1.0, 0.012)] == ["50%", "99.9%", "100%", "1.2%"]


def test_waiting_ends() -> None:
    """A call that hangs is left after its time; one that ends gives its result or its error."""
    assert within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0)
    began = time.perf_counter()
    with pytest.raises(TimeoutError):
        within(0.05, lambda: time.sleep(0.5))
    assert time.perf_counter() - began < 0.4
