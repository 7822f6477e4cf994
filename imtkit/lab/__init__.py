"""The Jupyter Server extension: the incident log for JupyterLab, and runs that a server carries."""

from __future__ import annotations


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    """Where Jupyter Server finds the extension."""
    from imtkit.lab.extension import ImtkitExtension

    return [{"module": "imtkit.lab.extension", "app": ImtkitExtension}]
