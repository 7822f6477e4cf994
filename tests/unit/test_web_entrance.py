"""What the entrance believes: addresses to go back to, cookies, proxies' addresses."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imtkit.errors import ConfigError, InputError
from imtkit.web.entrance import local_path, network_of
from imtkit.web.visitors import KEPT_SECONDS, Keys, Visitor, person_named

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "///evil.example",
        "http:/evil.example",
        "//[",
        "",
    ],
)
def test_the_way_back_leads_only_to_us(to: str) -> None:
    """Whatever 'next' says, nobody is sent to another site after a login."""
    assert local_path(to) == "/"


@given(st.text(alphabet=st.sampled_from("/\\:.?#@[]%ahtps\t\n\u2028é "), max_size=20))
def test_no_text_is_a_way_out(to: str) -> None:
    """What comes out is a path on this host, as browsers read it."""
    path = local_path(to)
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))
    parts = urlsplit(path)
    assert (parts.scheme, parts.netloc) == ("", "")


def test_our_own_addresses_are_kept() -> None:
    """Path and query survive the login."""
    for path in ("/", "/runs?show=all", "/incidents/INC-2026-0001?timeline=all#gate-x"):
        assert local_path(path) == path


def test_a_cookie_is_ours_or_nothing() -> None:
    """Altered, too old, of another token, or no cookie at all: it names nobody."""
    keys = Keys("one")
    cookie = keys.cookie(Visitor("Ann Example"), NOW)
    known = keys.visitor(cookie, NOW + 60)
    assert known is not None
    assert known.name == "Ann Example"
    packed, _, signature = cookie.partition(".")
    for other in (f"{packed}x.{signature}", f"{packed}.{signature[:-1]}x", f"{packed}."):
        assert keys.visitor(other, NOW) is None, other
    assert keys.visitor(cookie, NOW + KEPT_SECONDS + 1) is None
    assert keys.visitor(cookie, NOW - 60) is None
    assert Keys("two").visitor(cookie, NOW) is None


@given(st.text(max_size=60))
def test_no_text_is_a_cookie_of_ours(text: str) -> None:
    """Nothing that somebody makes up is believed, or breaks anything."""
    assert Keys("one").visitor(text, NOW) is None
    assert not Keys("a longer token").opens(text)


def test_an_empty_token_opens_nothing() -> None:
    """A server without a token lets nobody in by it."""
    assert not Keys("").opens("")


def test_the_csrf_token_is_one_browsers_and_one_servers() -> None:
    """It stays while the browser is known, and differs from anybody else's."""
    keys, browser = Keys("one"), Visitor("", id="b1")
    mine = keys.admitted(browser).csrf
    assert keys.admitted(Visitor("Ann Example", id="b1")).csrf == mine
    others = {
        keys.admitted(Visitor("", id="b2")).csrf,
        keys.admitted(Visitor("", id="b1", way="proxy")).csrf,
        Keys("two").admitted(browser).csrf,
    }
    assert len(others | {mine}) == 4


def test_names_are_peoples() -> None:
    """Trimmed; no machine's, nobody's, none that is longer than names are."""
    assert person_named("  Änn   Example ") == "Änn Example"
    for bad in ("", "anonymous", "automation/rules", "x" * 101, "a\x1b[31mb"):
        with pytest.raises(InputError):
            person_named(bad)


def test_a_proxy_is_an_address_or_a_network() -> None:
    """Anything else is told with the setting's name."""
    assert network_of("127.0.0.1").num_addresses == 1
    assert network_of("10.2.3.4/16").num_addresses == 65536
    with pytest.raises(ConfigError, match="proxies"):
        network_of("proxy.example")
