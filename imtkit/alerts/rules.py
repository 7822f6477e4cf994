"""Which alerts a rule or a silence speaks of: matchers, as Alertmanager writes them.

Source: Alertmanager's documentation, "Configuration", under "matcher", and ``amtool``, which the
tests hold this against. A label that an alert does not have is the empty text; regular
expressions are held against the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from imtkit.config import FILE, Settings
from imtkit.config.alerts import NEVER, RuleSettings, SilenceSettings
from imtkit.config.patterns import Pattern, pattern_from_text
from imtkit.errors import ConfigError, NotFoundError
from imtkit.model.words import moment_text, one_line

Test = Literal["=", "!=", "=~", "!~"]
Labels = Mapping[str, str]

_PARTS = re.compile(r'\s*(?:"([^"]+)"|([\w:.\-]+))\s*(=~|!=|!~|=)\s*(.*?)\s*', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r'[^\s"\',={}~!`][^"\',`\n]*|')
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_HINT = 'Write a label\'s name, one of =, !=, =~, !~, and a value: severity="critical"'


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label. ``pattern`` is the value's, where it is a regular expression."""

    name: str
    test: Test
    value: str
    pattern: Pattern | None = None

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.test}"{escaped}"'

    def does_match(self, labels: Labels) -> bool:
        """Whether an alert of these labels meets the condition."""
        said = labels.get(self.name, "")
        is_same = self.pattern.fits(said) if self.pattern else said == self.value
        return is_same is not self.test.startswith("!")

    def reason(self, labels: Labels) -> str:
        """Why an alert of these labels meets the condition or not, in words."""
        said = one_line(labels.get(self.name, ""), most=80)
        found = f'{self.name} is "{said}"' if said else f"the alert has no {self.name}"
        is_same = self.does_match(labels) is not self.test.startswith("!")
        if self.pattern:
            return f"{found}, which {'fits' if is_same else 'does not fit'} {self.pattern.text}"
        return found if is_same else f'{found}, not "{self.value}"'


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one condition, as it is written, and why."""

    condition: str
    is_met: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of imt.toml, ready to be held against alerts."""

    settings: RuleSettings
    matchers: tuple[Matcher, ...] = ()

    @property
    def name(self) -> str:
        """What the team calls it."""
        return self.settings.name

    @property
    def limits(self) -> str:
        """How many runs it may start, in words; empty where it only proposes."""
        if not self.settings.run:
            return ""
        if self.settings.is_unlimited:
            return "without a limit: each new alert starts a run (set per_hour and at_once)"
        told = (
            (self.settings.per_hour, "in an hour"),
            (self.settings.at_once, "at once in one incident"),
        )
        return "at most " + " and ".join(f"{most} {where}" for most, where in told if most)


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence of imt.toml, ready to be held against alerts."""

    settings: SilenceSettings
    matchers: tuple[Matcher, ...]

    @property
    def name(self) -> str:
        """What people call it: its reason, else when it is on."""
        return self.settings.reason or self._times

    def is_on(self, at: datetime) -> bool:
        """Whether it counts at this time; its end is no part of it."""
        window = self.settings.window
        is_its_time = self.settings.starts_at <= at < self.settings.ends_at
        return is_its_time and (window is None or window.is_on(at))

    def until(self, at: datetime) -> datetime | None:
        """When it ends that is on now, or this window of it; None when it has no end in sight."""
        end, window = self.settings.ends_at, self.settings.window
        closes = window.ends_after(at) if window else end
        return None if closes is None and end == NEVER else min(closes or end, end)

    def time_verdict(self, at: datetime) -> Verdict:
        """Whether it counts at this time, and why."""
        window = self.settings.window
        if at >= self.settings.ends_at:
            return Verdict(self._times, is_met=False, reason="it is over")
        if at < self.settings.starts_at:
            start = moment_text(self.settings.starts_at)
            return Verdict(self._times, is_met=False, reason=f"it begins {start}")
        if window is None:
            return Verdict(self._times, is_met=True, reason="it is on")
        if not window.is_on(at):
            reason = f"it is {window.shown(at)} there"
            return Verdict(self._times, is_met=False, reason=reason)
        until = self.until(at)
        end = f"until {moment_text(until)}" if until else "with no end in sight"
        return Verdict(self._times, is_met=True, reason=f"it is on {end}")

    @property
    def _times(self) -> str:
        end, window = self.settings.ends_at, self.settings.window
        bound = "" if end == NEVER else f"until {moment_text(end)}"
        return ", ".join(part for part in (window.text if window else "", bound) if part)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The rules, first to last, and the silences of a workspace."""

    rules: tuple[Rule, ...] = ()
    silences: tuple[Silence, ...] = ()


def matcher_from_text(text: str) -> Matcher:
    r"""The matcher in ``severity="critical"``, ``service=~"pay.*"``, ``team!=web`` or the like.

    In quotes ``\"``, ``\\`` and ``\n`` stand for what they name, any other backslash for itself,
    so that ``"\d+"`` is what it looks like. ConfigError says what is wrong.
    """
    parts = _PARTS.fullmatch(text)
    if parts is None:
        raise ConfigError(f"{text!r} is no matcher.", hint=_HINT)
    name, test = parts[1] or parts[2], cast(Test, parts[3])
    value = _value(parts[4], text)
    pattern = pattern_from_text(value) if test.endswith("~") else None
    return Matcher(name, test, value, pattern)


def _value(written: str, text: str) -> str:
    if quoted := _QUOTED.fullmatch(written):
        return re.sub(
            r"\\(.)",
            lambda found: _ESCAPES.get(found[1], found[0]),
            quoted[1],
            flags=re.DOTALL,
        )
    if written.startswith('"') and '"' in written[1:]:
        hint = 'Give each matcher a text of its own in the list; a quote in a value is \\".'
        raise ConfigError(f"{text!r} goes on after its value.", hint=hint)
    if _BARE.fullmatch(written) is None:
        hint = f"Put the value into quotes, once at each end. {_HINT}"
        raise ConfigError(f"The value in {text!r} cannot be read.", hint=hint)
    return written


def does_match(matchers: Sequence[Matcher], labels: Labels) -> bool:
    """Whether an alert of these labels meets every condition; no condition is met by all."""
    return all(matcher.does_match(labels) for matcher in matchers)


def verdicts(matchers: Sequence[Matcher], labels: Labels) -> tuple[Verdict, ...]:
    """What becomes of each condition for an alert of these labels, and why."""
    return tuple(
        Verdict(str(one), is_met=one.does_match(labels), reason=one.reason(labels))
        for one in matchers
    )


def rulebook_from_settings(settings: Settings) -> Rulebook:
    """The rules and silences of a workspace; ConfigError names the one that cannot be meant."""
    path = settings.root / FILE
    rules = []
    for rule in settings.alerts.rules:
        place = f"{path}: [[alerts.rules]] '{one_line(rule.name)}'"
        _check_rule(rule, place, settings)
        rules.append(Rule(rule, _matchers(rule.match, place)))
    silences = []
    for number, silence in enumerate(settings.alerts.silences, start=1):
        place = f"{path}: [[alerts.silences]] '{one_line(silence.reason) or number}'"
        _check_silence(silence, place)
        silences.append(Silence(silence, _matchers(silence.match, place)))
    return Rulebook(tuple(rules), tuple(silences))


def _matchers(texts: Sequence[str], place: str) -> tuple[Matcher, ...]:
    try:
        return tuple(map(matcher_from_text, texts))
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}", hint=error.hint) from error


def _check_rule(rule: RuleSettings, place: str, settings: Settings) -> None:
    if not rule.name.strip() or not rule.name.isprintable():
        raise ConfigError(f"{place} has no name that can be read.", hint='name = "orders-fail"')
    for runbook in rule.runbooks:
        if not runbook or not runbook.isprintable():
            raise ConfigError(
                f"{place} names the runbook {runbook!r}, which can have no such name."
            )
    for what, most in (("per_hour", rule.per_hour), ("at_once", rule.at_once)):
        if most < 0:
            raise ConfigError(f"{place}: {what} = {most} is less than 0, which sets no limit.")
    if rule.severity:
        try:
            settings.severities.get(rule.severity)
        except NotFoundError as error:
            raise ConfigError(f"{place}: {error}", hint=error.hint) from error


def _check_silence(silence: SilenceSettings, place: str) -> None:
    if not silence.match:
        hint = "For every alert there is, write: match = ['alertname=~\".*\"']"
        raise ConfigError(f"{place} does not say which alerts it holds back.", hint=hint)
    if silence.starts_at >= silence.ends_at:
        raise ConfigError(f"{place} ends before it begins.", hint="Change its times.")
