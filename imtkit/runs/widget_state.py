"""Widgets' state: kept in the notebook, so that a front end can draw them without a kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbclient.output_widget import OutputWidget

from imtkit.runs.volume import weight

if TYPE_CHECKING:
    from nbformat import NotebookNode

_BYTES = 50_000_000
"""What the state of all widgets of one run may take."""

_MIME_TYPE = "application/vnd.jupyter.widget-state+json"


class WidgetRoom:
    """How much more state the widgets of one run may have."""

    def __init__(self, most: int = _BYTES) -> None:
        self._left = most
        self._sizes: dict[tuple[str, str], int] = {}

    def takes(self, comm_id: str, state: Mapping[str, Any], buffers: int) -> bool:
        """Whether this piece of a widget's state still fits, over what it had before.

        ``buffers`` is the size of the binary parts that come with it.
        """
        sizes = {(comm_id, str(name)): weight(value) for name, value in state.items()}
        if buffers:
            sizes[comm_id, "buffers of " + ", ".join(sorted(state))] = buffers
        more = sum(sizes.values()) - sum(self._sizes.get(place, 0) for place in sizes)
        if more > self._left:
            return False
        self._left -= more
        self._sizes.update(sizes)
        return True


def states(nb: NotebookNode) -> dict[str, Any]:
    """The widgets' states that a notebook has, by model id."""
    return dict(nb.metadata.get("widgets", {}).get(_MIME_TYPE, {}).get("state", {}))


def put_states(nb: NotebookNode, found: Mapping[str, Any]) -> None:
    """Keep these states in a notebook (the format of @jupyter-widgets/schema, version 2)."""
    if found:
        table = {"state": dict(found), "version_major": 2, "version_minor": 0}
        nb.metadata["widgets"] = {_MIME_TYPE: table}


class Output(OutputWidget):  # type: ignore[misc]  # nbclient ships no types we follow
    """nbclient's stand-in for an Output widget; what it sends hides no answer of the kernel's."""

    def send(self, *args: Any, **options: Any) -> None:
        """Tell the kernel what the widget shows now."""
        super().send(*args, **options)
        # It was sent past zmq.asyncio, which then does not notice what came in meanwhile, and
        # the reply that the cell waits for lies there unread until the socket is looked at.
        socket = self.kernel_client.shell_channel.socket
        self._looking = asyncio.ensure_future(socket.poll(1))
