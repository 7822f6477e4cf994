"""Which copy of a notebook is the newest, of what is here, what was sent and what was written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imtkit.model.copies import Copy, is_to_be_sent, newest

SENT = [Copy(1, "a"), Copy(2, "b")]


def test_what_was_sent_last_is_the_newest_also_where_it_is_here() -> None:
    """There is nothing to fetch and nothing to send."""
    assert newest(Copy(2, "b"), SENT, 2) == "here"
    assert not is_to_be_sent(Copy(2, "b"), SENT, 2)


def test_what_is_not_here_is_fetched() -> None:
    """A machine that comes later has nothing yet."""
    assert newest(None, SENT, 2) == "there"


def test_an_older_state_is_fetched_anew_and_never_sent() -> None:
    """Whether an earlier attempt wrote it, or a person has gone on in the same attempt."""
    assert newest(Copy(1, "a"), SENT, 2) == "there"
    assert newest(Copy(2, "b"), [*SENT, Copy(2, "c")], 2) == "there"
    assert not is_to_be_sent(Copy(1, "a"), SENT, 2)


def test_what_somebody_wrote_since_is_the_newest() -> None:
    """Of the attempt that was sent last, but not what was sent: it is sent again."""
    assert newest(Copy(2, "edited"), SENT, 2) == "here"
    assert is_to_be_sent(Copy(2, "edited"), SENT, 2)


def test_what_somebody_wrote_into_an_older_state_is_not() -> None:
    """A later attempt went on elsewhere."""
    assert newest(Copy(1, "edited"), SENT, 2) == "there"
    assert not is_to_be_sent(Copy(1, "edited"), SENT, 2)


def test_what_was_written_and_not_sent_is_where_it_was_written() -> None:
    """Here, if this attempt is the one; else on a machine that has not sent it."""
    assert newest(Copy(3, "c"), SENT, 3) == "here"
    assert is_to_be_sent(Copy(3, "c"), SENT, 3)
    assert newest(Copy(2, "b"), SENT, 3) == "elsewhere"
    assert newest(None, [], 1) == "elsewhere"


def test_where_nothing_was_written_there_is_nothing_to_look_for() -> None:
    """A run whose runner died before its first step begins with the runbook."""
    assert newest(None, [], 0) == "here"
    assert newest(None, SENT, 0) == "there"


def test_a_notebook_that_does_not_say_its_attempt_is_taken_as_the_newest() -> None:
    """A person's own, and those of an older imtkit; unless it is known to be old."""
    assert newest(Copy(None, "mine"), [], 1) == "here"
    assert is_to_be_sent(Copy(None, "mine"), SENT, 2)
    assert newest(Copy(None, "a"), SENT, 2) == "there"


copies = st.builds(Copy, st.integers(1, 4), st.sampled_from("abcdef"))


@given(st.none() | copies, st.lists(copies, max_size=4), st.integers(0, 4))
def test_nothing_older_is_ever_sent(here: Copy | None, sent: list[Copy], written: int) -> None:
    """Whatever happened: what is sent comes from no earlier attempt, and was not sent before."""
    where = newest(here, sent, written)
    assert where != "there" or sent
    if here is not None and is_to_be_sent(here, sent, written):
        assert where == "here"
        assert here.sha256 not in {one.sha256 for one in sent}
        assert (here.attempt or 0) >= max([written, *(one.attempt or 0 for one in sent[-1:])])
