"""What comes out of a kernel, on its way into the notebook."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_output

from imtkit.errors import KernelError
from imtkit.model.scrubber import Scrubber
from imtkit.runs.echo import Echo
from imtkit.runs.volume import LINES, Budget, Transcript, Volume, overwritten, shortened
from imtkit.runs.widget_state import Output, WidgetRoom, put_states, states

if TYPE_CHECKING:
    from nbformat import NotebookNode


class Client(NotebookClient):  # type: ignore[misc]  # nbclient ships no types we follow
    """nbclient's client; what it writes into cells and raises holds no secret and has an end.

    ``beside`` is the output notebook, beside which the whole of big outputs goes. ``arrived``
    counts the kernel's messages.
    """

    def __init__(
        self,
        nb: NotebookNode,
        *,
        scrubber: Scrubber,
        beside: Path | None,
        echo: Echo | None = None,
        **options: Any,
    ) -> None:
        # nbclient's own merging of streams takes minutes for a line of a million characters.
        # Without the widgets' state, its stand-in for an Output widget fails.
        fixed = {"coalesce_streams": False, "store_widget_state": True}
        super().__init__(nb, **{**options, **fixed})
        self.arrived = 0
        self.clear_before_next_output = False
        self._scrubber = scrubber
        self._echo = echo or Echo()
        self._beside = beside
        self._budget = Budget()
        self._rests: dict[str, str] = {}
        self._volume = Volume(LINES, Transcript(None, self._budget))
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": Output}}
        self._widgets = WidgetRoom()
        self._widgets_before = states(nb)
        self._is_widget_news = False

    def whole_output(self) -> Mapping[str, Any]:
        """Where the whole of the newest cell's big output is, for the log; else empty."""
        return self._volume.transcript.told()

    async def async_execute_cell(
        self, cell: NotebookNode, cell_index: int, *args: Any, **options: Any
    ) -> NotebookNode:
        """Execute a cell; CellExecutionError and what the cell keeps are scrubbed."""
        clean = self._scrubber.text
        self._rests = {}
        self._volume = self._volume_for(cell, cell_index)
        try:
            return await super().async_execute_cell(cell, cell_index, *args, **options)
        except CellExecutionError as error:
            said = (error.traceback, error.ename, error.evalue)
            raise CellExecutionError(*(shortened(clean(one)) for one in said)) from None
        finally:
            self._settle(cell)

    def _volume_for(self, cell: NotebookNode, index: int) -> Volume:
        id_ = str(cell.get("id", ""))
        name = id_ if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", id_) else f"cell-{index}"
        path = self._beside and self._beside.with_name(f"{self._beside.stem}.{name}.txt")
        wanted = (cell.metadata, self.nb.metadata, {"imtkit": {"output_lines": LINES}})
        given = (one.get("imtkit", {}).get("output_lines") for one in wanted)
        lines = next(one for one in given if type(one) is int and one > 0)
        return Volume(lines, Transcript(path, self._budget))

    def _settle(self, cell: NotebookNode) -> None:
        """Write what was held back, and say where the whole of a cut stream is."""
        for name, rest in self._rests.items():
            if rest:
                text = self._scrubber.text(rest)
                self._volume.said(name, text)
                self._echo.said(name, text)
                _stream(cell.outputs, name).text += text
        cut, words = self._volume.ended()
        for name, text in cut.items():
            _stream(cell.outputs, name).text = text
        if words:
            _stream(cell.outputs, "stderr").text += words
        for one in cell.outputs:
            if one.output_type == "stream":
                one.text = overwritten(one.text)
        cell.outputs = _in_order(cell.outputs)
        if self._is_widget_news:
            self._is_widget_news = False
            self.set_widgets_metadata()

    def set_widgets_metadata(self) -> None:
        """Keep what widgets look like now, beside those of an earlier attempt."""
        super().set_widgets_metadata()
        put_states(self.nb, {**self._widgets_before, **states(self.nb)})

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Take a kernel's message in, without secrets, also those cut over several messages."""
        self.arrived += 1
        content = msg["content"]
        match msg["msg_type"]:
            case "stream":
                content = self._next(content)
                if not content["text"]:
                    return None
            case "error":
                content = _shortened(self._scrubber.table(content))
            case _:
                content = self._scrubber.table(content)
        return super().process_message({**msg, "content": content}, cell, cell_index)

    def output(
        self,
        outs: list[NotebookNode],
        msg: dict[str, Any],
        display_id: str | None,
        cell_index: int,
    ) -> NotebookNode | None:
        """Put an output into the cell, as far as there is room."""
        kind, content = msg["msg_type"], msg["content"]
        is_elsewhere = bool(self.output_hook_stack[msg["parent_header"].get("msg_id")])
        if not is_elsewhere and self.clear_before_next_output:
            self.clear_before_next_output = False
            outs[:] = []
            self.clear_display_id_mapping(cell_index)
            self._volume.cleared()
        if kind == "stream" and not is_elsewhere:
            node = self._stream_at_end(outs, content["name"])
            node.text = self._volume.said(content["name"], content["text"])
            self._echo.said(content["name"], content["text"])
            return node
        # An Output widget keeps errors, too, and every piece of a stream by itself.
        if kind == "stream":
            content = {**content, "text": shortened(content["text"])}
        is_free = kind == "error" and not is_elsewhere
        if not is_free and not self._volume.has_room(content, is_in_widget=is_elsewhere):
            return None
        if not is_elsewhere:
            self._echo.showed(content)
        return super().output(outs, {**msg, "content": content}, display_id, cell_index)

    def clear_output(self, outs: list[NotebookNode], msg: dict[str, Any], cell_index: int) -> None:
        """Take away what a cell has shown so far."""
        super().clear_output(outs, msg, cell_index)
        if not outs:
            self._volume.cleared()

    def handle_comm_msg(
        self, outs: list[NotebookNode], msg: dict[str, Any], cell_index: int
    ) -> None:
        """Keep a widget's state up to date, as far as there is room."""
        content = msg["content"]
        state = content["data"].get("state", {})
        if not isinstance(state, Mapping):
            return  # of a comm that is no widget's
        self._is_widget_news = True
        buffers = sum(len(one) for one in msg.get("buffers", ()))
        if self._widgets.takes(content["comm_id"], state, buffers):
            super().handle_comm_msg(outs, msg, cell_index)
        elif content["comm_id"] in self.comm_objects:
            self.comm_objects[content["comm_id"]].handle_msg(msg)

    def _get_buffer_data(self, msg: dict[str, Any]) -> list[dict[str, str]]:
        found = super()._get_buffer_data(msg)
        return [{**one, "data": self._scrubber.text(one["data"])} for one in found]

    async def run_silently(self, code: str) -> None:
        """Run code that no cell, history or output knows of; KernelError when it fails."""
        if self.kc is None:
            raise KernelError("There is no kernel to ask.")
        asked = self.kc.execute(code, silent=True, store_history=False)
        reply = await self.async_wait_for_reply(asked)
        said = reply["content"] if reply else {"status": "error", "evalue": "it gave no answer"}
        if said["status"] != "ok":
            why = self._scrubber.text(str(said.get("evalue", "")))
            raise KernelError(
                f"The kernel could not take its secrets: {why}",
                hint="They need a Python kernel that can import imtkit.",
            )

    def _stream_at_end(self, outs: list[NotebookNode], name: str) -> NotebookNode:
        """The stream that a text belongs to: a new one, where something was displayed since."""
        for one in reversed(outs):
            if one.output_type != "stream":
                if self._volume.divides(name):
                    outs.append(new_output("stream", name=name, text=""))
                break
            if one.name == name:
                break
        return _stream(outs, name)

    def _next(self, content: Mapping[str, Any]) -> dict[str, Any]:
        name = content["name"]
        text = self._rests.get(name, "") + content["text"]
        text = self._volume.skimmed(name, text, self._scrubber.past)
        text, self._rests[name] = self._scrubber.begun(text)
        return {**content, "text": text}


def _shortened(content: Mapping[str, Any]) -> dict[str, Any]:
    lines = [shortened(str(line)) for line in content.get("traceback", [])]
    return {**content, "evalue": shortened(str(content.get("evalue", ""))), "traceback": lines}


def _in_order(outs: list[NotebookNode]) -> list[NotebookNode]:
    """Standard output before standard error where they meet: which came first is chance."""
    found = list(outs)
    for at in range(len(found) - 1):
        if [one.get("name", "") for one in found[at : at + 2]] == ["stderr", "stdout"]:
            found[at : at + 2] = found[at + 1], found[at]
    return found


def _stream(outs: list[NotebookNode], name: str) -> NotebookNode:
    """A cell's newest stream of this name, which is made where there is none."""
    same = (one for one in reversed(outs) if one.output_type == "stream" and one.name == name)
    found = next(same, None)
    if found is None:
        found = new_output("stream", name=name, text="")
        outs.append(found)
    return found
