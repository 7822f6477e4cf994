"""A login for tests: a Jupyter server that knows who its people are."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.identity import IdentityProvider, User


class KnownLogin(IdentityProvider):
    """Whoever has the token is Grace Hopper."""

    def get_user(self, handler: Any) -> User | None:
        """Grace, when the token is right."""
        if handler.request.headers.get("Authorization") != f"token {self.token}":
            return None
        handler._token_authenticated = True  # as Jupyter's own token login says it
        return User("ghopper", "Grace Hopper")
