"""Matchers: which alerts a rule or a silence speaks of."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imtkit.alerts.rules import (
    Matcher,
    does_match,
    matcher_from_text,
    verdicts,
)
from imtkit.errors import ConfigError

LABELS = {"service": "payments", "severity": "critical", "team": ""}
MANY = "a" * 200_000


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ('severity="critical"', True),
        ("severity=critical", True),
        (' severity = "critical" ', True),
        ('severity!="critical"', False),
        ('severity!="warning"', True),
        ('service=~"pay.*"', True),
        ("service=~pay.*|orders", True),
        ('service=~"pay"', False),
        ('service!~"pay.*"', False),
        (r'service=~"\w+"', True),
        (r'service=~"\\w+"', True),
        ('absent=""', True),
        ("absent=", True),
        ('absent!=""', False),
        ('absent=~".*"', True),
        ('absent=~".+"', False),
        ('team!=""', False),
        ('"severity"="critical"', True),
    ],
)
def test_matchers_are_read_as_alertmanager_writes_them(text: str, is_met: bool) -> None:
    """Quotes may be left out, expressions hold for the whole text, a missing label is empty."""
    assert matcher_from_text(text).does_match(LABELS) is is_met


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("severity", "is no matcher"),
        ("", "is no matcher"),
        ('="x"', "is no matcher"),
        ('severity == "critical"', "cannot be read"),
        ('severity="critical', "cannot be read"),
        ('severity=critical"', "cannot be read"),
        ("severity=a,team=b", "cannot be read"),
        ('severity="a",team="b"', "goes on after its value"),
        ('service=~"("', "unclosed group"),
        ('service=~"a)|(b"', "unopened group"),
        (r'service=~"(a)\1"', "backreferences"),
        ('service=~"(?=a)b"', "look-around"),
        ('service=~"a{1000}{1000}{1000}"', "size limit"),
        (f'service=~"{"a" * 1001}"', "longer than 1,000"),
    ],
)
def test_what_is_no_matcher_is_refused_with_a_hint(text: str, what: str) -> None:
    """The message says what is wrong, and the hint how it is written."""
    with pytest.raises(ConfigError, match=what) as refused:
        matcher_from_text(text)
    assert refused.value.hint


@pytest.mark.parametrize("expression", ["(a+)+b", "(a|a)*b", ".*a.*a.*a.*a.*a.*b", "(a?){300}b"])
def test_no_text_keeps_an_expression_busy(expression: str) -> None:
    """What keeps Python's own expressions busy for ever takes as long as the text is."""
    matcher = matcher_from_text(f'x=~"{expression}"')
    began = time.perf_counter()
    assert not matcher.does_match({"x": MANY})
    assert time.perf_counter() - began < 2


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_held_against_an_expression(text: str) -> None:
    """Half characters and control characters among them; only a newline is not any character."""
    assert matcher_from_text('x=~"(?s).*"').does_match({"x": text})
    assert matcher_from_text('x=~".*"').does_match({"x": text}) is ("\n" not in text)


@given(st.text(alphabet=st.sampled_from('ab"\\n\n=~{}, x'), max_size=8))
def test_a_matcher_reads_what_it_writes(value: str) -> None:
    """Whatever its value is, quotes, backslashes and newlines among it."""
    written = str(Matcher("x", "=", value))
    assert matcher_from_text(written) == Matcher("x", "=", value)
    assert matcher_from_text(written).does_match({"x": value})


@given(st.text(max_size=40))
def test_any_text_is_a_matcher_or_is_refused(text: str) -> None:
    """Nothing but ConfigError comes of nonsense."""
    try:
        matcher = matcher_from_text(text)
    except ConfigError:
        return
    assert matcher.reason({})
    assert matcher.reason({matcher.name: "x"})


TEXTS = st.text(alphabet=st.sampled_from("ab.1"), max_size=3)
EXPRESSIONS = st.lists(
    st.sampled_from(["a", "b", ".", "a*", "b+", "(a|b)", "[ab]", "[^a]", "a?", "|", r"\.", r"\d"]),
    max_size=4,
).map("".join)
CONDITIONS = st.one_of(
    st.tuples(st.sampled_from("xyz"), st.sampled_from(["=", "!="]), TEXTS),
    st.tuples(st.sampled_from("xyz"), st.sampled_from(["=~", "!~"]), EXPRESSIONS),
)
ALERTS = st.dictionaries(st.sampled_from("xy"), TEXTS)


def meant(condition: tuple[str, str, str], labels: dict[str, str]) -> bool:
    """Alertmanager's rule in Python's own words; the empty text stands for a missing label."""
    name, test, value = condition
    said = labels.get(name, "")
    is_same = said == value if test in ("=", "!=") else bool(re.fullmatch(value, said))
    return is_same if test in ("=", "=~") else not is_same


@given(st.lists(CONDITIONS, max_size=3), ALERTS)
@settings(max_examples=300)
def test_matchers_mean_what_alertmanager_says(
    conditions: list[tuple[str, str, str]], labels: dict[str, str]
) -> None:
    """All must hold; each verdict says of its own condition whether it does."""
    texts = [f'{name}{test}"{value}"' for name, test, value in conditions]
    matchers = [matcher_from_text(text) for text in texts]
    each = [meant(one, labels) for one in conditions]
    assert does_match(matchers, labels) is all(each)
    assert [one.is_met for one in verdicts(matchers, labels)] == each


def test_reasons_say_what_the_alert_says() -> None:
    """In words, and on one line whatever the alert holds."""
    said = [
        matcher_from_text(text).reason({"service": "pay\nments", "severity": "critical"})
        for text in ('severity="critical"', 'severity="warning"', "service=~pay.*", "team=web")
    ]
    assert said == [
        'severity is "critical"',
        'severity is "critical", not "warning"',
        'service is "pay ments", which does not fit pay.*',
        'the alert has no team, not "web"',
    ]
