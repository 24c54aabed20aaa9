"""Where to ask: the text of a URL to its parts."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from primectl.errors import ConfigError

_PORTS = {"http": 80, "https": 443}


class Address(Struct, frozen=True):
    """A `host` (an IPv6 one without brackets) and `port`, or the `path` of a UNIX socket.

    `authority` is what a request says in its Host field.
    """

    scheme: Literal["http", "https", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""
    authority: str = "localhost"


def parse_address(url: str) -> Address:
    """The address in `url`. Raises ConfigError; no name is looked up."""
    if url.startswith("unix:/"):
        return Address("unix", path=url.removeprefix("unix:"))
    expected = f'expected "http://host:port", "https://host:port" or "unix:/path", got "{url}"'
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")  # what looks it up does the same, and has no better words
    except ValueError:
        raise ConfigError(expected) from None
    scheme: Literal["http", "https"]
    if parts.scheme == "http":
        scheme = "http"
    elif parts.scheme == "https":
        scheme = "https"
    else:
        raise ConfigError(expected)
    if not parts.hostname or not parts.netloc.isascii() or any(map(str.isspace, url)) or port == 0:
        raise ConfigError(expected)
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(expected, mend="It has no user, path or query")
    return Address(scheme, parts.hostname, port or _PORTS[scheme], authority=parts.netloc)
