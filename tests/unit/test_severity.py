"""Severities: thresholds, proposals, and who may lower."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imtkit.errors import AuthorityError, ConfigError, InputError, NotFoundError
from imtkit.model.opening import Opening
from imtkit.model.severity import Severities, Severity, threshold_from_text

LEVELS = Severities(
    (
        Severity(
            "sev1",
            1,
            "Critical",
            (threshold_from_text("error_rate", ">= 25%"), threshold_from_text("up", "< 50%")),
        ),
        Severity("sev2", 2, "Major", (threshold_from_text("error_rate", ">= 5%"),)),
        Severity("sev3", 3, "Minor", (threshold_from_text("p95", "> 2"),)),
    ),
    "sev3",
)


@pytest.mark.parametrize(
    ("text", "test", "limit"),
    [
        (">= 0.25", ">=", 0.25),
        ("> 5%", ">", 0.05),
        ("<0", "<", 0.0),
        ("  <= -1.5  ", "<=", -1.5),
        ("== 100%", "==", 1.0),
    ],
)
def test_thresholds_are_a_comparison_and_a_number(text: str, test: str, limit: float) -> None:
    """Percents are hundredths; blanks do not matter."""
    threshold = threshold_from_text("m", text)
    assert (threshold.measure, threshold.test, threshold.limit) == ("m", test, limit)


@pytest.mark.parametrize("text", ["", "5", "=> 5", "> five", "> 5 %%", ">= 1e3", "> 5 or so", ">"])
def test_other_texts_are_no_threshold(text: str) -> None:
    """The error names the measure and shows how to write one."""
    with pytest.raises(ConfigError, match="Threshold latency = ") as caught:
        threshold_from_text("latency", text)
    assert "'>= 0.25'" in caught.value.hint


@pytest.mark.parametrize(
    ("measures", "severity", "grounds"),
    [
        ({"error_rate": 0.3}, "sev1", ("error_rate 0.3 >= 25%",)),
        ({"error_rate": 0.25}, "sev1", ("error_rate 0.25 >= 25%",)),
        ({"error_rate": 0.1}, "sev2", ("error_rate 0.1 >= 5%",)),
        ({"error_rate": 0.3, "up": 0.4}, "sev1", ("error_rate 0.3 >= 25%", "up 0.4 < 50%")),
        ({"p95": 9.0, "error_rate": 0.06}, "sev2", ("error_rate 0.06 >= 5%",)),
    ],
)
def test_the_worst_level_reached_is_proposed_with_its_grounds(
    measures: dict[str, float], severity: str, grounds: tuple[str, ...]
) -> None:
    """Any one threshold is enough; every one that was reached is told."""
    proposal = LEVELS.propose(measures)
    assert proposal is not None
    assert (proposal.severity, proposal.grounds) == (severity, grounds)


@pytest.mark.parametrize("measures", [{}, {"error_rate": 0.01}, {"unknown": 1e9}, {"p95": 2}])
def test_nothing_reached_proposes_nothing(measures: dict[str, float]) -> None:
    """A measure no level knows is no reason."""
    assert LEVELS.propose(measures) is None


@given(st.floats())
def test_any_number_can_be_measured(value: float) -> None:
    """NaN and infinities do not break a proposal; NaN reaches nothing."""
    proposal = LEVELS.propose({"error_rate": value})
    assert (proposal is None) == (not value >= 0.05)


def test_levels_are_found_in_any_case() -> None:
    """As people type them, and however the configuration writes them."""
    assert LEVELS.get(" SEV1 ").rank == 1
    assert Severities((Severity("P1", 1),), "P1").get("p1").name == "P1"
    with pytest.raises(NotFoundError) as caught:
        LEVELS.get("sev9")
    assert caught.value.hint.startswith("Did you mean 'sev")


NAMES = st.sampled_from(["sev1", "sev2", "sev3", "gone"])


@given(old=NAMES, new=NAMES)
def test_automation_raises_and_never_lowers(old: str, new: str) -> None:
    """A level that is no longer configured ranks below all others."""
    order = ["sev1", "sev2", "sev3", "gone"]
    LEVELS.check_change(old, new, "Ann Example")
    if order.index(new) <= order.index(old):
        LEVELS.check_change(old, new, "automation/alerts")
    else:
        with pytest.raises(AuthorityError, match=f"may not lower the severity from {old}"):
            LEVELS.check_change(old, new, "automation/alerts")


@pytest.mark.parametrize("title", ["", "  ", "\n"])
def test_an_opening_needs_a_title(title: str) -> None:
    """Nobody can find an incident without one."""
    with pytest.raises(InputError, match="needs a title"):
        Opening(title)


def test_an_opening_knows_its_modes_and_categories() -> None:
    """Mistyped ones are refused with the nearest."""
    with pytest.raises(NotFoundError, match="Mode 'dril' not found") as caught:
        Opening("x", mode="dril")
    assert caught.value.hint == "Did you mean 'drill'?"
    with pytest.raises(NotFoundError, match="Category 'secrity' not found"):
        Opening("x", category="secrity")
