"""How much state widgets may have, and how it is kept."""

from __future__ import annotations

import nbformat

from imtkit.runs.widget_state import WidgetRoom, put_states, states


def test_what_is_written_over_takes_no_more_room():
    """A bar that moves for ever stays one bar; new ones fit until the room is taken."""
    room = WidgetRoom(100)
    assert all(room.takes("bar", {"value": "x" * 40}, 0) for _ in range(1000))
    assert room.takes("image", {"width": 1}, 50)
    assert not room.takes("third", {"value": "x" * 40}, 0)
    assert room.takes("bar", {"value": ""}, 0)
    assert room.takes("third", {"value": "x" * 40}, 0)


def test_a_notebook_without_widgets_says_nothing_of_them():
    """And one with widgets says it in the form that front ends read."""
    nb = nbformat.v4.new_notebook()
    put_states(nb, {})
    assert "widgets" not in nb.metadata
    put_states(nb, {"id": {"model_name": "LabelModel", "state": {}}})
    assert list(states(nb)) == ["id"]
    nbformat.validate(nb)
