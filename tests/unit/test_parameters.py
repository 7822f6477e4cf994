"""Parameters: what a cell declares, and which values are taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imtkit.errors import ParameterError
from imtkit.runs.parameters import Parameter, checked_values, parameters_from_source

CELL = """
url: str = "http://127.0.0.1/"  # address to probe
count: int = 20  # requests
share: float = 0.5  # of traffic
is_deep: bool = False  # look deeper
where: Literal["prod", "stage"] = "prod"  # which one
hosts: list[str] = []  # machines
who: str | None = None  # a person
must: int  # no default
plain = 3
derived = count * 2
"""
DECLARED = parameters_from_source(CELL)
GIVEN_MUST = {"must": 1}


def test_declarations_are_read_without_running_them():
    """Names, types, defaults, descriptions, choices and requiredness come from the source."""
    found = {p.name: p for p in DECLARED}
    assert found["url"] == Parameter("url", "str", "http://127.0.0.1/", "address to probe")
    assert found["where"].choices == ("prod", "stage")
    assert found["must"].is_required
    assert found["plain"].type == "int"
    assert found["derived"].default is None
    assert not found["derived"].is_required


def test_a_cell_that_is_not_python_is_named():
    """A broken parameters cell is refused with its line."""
    with pytest.raises(ParameterError, match="line 1"):
        parameters_from_source("x = = 2")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "7", 7),
        ("share", "1", 1.0),
        ("share", "0.25", 0.25),
        ("is_deep", "yes", True),
        ("is_deep", "false", False),
        ("where", "stage", "stage"),
        ("hosts", '["a", "b"]', ["a", "b"]),
        ("who", "none", None),
        ("url", "7", "7"),
    ],
)
def test_texts_are_read_as_the_declared_type(name, text, value):
    """What is typed on a command line becomes the parameter's type."""
    read = checked_values(DECLARED, {name: text, **GIVEN_MUST}, runbook="r")[name]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("count", "many", "a whole number"),
        ("count", "1.5", "a whole number"),
        ("count", True, "a whole number"),
        ("share", "half", "a number"),
        ("is_deep", "perhaps", "true or false"),
        ("where", "pord", "one of prod, stage"),
        ("hosts", "a", "a list"),
        ("url", 5, "a text"),
        ("share", float("nan"), "JSON"),
        ("url", "\ud800", "JSON"),
        ("url", "x" * 1_000_001, "at most"),
    ],
)
def test_wrong_types_are_refused_in_words(name, value, words):
    """The message names the parameter, what it takes and what it got."""
    with pytest.raises(ParameterError, match=words) as caught:
        checked_values(DECLARED, {name: value, **GIVEN_MUST}, runbook="r")
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "value", ["postgresql://ann:canary@db/x", "host=db password=canary", "https://:canary@h/"]
)
def test_a_password_in_a_value_is_refused_and_not_repeated(value):
    """It would stand in the log and the notebook for ever."""
    with pytest.raises(ParameterError, match="carries a password") as caught:
        checked_values(DECLARED, {"url": value, **GIVEN_MUST}, runbook="r")
    assert "canary" not in str(caught.value) + caught.value.hint


def test_an_unknown_name_gets_the_nearest_right_one():
    """Papermill would run an unknown name as code; here it is refused."""
    with pytest.raises(ParameterError) as caught:
        checked_values(DECLARED, {"cuont": 3}, runbook="r")
    assert caught.value.hint == "Did you mean 'count'?"


def test_a_missing_value_is_asked_for():
    """A parameter without a default has to be given."""
    with pytest.raises(ParameterError, match="needs must"):
        checked_values(DECLARED, {}, runbook="r")


@given(st.text(min_size=1))
def test_no_text_is_ever_a_name(name):
    """Whatever is given as a name, only a declared one passes."""
    known = {p.name for p in DECLARED}
    if name not in known:
        with pytest.raises(ParameterError):
            checked_values(DECLARED, {name: 1, **GIVEN_MUST}, runbook="r")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_passes_as_text_unchanged(text):
    """A text parameter takes every text that JSON can hold, as it is."""
    assert checked_values(DECLARED, {"url": text, "must": 1}, runbook="r")["url"] == text
