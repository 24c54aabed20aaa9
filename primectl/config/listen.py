"""Where the servers listen: the text of `server.listen` to its parts."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal

from msgspec import Struct

from primectl.config.topology import SOCKET_PATH_LIMIT
from primectl.errors import ConfigError

_ADDRESS = re.compile(r"(https?)://(\[[^\]]*\]|[^:/?#\[\]@]*)(?::([0-9]*))?")
_HOST_NAME = re.compile(r"(?!.{254})[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.I)
_LOOKS_LIKE_IPV4 = re.compile(r"[0-9.]+")


class Listen(Struct, frozen=True):
    """An address to bind: `host` (an IPv6 one without brackets) and `port`, or `path` of a UNIX socket."""

    scheme: Literal["http", "https", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_listen(text: str) -> Listen:
    """The address in `text`. Raises ConfigError for one that nobody could bind; no name is looked up."""
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"))
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ConfigError(
            f'expected "http://host:port", "https://host:port" or "unix:/path", got "{text}"',
            mend="An address has no user, path or query",
        )
    scheme, host, port = match.groups()
    if not port:
        raise ConfigError(f'"{text}" has no port', mend=f'Write "{scheme}://{host}:8000"; port 0 takes a free one')
    if len(port) > 5 or int(port) > 65_535:
        raise ConfigError(f"expected a port from 0 to 65535, got {port}")
    return Listen(scheme="https" if scheme == "https" else "http", host=_host(host), port=int(port))


def _unix(path: str) -> Listen:
    if not path.startswith("/"):
        raise ConfigError(f'expected an absolute path behind "unix:", got "{path}"', mend='Write "unix:/run/my.sock"')
    if path.endswith("/"):
        raise ConfigError(f'expected the path of a socket, got the folder "{path}"', mend="Add the socket's name")
    length = len(path.encode())
    if length > SOCKET_PATH_LIMIT:
        raise ConfigError(
            f"the socket's path has {length} bytes, the system allows {SOCKET_PATH_LIMIT}", mend="Use a shorter path"
        )
    return Listen(scheme="unix", path=path)


def _host(host: str) -> str:
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ConfigError(f'"{host}" is no IPv6 address', mend='Write one such as "[::1]"') from None
    if not host:
        raise ConfigError("the address has no host", mend='Use "127.0.0.1", or "0.0.0.0" for all interfaces')
    if _LOOKS_LIKE_IPV4.fullmatch(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ConfigError(f'"{host}" is no IPv4 address', mend="It has four numbers from 0 to 255") from None
    if not _HOST_NAME.fullmatch(host):
        raise ConfigError(f'"{host}" is no host name', mend='Use "127.0.0.1", or "0.0.0.0" for all interfaces')
    return host
