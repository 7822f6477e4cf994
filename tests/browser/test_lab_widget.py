"""The checklist's widget, for front ends without our labextension, in a bare page.

The page plays the kernel: it answers the widget's messages, late, wrongly or not at all.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imtkit.widgets.view import ChecklistView

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

KERNEL = """async ([source, css]) => {
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
  const widget = await import("data:text/javascript;base64," + source);
  const listeners = [];
  const list = {incident: "INC-1", list: "l", title: "Before the failover", required: true,
    person: "Ada", now: "", items: [{id: "a", text: "First <i>x</i>", by: "", at: null, via: ""},
                                    {id: "b", text: "Second", by: "", at: null, via: ""}]};
  const push = (words) => listeners.forEach((listener) => listener(words));
  window.kernel = {list, heard: [], mood: "well", push};
  const told = () => ({...structuredClone(list), now: new Date(Date.now() + 3600e3).toISOString()});
  const model = {
    get: (name) => ({incident: "INC-1", list_name: "l"})[name],
    on: (name, listener) => listeners.push(listener),
    off: () => (listeners.length = 0),
    send: (words) => {
      window.kernel.heard.push(words);
      if (window.kernel.mood === "dead") return;
      if (window.kernel.mood === "gone") throw new Error("the comm is closed");
      if (window.kernel.mood === "strict" && words.kind === "click") {
        const problem = {message: "The click came too late.", hint: "Click again."};
        setTimeout(() => window.kernel.push({nonce: words.nonce, problem}), 20);
        return;
      }
      if (words.kind === "click") {
        const item = list.items.find((one) => one.id === words.item);
        item.by = words.checked ? "Ada" : "";
        item.at = words.checked ? new Date().toISOString() : null;
      }
      setTimeout(() => window.kernel.push({nonce: words.nonce, list: told()}), 20);
    },
  };
  const el = document.createElement("div");
  document.body.replaceChildren(el);
  window.leave = widget.default.render({model, el});
}"""


@pytest.fixture
def listed(page: Page) -> Page:
    """A page in which the widget is drawn, on a kernel that answers."""
    from base64 import b64encode

    page.clock.install()
    page.goto("data:text/html,<!doctype html><title>Widget</title>")
    source = b64encode(str(ChecklistView._esm).encode()).decode()
    page.evaluate(KERNEL, [source, str(ChecklistView._css)])
    box(page, "First").wait_for()
    return page


def box(page: Page, name: str) -> Locator:
    """The checkbox of an item."""
    return page.get_by_role("checkbox", name=name)


def mood(page: Page, name: str) -> None:
    """How the kernel behaves from now on: well, dead, gone or strict."""
    page.evaluate(f"window.kernel.mood = {json.dumps(name)}")


def clicks(page: Page) -> list[dict[str, Any]]:
    """The clicks the kernel heard."""
    heard: list[dict[str, Any]] = page.evaluate("window.kernel.heard")
    return [words for words in heard if words["kind"] == "click"]


def test_a_tick_shows_when_the_kernel_has_recorded_it(listed: Page) -> None:
    """A click carries a nonce and a deadline by the kernel's clock; markup in items is text."""
    box(listed, "First").press("Space")
    listed.get_by_text("Ada, ").wait_for()
    (click,) = clicks(listed)
    assert (click["item"], click["checked"], len(click["nonce"])) == ("a", True, 32)
    ahead = listed.evaluate("(t) => Date.parse(t) - Date.now()", click["not_after"])
    assert 3_600_000 < ahead <= 3_606_000
    assert listed.locator("i").count() == 0
    assert listed.get_by_role("status").get_by_text("Recorded: First").is_visible()
    assert listed.get_by_text("1 of 2 done").is_visible()


@pytest.mark.parametrize("state", ["dead", "gone"])
def test_without_an_answer_nothing_is_ticked(listed: Page, state: str) -> None:
    """A kernel that says nothing, or is gone: NOT RECORDED in time, and the box stays empty."""
    mood(listed, state)
    box(listed, "Second").click()
    assert not box(listed, "Second").is_checked()
    listed.clock.run_for(8_000)
    listed.get_by_text("NOT RECORDED", exact=True).wait_for()
    assert not box(listed, "Second").is_checked()
    listed.clock.run_for(15_000)
    listed.get_by_role("alert").get_by_text("Nothing can be ticked now").wait_for()
    before = len(clicks(listed))
    box(listed, "First").click(force=True)
    assert len(clicks(listed)) == before

    mood(listed, "well")
    listed.get_by_role("button", name="Try again").click()
    listed.clock.run_for(1_000)
    box(listed, "Second").click()
    listed.clock.run_for(1_000)
    assert box(listed, "Second").is_checked()


def test_a_refused_click_is_said_and_not_ticked(listed: Page) -> None:
    """What the recorder refuses is shown with its reason and the next step."""
    mood(listed, "strict")
    box(listed, "First").click()
    listed.clock.run_for(100)
    listed.get_by_role("alert").get_by_text("too late. Click again.").wait_for()
    assert not box(listed, "First").is_checked()


def test_a_click_meant_for_what_was_there_before_does_nothing(listed: Page) -> None:
    """Right after somebody else ticked it, a click does not take the tick back."""
    listed.evaluate(
        """() => {
          const {list, push} = window.kernel;
          Object.assign(list.items[0], {by: "Bob", at: new Date().toISOString()});
          push({list: {...list, now: new Date().toISOString()}});
        }"""
    )
    box(listed, "First").click()
    assert clicks(listed) == []
    listed.get_by_role("status").get_by_text("Bob ticked it just now").wait_for()
    listed.clock.run_for(1_000)
    box(listed, "First").dblclick()
    listed.clock.run_for(1_000)
    assert [click["checked"] for click in clicks(listed)] == [False]


def test_a_widget_that_is_closed_asks_no_more(listed: Page) -> None:
    """Leaving the page ends its questions."""
    listed.evaluate("window.leave()")
    before = listed.evaluate("window.kernel.heard.length")
    listed.clock.run_for(60_000)
    assert listed.evaluate("window.kernel.heard.length") == before
