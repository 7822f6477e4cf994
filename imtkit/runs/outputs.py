"""What comes out of a kernel, on its way into the notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_output

from imtkit.errors import KernelError
from imtkit.model.scrubber import Scrubber

if TYPE_CHECKING:
    from nbformat import NotebookNode

_PICTURES = ("image/", "audio/", "video/", "application/pdf")


class Client(NotebookClient):  # type: ignore[misc]  # nbclient ships no types we follow
    """nbclient's client; what it writes into cells and raises holds no secret."""

    def __init__(self, nb: NotebookNode, *, scrubber: Scrubber, **options: Any) -> None:
        super().__init__(nb, **options)
        self._scrubber = scrubber
        self._rests: dict[str, str] = {}

    async def async_execute_cell(
        self, cell: NotebookNode, cell_index: int, *args: Any, **options: Any
    ) -> NotebookNode:
        """Execute a cell; CellExecutionError and what the cell keeps are scrubbed."""
        clean = self._scrubber.text
        self._rests = {}
        try:
            return await super().async_execute_cell(cell, cell_index, *args, **options)
        except CellExecutionError as error:
            said = (error.traceback, error.ename, error.evalue)
            raise CellExecutionError(*map(clean, said)) from None
        finally:
            for name, rest in self._rests.items():
                _add(cell, name, clean(rest))

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Take a kernel's message in, without secrets, also those cut over several messages."""
        content = msg["content"]
        match msg["msg_type"]:
            case "stream":
                content = self._next(content)
                if not content["text"]:
                    return None
            case "execute_result" | "display_data" | "update_display_data":
                content = {**content, "data": self._bundle(content["data"])}
            case "error":
                content = self._scrubber.table(content)
        return super().process_message({**msg, "content": content}, cell, cell_index)

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

    def _next(self, content: Mapping[str, Any]) -> dict[str, Any]:
        name = content["name"]
        text, self._rests[name] = self._scrubber.begun(self._rests.get(name, "") + content["text"])
        return {**content, "text": text}

    def _bundle(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {
            mime: one if _is_picture(mime) else self._scrubber.data(one)
            for mime, one in data.items()
        }


def _is_picture(mime: str) -> bool:
    return mime.startswith(_PICTURES) and "svg" not in mime


def _add(cell: NotebookNode, name: str, text: str) -> None:
    """Add to the end of one of a cell's streams."""
    if not text:
        return
    same = [one for one in cell.outputs if one.output_type == "stream" and one.name == name]
    if same:
        same[-1].text += text
    else:
        cell.outputs.append(new_output("stream", name=name, text=text))
