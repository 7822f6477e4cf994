"""``imt alerts``: take in alerts, explain what rules make of them, see what senders posted."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from imtkit.cli.face import Face, Noun, everywhere, pass_face, writes
from imtkit.errors import ImtkitError, InputError, PayloadError
from imtkit.model.words import counted, moment_text, one_line, size_text, value_text

if TYPE_CHECKING:
    from rich.table import Table

    from imtkit.config import Settings
    from imtkit.config.alerts import SourceSettings
    from imtkit.kit import Desk
    from imtkit.kit.alert_rules import Appointed, Explanation, Foreseen, Judged
    from imtkit.kit.alert_tests import Result
    from imtkit.kit.alerts import Outcome
    from imtkit.kit.deliveries import Kept, Retried

MOST_BYTES = 10_000_000
Of = TypeVar("Of")

_WORDS = {
    "opened": "opened {incident}",
    "joined": "joined {incident}",
    "known": "known already, in {incident}",
    "silenced": "held back by the silence '{silenced}'",
    "resolved": "over; {incident} says so",
    "unknown": "over, and was never heard of",
}
_WOULD = {
    "opened": "would open an incident",
    "joined": "would join {incident}",
    "silenced": "would be held back by the silence '{silenced}'",
    "resolved": "over; {incident} would say so",
}
_STARTING = ("opened", "joined")
source_option = click.option(
    "--source", default="", help="Who wrote the payload; else imt.toml's one sender."
)


@click.group(cls=Noun)
def alerts() -> None:
    """Take in alerts."""


@alerts.command(
    examples=(
        "imt alerts replay payload.json",
        "imt alerts replay payloads/ --dry-run",
        "curl … | imt alerts replay -",
    )
)
@click.argument("place", type=click.Path(exists=True, allow_dash=True), metavar="FILE|DIR")
@source_option
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would become of them; no more.")
@everywhere
@pass_face
def replay(face: Face, place: str, source: str, is_dry: bool) -> None:
    """Take in webhooks' payloads from a file, or a folder's files by name, as if they had just
    been posted; '-' is stdin.
    """
    from imtkit.kit import alerts as kit

    with face.desk() as desk:
        if is_dry:
            told = list(_each(place, _explainer(desk, source)))
            homes = _homes(told)
            lines = [_foretold(one, homes) for one in told]
            face.give(told, "\n".join(lines) or _NOTHING)
            return
        sender = _sender(desk, source)
        found = list(_each(place, lambda body: kit.receive(desk, body, source=sender)))
        hints = [_next(desk, one) for one in found if one.action == "opened" and one.runbooks]
    face.give(found, "\n".join(map(_line, found)) or _NOTHING)
    for hint in dict.fromkeys(hints):
        face.say(hint)


@alerts.command(examples=("imt alerts explain payload.json --source grafana",))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@source_option
@everywhere
@pass_face
def explain(face: Face, file: str, source: str) -> None:
    """Say which rules match a payload's alerts, which do not and why, and what would run.

    Nothing is written.
    """
    with face.desk() as desk:
        found = list(_each(file, _explainer(desk, source)))
    homes = _homes(found)
    face.give(found, "\n\n".join("\n".join(_page(one, homes)) for one in found) or _NOTHING)


@alerts.command(examples=("imt alerts test", "imt alerts test tests/alerts/orders.toml"))
@click.argument(
    "files",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="[FILE]...",
)
@everywhere
@pass_face
def test(face: Face, files: tuple[Path, ...]) -> None:
    """Test the rules: what they make of the alerts in tests/alerts/*.toml, or in these files."""
    from imtkit.kit import alert_tests as kit

    settings = face.settings()
    results = kit.run(settings, kit.read_tests(settings, files))
    _warn_of_storms(face, settings)
    failed = [one for one in results if one.differences]
    lines = [line for one in results for line in _result_lines(one)]
    if results or face.is_json:
        face.give(results, "\n".join(lines))
    else:
        face.say(f"No rule tests. {_EXAMPLE}")
    if failed:
        count = f"{len(failed)} of {counted(len(results), 'rule test')} failed."
        raise ImtkitError(count, hint="See why with: imt alerts explain FILE")


@alerts.command("list", examples=("imt alerts list", "imt alerts list --refused"))
@click.option("--refused", "is_refused", is_flag=True, help="Only what was refused, and is still.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@everywhere
@pass_face
def list_(face: Face, is_refused: bool, limit: int) -> None:
    """List what senders posted and what became of it, and what silences held back; newest first."""
    from imtkit.cli.pages import UNWRAPPED
    from imtkit.kit import deliveries

    with face.desk() as desk:
        show = deliveries.refused if is_refused else deliveries.list_
        found = show(desk, limit=limit)
    if face.is_json:
        face.give_json(found)
    elif found:
        face.draw(_deliveries(found), piped_width=UNWRAPPED)
    else:
        face.say("Nothing was refused." if is_refused else "Nothing was posted yet.")
    if any(one.fate == "refused" for one in found) and not face.is_json:
        face.say("When the reason is mended: imt alerts retry N, or imt alerts retry --all")


@alerts.command(examples=("imt alerts retry 12", "imt alerts retry --all"))
@click.argument("places", nargs=-1, type=click.IntRange(min=1), metavar="[N]...")
@click.option("--all", "is_all", is_flag=True, help="All that were refused, and are still.")
@writes
@pass_face
def retry(face: Face, places: tuple[int, ...], is_all: bool) -> None:
    """Handle refused deliveries again, by their numbers in 'imt alerts list'; twice is once."""
    from imtkit.kit import deliveries

    if bool(places) is is_all:
        raise InputError("Say which: the numbers of deliveries, or --all.")
    with face.desk() as desk:
        chosen = reversed(deliveries.refused(desk)) if is_all else ()
        done = deliveries.retry(desk, places or [one.place for one in chosen])
    if done or face.is_json:
        face.give(done, "\n".join(line for one in done for line in _retried_lines(one)))
    else:
        face.say("Nothing was refused.")
    if failed := [one for one in done if one.reason]:
        count = f"{len(failed)} of {counted(len(done), 'delivery', 'deliveries')}"
        are = "is" if len(failed) == 1 else "are"
        raise ImtkitError(f"{count} {are} refused still.", hint="Mend the reason, and retry.")


def _warn_of_storms(face: Face, settings: Settings) -> None:
    for rule in settings.alerts.rules:
        if rule.is_unlimited and not face.is_json:
            face.say(f"The rule '{one_line(rule.name)}' runs without a limit. {_LIMITS}")


_NOTHING = "The payload holds no alert."
_LIMITS = "Set per_hour and at_once: a storm of alerts starts a run for each."
_EXAMPLE = """Write the first in tests/alerts/orders.toml:

[[test]]
name = "an order alert starts the diagnosis"
labels = { alertname = "OrdersFailing", service = "orders", severity = "critical" }
expect = { rule = "orders-fail", runbooks = ["http-service"] }"""


def _explainer(desk: Desk, source: str) -> Callable[[bytes], list[Explanation]]:
    from imtkit.kit import alert_rules
    from imtkit.kit.rehearsal import rehearsed

    sender, tried = _sender(desk, source), rehearsed(desk)
    return lambda body: alert_rules.explain(tried, body, source=sender)


def _sender(desk: Desk, source: str) -> SourceSettings:
    from imtkit.kit import alert_rules
    from imtkit.kit.alerts import source_named

    if not source:
        return alert_rules.default_source(desk.settings)
    return source_named(desk.settings, source)


def _homes(told: Sequence[Explanation]) -> dict[str, str]:
    """What incidents are called that are not there yet, by the ids that they have meanwhile."""
    opening = (one.outcome for one in reversed(told) if one.outcome.action == "opened")
    return {one.incident: f"the incident that {one.alert} opens" for one in opening}


def _each(place: str, do: Callable[[bytes], list[Of]]) -> Iterator[Of]:
    """What comes of each file; a file of a folder that is no payload is named."""
    folder = Path(place)
    if place == "-" or not folder.is_dir():
        yield from do(_read(place))
        return
    shown = (path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    for path in sorted(shown):
        try:
            yield from do(_read(str(path)))
        except PayloadError as error:
            raise PayloadError(f"{path}: {error}", hint=error.hint) from error


def _next(desk: Desk, outcome: Outcome) -> str:
    """The command to type next, with what the alert says of the runbook's parameters.

    An address made of a label ``instance`` is only proposed: a person reads it before it runs.
    """
    from imtkit.kit import alerts as kit
    from imtkit.kit import incidents, runbooks

    if outcome.requested:
        return f"Next: imt runs list --incident {outcome.incident}"
    alert = next(
        one
        for one in incidents.get(desk, outcome.incident).alerts
        if one.fingerprint == outcome.fingerprint
    )
    known = {book.name: book for book in runbooks.list_(desk.settings)}
    book = next((known[name] for name in outcome.runbooks if name in known), None)
    if book is None:
        return f"Next: imt incident show {outcome.incident}"
    given = kit.parameters_for(book, alert)
    needed = {one.name for one in book.parameters if one.is_required} - set(given)
    if "url" in needed and (instance := alert.labels.get("instance")):
        given["url"] = f"http://{instance}/"
    words = [f"-p {shlex.quote(f'{name}={value}')}" for name, value in given.items()]
    words += [f"-p {name}=…" for name in sorted(needed - set(given))]
    command = " ".join([f"imt run {book.name}", *words, f"--incident {outcome.incident}"])
    return f"Next: {one_line(command, most=1000)}"


def _read(file: str) -> bytes:
    try:
        body = sys.stdin.buffer.read(MOST_BYTES + 1) if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    if len(body) > MOST_BYTES:
        raise InputError(f"{file} is larger than {MOST_BYTES:,} bytes; no sender writes that much.")
    return body


def _line(outcome: Outcome) -> str:
    what = _WORDS[outcome.action].format(incident=outcome.incident, silenced=outcome.silenced)
    answers = [f"runbooks: {', '.join(outcome.runbooks)}"] if outcome.runbooks else []
    answers += [f"runs requested: {', '.join(outcome.requested)}"] if outcome.requested else []
    return one_line(
        f"{outcome.alert}: {what}" + (f" ({'; '.join(answers)})" if answers else ""), most=500
    )


def _foretold(one: Explanation, homes: Mapping[str, str]) -> str:
    what = _what(one, homes)
    books = one.runbooks if one.outcome.action in _STARTING else ()
    then = [f"{'run' if book.is_run else 'propose'} {book.runbook}" for book in books]
    return one_line("; ".join([f"{one.outcome.alert}: {what}", *then]), most=500)


def _what(one: Explanation, homes: Mapping[str, str]) -> str:
    """What would become of the alert itself."""
    incident = homes.get(one.outcome.incident, one.outcome.incident)
    words = {**_WORDS, **_WOULD}[one.outcome.action]
    what = words.format(incident=incident, silenced=one.outcome.silenced)
    if one.outcome.action == "opened":
        return f"{what} of severity {one.severity}"
    if one.severity:
        return f"{what} and make it {one.severity}: {one.grounds}"
    return f"{what} and propose a worse severity: {one.grounds}" if one.grounds else what


def _page(one: Explanation, homes: Mapping[str, str]) -> Iterator[str]:
    """An explanation, a fact a line."""
    alert, status = f"{one.outcome.alert} ({one.outcome.fingerprint}", one.status
    yield one_line(f"{alert}, {status}): {_what(one, homes)}", most=500)
    for silence in one.silences:
        yield from _judged_lines("Silence", silence)
    for rule in one.rules:
        yield from _judged_lines("Rule", rule)
    if not one.rules:
        yield "  There are no rules in imt.toml: what answers is proposed, and nothing is run."
    if (one.runbooks or one.roles) and one.outcome.action not in _STARTING:
        yield "  Were it new and not held back:"
    for role in one.roles:
        yield f"  {one_line(_appointed(role))}"
    for book in one.runbooks:
        yield from _book_lines(book)


def _appointed(role: Appointed) -> str:
    if role.holder == role.person:
        return f"{role.role} is {role.person} already"
    told = f"{role.role} would be {role.person} ({role.reason})"
    return f"{told}, but {role.holder} has that role" if role.holder else told


def _judged_lines(kind: str, judged: Judged) -> Iterator[str]:
    matches = "matches" if judged.does_match else "does not match"
    yield f"  {kind} '{one_line(judged.name)}' {matches}"
    for said in judged.verdicts:
        mark = "yes" if said.is_met else "no "
        yield f"    {mark} {one_line(said.condition)}: {one_line(said.reason)}"
    if not judged.verdicts:
        yield "    it has no conditions: it speaks of every alert"
    if judged.does_match and judged.limits:
        yield f"    runs {judged.limits}"


def _book_lines(book: Foreseen) -> Iterator[str]:
    by = f" by the rule '{one_line(book.rule)}'" if book.rule else ""
    why = f": {one_line(book.reason)}" if book.reason else ""
    yield f"  Would be {'run' if book.is_run else 'proposed'}{by}: {one_line(book.runbook)}{why}"
    for name, value in book.parameters.items():
        yield f"    {name} = {one_line(value_text(value))}"
    for reason in book.left_out:
        yield f"    left out {one_line(reason)}"


def _deliveries(found: Sequence[Kept]) -> Table:
    from rich.text import Text

    from imtkit.cli.pages import grid, word

    return grid(
        (
            Text(str(one.place), justify="right"),
            Text(moment_text(one.received_at)),
            word(one.fate),
            Text(one_line(one.source)),
            Text(_told(one)),
        )
        for one in found
    )


def _told(one: Kept) -> str:
    """What is to be known of a delivery, or of an alert that was held back."""
    if one.fate == "silenced":
        until = f" until {moment_text(one.until)}" if one.until else ""
        return one_line(f"{one.alert}, by the silence '{one.reason}'{until}")
    return one_line(one.reason, most=300) if one.reason else size_text(one.size)


def _retried_lines(done: Retried) -> Iterator[str]:
    if done.reason:
        yield one_line(f"{done.place} ({done.source}): refused still: {done.reason}", most=500)
    elif not done.outcomes:
        yield one_line(f"{done.place} ({done.source}): holds no alert")
    for one in done.outcomes:
        yield f"{done.place} ({one_line(done.source)}): {_line(one)}"


def _result_lines(result: Result) -> Iterator[str]:
    passed = "failed" if result.differences else "passed"
    yield one_line(f"{passed}  {result.path.name}: {result.name}")
    for one in result.differences:
        yield f"    {one.what}"
        yield f"      expected {one_line(value_text(one.expected)) or 'nothing'}"
        yield f"      found    {one_line(value_text(one.found)) or 'nothing'}"
        if one.why:
            yield f"      because  {one_line(one.why, most=400)}"
