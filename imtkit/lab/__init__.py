"""The Jupyter Server extension: what people's JupyterLab asks of the incident log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Where Jupyter Server finds the extension."""
    return [{"module": "imtkit.lab"}]


def _load_jupyter_server_extension(server_app: ServerApp) -> None:
    """Add the handlers under ``<base url>imtkit/api/`` to a Jupyter Server."""
    from imtkit.lab.handlers import add_handlers

    add_handlers(server_app)
