"""``imt alerts``: explained, tried without writing, replayed from folders, and rules tested."""

from __future__ import annotations

from pathlib import Path

import pytest
from alert_bodies import FIRING, OVER, delivery
from notebook_files import SOUND, code, write_notebook
from terminal import Imt, caller

RULES = """
[[alerts.rules]]
name = "orders-fail"
match = ['service=~"ord.*"', 'severity="critical"']
parameters = { url = "annotation:url", count = 7, other = 1 }
at_once = 1

[[alerts.rules]]
name = "warnings"
match = ['severity="warning"']
severity = "sev4"
run = false

[[alerts.silences]]
reason = "disks are moved"
match = ['service="disks"']
ends_at = 2126-01-01T00:00:00Z
"""
URL = {"annotations": {"url": "http://127.0.0.1:1/"}}


def labelled(**labels: str) -> dict:
    """An alert of orders with other labels, and a fingerprint of its own."""
    own = {"alertname": "OrdersFailing", "service": "orders", "severity": "critical", **labels}
    return {"labels": own, "fingerprint": "".join(labels.values()) or "own", **URL}


@pytest.fixture
def imt(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Imt:
    """Calls ``imt`` in a workspace that has rules, a silence and a runbook."""
    monkeypatch.chdir(workspace)
    with Path("imt.toml").open("a") as file:
        file.write(RULES)
    cell = "url: str = ...\ncount: int = 5"
    cells = [code("p", cell, "parameters"), code("a", "1")]
    write_notebook(Path("runbooks/trial.ipynb"), cells, about=SOUND)
    return caller(capsys)


def written(imt: Imt) -> int:
    """How many entries the log has."""
    return sum(head["count"] for head in imt("store", "heads", "--json").json["heads"])


def test_explain_says_what_matched_and_what_would_run(imt: Imt):
    """Each condition with its reason, each runbook with its values, and what was left out."""
    Path("p.json").write_bytes(delivery(URL))
    done = imt("alerts", "explain", "p.json")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "OrdersFailing (0d451372052d4ee0, firing): would open an incident of severity sev2",
        "  Silence 'disks are moved' does not match",
        "    yes until 2126-01-01 00:00:00 UTC: it is on",
        '    no  service="disks": service is "orders", not "disks"',
        "  Rule 'orders-fail' matches",
        '    yes service=~"ord.*": service is "orders", which fits ord.*',
        '    yes severity="critical": severity is "critical"',
        "    runs at most 1 at once in one incident",
        "  Rule 'warnings' does not match",
        '    no  severity="warning": severity is "critical", not "warning"',
        "  Would be run by the rule 'orders-fail': trial",
        "    url = http://127.0.0.1:1/",
        "    count = 7",
        "    left out other: trial declares no such parameter",
    ]
    assert written(imt) == 0


def test_explain_tells_limits_and_what_is_known(imt: Imt):
    """While its one run goes on the rule only proposes; a known alert says what it would."""
    Path("one.json").write_bytes(delivery(URL))
    Path("two.json").write_bytes(delivery(labelled(instance="b")))
    imt("alerts", "replay", "one.json")
    before = written(imt)
    known = imt("alerts", "explain", "one.json").out
    assert "known already, in INC-" in known
    assert "  Were it new and not held back:" in known
    joined = imt("alerts", "explain", "two.json").out
    assert "would join INC-" in joined
    assert "has 1 of its 1 going in this incident" in joined
    Path("over.json").write_bytes(delivery(OVER))
    assert "would say so" in imt("alerts", "explain", "over.json").out
    assert written(imt) == before


def test_alerts_of_one_delivery_know_of_those_before_them(imt: Imt):
    """The second joins what the first opens and is over its rule's limit; a repeat is known."""
    other = labelled(instance="b") | {"labels": {"alertname": "Slow", "service": "orders"}}
    over = OVER | {"fingerprint": labelled(instance="c")["fingerprint"]}
    Path("p.json").write_bytes(
        delivery(URL, labelled(instance="c"), other, URL, over, labelled(service="pay"))
    )
    found = imt("alerts", "explain", "p.json", "--json").json
    outcomes = [(one["outcome"]["action"], one["outcome"]["incident"]) for one in found]
    assert outcomes == [
        ("opened", "NEW-1"),
        ("joined", "NEW-1"),
        ("joined", "NEW-1"),
        ("known", "NEW-1"),
        ("resolved", "NEW-1"),
        ("opened", "NEW-2"),
    ]
    assert [one["runbooks"][0]["is_run"] for one in found[:2]] == [True, False]
    assert found[1]["runbooks"][0]["reason"] == (
        "the rule 'orders-fail' has 1 of its 1 going in this incident"
    )
    said = imt("alerts", "explain", "p.json").out
    assert "would join the incident that OrdersFailing opens\n" in said
    assert "known already, in the incident that OrdersFailing opens" in said
    assert written(imt) == 0


def test_explain_tells_that_an_alert_makes_its_incident_worse(imt: Imt):
    """With the severity and why; where a person set it, that a worse one is only proposed."""
    calm = {"labels": {"alertname": "Slow", "service": "orders", "severity": "info"}}
    Path("calm.json").write_bytes(delivery(calm | {"fingerprint": "1"}))
    Path("bad.json").write_bytes(delivery(URL))
    imt("alerts", "replay", "calm.json")
    said = "make it sev2: the alert 'OrdersFailing' came as critical\n"
    assert said in imt("alerts", "explain", "bad.json").out
    (row,) = imt("incident", "list", "--json").json
    imt("incident", "set", row["id"], "severity=sev3", "--actor", "Ann Example")
    said = "the alert 'OrdersFailing' came as critical; a person set sev3\n"
    assert f"and propose a worse severity: {said}" in imt("alerts", "explain", "bad.json").out


def test_explain_tells_who_gets_which_role(imt: Imt):
    """By which rule or service; and who has the role already, and so keeps it."""
    roles = 'assign = { commander = "Ann Example" }'
    with Path("imt.toml").open("a") as file:
        file.write(f'\n[services.orders]\non_call = {{ scribe = "Sam" }}\n{RULE}{roles}\n')
    Path("p.json").write_bytes(delivery(FIRING))
    said = imt("alerts", "explain", "p.json").out
    assert "  commander would be Ann Example (the rule 'any' says so)\n" in said
    assert "  scribe would be Sam (on call for orders)\n" in said
    (done,) = imt("alerts", "replay", "p.json", "--json").json
    imt("incident", "assign", done["incident"], "commander", "Dora", "--actor", "Dora")
    Path("p.json").write_bytes(delivery(labelled(instance="b")))
    said = imt("alerts", "explain", "p.json").out
    assert "commander would be Ann Example (the rule 'any' says so), but Dora has that role" in said
    assert "  scribe is Sam already\n" in said


RULE = '\n[[alerts.rules]]\nname = "any"\n'


def test_a_rule_without_a_limit_is_told(imt: Imt):
    """Where it speaks of an alert, and whenever the rules are tested."""
    assert "without a limit" not in imt("alerts", "test").err
    with Path("imt.toml").open("a") as file:
        file.write(RULE)
    Path("p.json").write_bytes(delivery(FIRING))
    told = "    runs without a limit: each new alert starts a run (set per_hour and at_once)\n"
    assert told in imt("alerts", "explain", "p.json").out
    assert "The rule 'any' runs without a limit." in imt("alerts", "test").err


SHOP = '\n[alerts.sources.shop]\nkind = "mapped"\nproof = "none"\nfields = { title = "what" }\n'


def test_the_one_sender_of_imt_toml_is_meant(imt: Imt):
    """Of several the one of Alertmanager's kind, else somebody has to say who."""
    sound = Path("imt.toml").read_text()
    Path("p.json").write_text('{"what": "Checkout fails"}')
    Path("imt.toml").write_text(sound + SHOP)
    (one,) = imt("alerts", "explain", "p.json", "--json").json
    assert one["outcome"]["alert"] == "Checkout fails"
    assert "Checkout fails: would open" in imt("alerts", "replay", "p.json", "--dry-run").out
    Path("imt.toml").write_text(sound + SHOP + SHOP.replace("shop", "mall"))
    done = imt("alerts", "explain", "p.json", "--json")
    assert (done.code, done.error["hint"]) == (2, "Say --source mall or shop.")
    assert imt("alerts", "explain", "p.json", "--source", "mall").code == 0
    own = '\n[alerts.sources.prod]\nkind = "alertmanager"\nproof = "none"\n'
    Path("imt.toml").write_text(sound + SHOP + own)
    Path("p.json").write_bytes(delivery(FIRING))
    assert imt("alerts", "explain", "p.json", "--json").code == 0


def test_explain_as_json_holds_all_of_it(imt: Imt):
    """The outcome, each rule with its verdicts, and each runbook."""
    Path("p.json").write_bytes(delivery(labelled(service="disks")))
    (one,) = imt("alerts", "explain", "p.json", "--json").json
    assert one["outcome"]["silenced"] == "disks are moved"
    assert [rule["does_match"] for rule in one["rules"]] == [False, False]
    assert one["runbooks"][0]["runbook"] == "trial"


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ("match = ['severity=~\"(\"']", "'bad': The regular expression '(' cannot be used"),
        ('runbooks = ["trail"]', "'bad' names the runbook 'trail', which is not there"),
    ],
)
def test_a_broken_rule_is_named_with_its_place(imt: Imt, rule: str, what: str):
    """Exit code 4, the file, the table and a hint; nothing is taken in."""
    with Path("imt.toml").open("a") as file:
        file.write(f'[[alerts.rules]]\nname = "bad"\n{rule}\n')
    Path("p.json").write_bytes(delivery(FIRING))
    done = imt("alerts", "explain", "p.json", "--json")
    assert done.code == 4
    assert f"imt.toml: [[alerts.rules]] {what}" in done.error["message"]
    assert done.error["hint"]


def test_a_folder_is_replayed_by_name(imt: Imt):
    """Tried first without writing; then in the order of the names, hidden files left out."""
    Path("in").mkdir()
    Path("in/2.json").write_bytes(delivery(labelled(severity="warning")))
    Path("in/1.json").write_bytes(delivery(URL))
    Path("in/3.json").write_bytes(delivery(labelled(service="disks")))
    Path("in/.4.json").write_text("no payload")
    dry = imt("alerts", "replay", "in", "--dry-run")
    assert dry.out.splitlines() == [
        "OrdersFailing: would open an incident of severity sev2; run trial",
        "OrdersFailing: would join the incident that OrdersFailing opens; propose trial",
        "OrdersFailing: would be held back by the silence 'disks are moved'",
    ]
    assert written(imt) == 0
    found = imt("alerts", "replay", "in", "--json").json
    assert [one["action"] for one in found] == ["opened", "joined", "silenced"]
    assert [len(one["requested"]) for one in found] == [1, 0, 0]
    Path("in/0.json").write_text("{}")
    done = imt("alerts", "replay", "in", "--json")
    assert done.code == 2
    assert done.error["message"].startswith(f"{Path('in/0.json')}: ")


SOUND_TEST = """
[[test]]
name = "orders are looked into"
labels = { alertname = "OrdersFailing", service = "orders", severity = "critical" }
annotations = { url = "http://h/", summary = "Orders fail" }
[test.expect]
rule = "orders-fail"
rules = ["orders-fail"]
runbooks = ["trial"]
proposed = []
parameters = { url = "http://h/", count = 7 }
severity = "sev2"
silenced = false
roles = {}
incident = { title = "Orders fail", services = ["orders"] }

[[test]]
name = "disks are silent"
labels = { service = "disks" }
at = 2026-11-21T10:00:00Z
expect = { rule = "", silenced = true, incident = false }

[[test]]
name = "no silence without a time"
labels = { service = "disks" }
expect = { silenced = false, incident = true }
"""


def test_rule_tests_pass_and_write_nothing(imt: Imt):
    """Each is said; the workspace's log stays as it is."""
    Path("tests/alerts").mkdir(parents=True)
    Path("tests/alerts/orders.toml").write_text(SOUND_TEST)
    done = imt("alerts", "test")
    assert done.code == 0, done.out
    assert done.out.splitlines()[0] == "passed orders.toml: orders are looked into"
    assert len(done.out.splitlines()) == 3
    assert not Path("outputs/imt.db").exists()


def test_a_rule_test_that_fails_shows_the_difference_and_why(imt: Imt):
    """What was expected, what was found, and the condition that was not met; exit code 1."""
    Path("mine.toml").write_text(
        """
[[test]]
name = "orders warn"
labels = { alertname = "OrdersFailing", service = "orders", severity = "warning" }
expect = { rule = "orders-fail", parameters = { count = 7 }, incident = { severity = "sev1" } }
"""
    )
    done = imt("alerts", "test", "mine.toml")
    assert done.code == 1
    assert done.out.splitlines() == [
        "failed mine.toml: orders warn",
        "    rule",
        "      expected orders-fail",
        "      found    warnings",
        '      because  \'orders-fail\': severity is "warning", not "critical"; '
        "'warnings': severity is \"warning\"",
        "    parameters.count",
        "      expected 7",
        "      found    nothing",
        "    incident.severity",
        "      expected sev1",
        "      found    sev4",
    ]
    (result,) = imt("alerts", "test", "mine.toml", "--json").json
    assert next(one["what"] for one in result["differences"]) == "rule"


def test_without_rule_tests_it_says_how_to_write_one(imt: Imt):
    """Nothing to do is no failure."""
    done = imt("alerts", "test")
    assert done.code == 0
    assert "tests/alerts/orders.toml" in done.err
    assert imt("alerts", "test", "--json").json == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[[test", "not valid TOML"),
        ("[[tests]]", "'tests' is not known here"),
        ("test = [1]", "[[test]] 1 is no table"),
        ('[[test]]\nname = "a"', "expects nothing"),
        ("[[test]]\nexpect = { runbook = [] }", "'runbook' is not known here"),
        ("[[test]]\nexpect = { runbooks = 'a' }", "'runbooks' is not a list"),
        ("[[test]]\nlabels = { a = 1 }\nexpect = { rule = '' }", "labels: 'a' is not a text"),
        ("[[test]]\nat = 2026-11-21T10:00:00\nexpect = { rule = '' }", "at has no time zone"),
        ("[[test]]\nexpect = { roles = { lead = 1 } }", "roles: 'lead' is not a text"),
        ("[[test]]\nexpect = { incident = { name = '' } }", "'name' is not known here"),
    ],
)
def test_a_rule_test_that_cannot_be_meant_is_named(imt: Imt, text: str, what: str):
    """By file and place, with a hint."""
    Path("mine.toml").write_text(text)
    done = imt("alerts", "test", "mine.toml", "--json")
    assert done.code == 4
    assert "mine.toml" in done.error["message"]
    assert what in done.error["message"]
    assert done.error["hint"]
