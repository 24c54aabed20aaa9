"""How much a client may send, and how slowly."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Protocol, Self

from msgspec import Struct

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Limited(Protocol):
    """What `[server]` of the config file says about limits; see `config.model.ServerConfig`."""

    @property
    def max_request_size(self) -> int: ...
    @property
    def max_header_size(self) -> int: ...
    @property
    def max_headers(self) -> int: ...
    @property
    def max_url_size(self) -> int: ...
    @property
    def header_timeout(self) -> float: ...
    @property
    def body_timeout(self) -> float: ...
    @property
    def keep_alive_timeout(self) -> float: ...
    @property
    def trusted_proxies(self) -> Sequence[str]: ...


class HttpLimits(Struct, frozen=True, kw_only=True):
    """Sizes are bytes, timeouts seconds; the defaults are those of the config file."""

    max_request_size: int = 10 << 20
    max_header_size: int = 64 << 10
    """All header fields of a request with their line ends, and once more all trailer fields of its body."""
    max_headers: int = 128
    max_url_size: int = 8 << 10
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    keep_alive_timeout: float = 75.0
    max_pipeline: int = 64
    """Requests of one connection that are open at once; further ones wait unparsed."""
    max_output: int = 1 << 20
    """Bytes of finished answers that a connection holds before it stops taking requests."""
    max_extensions: int = 16 << 10
    """Bytes of chunk extensions in one body."""
    trusted_proxies: tuple[Network, ...] = ()

    @classmethod
    def from_config(cls, server: Limited) -> Self:
        """The limits of a checked config. Raises ValueError for a network that is none."""
        return cls(
            max_request_size=server.max_request_size,
            max_header_size=server.max_header_size,
            max_headers=server.max_headers,
            max_url_size=server.max_url_size,
            header_timeout=server.header_timeout,
            body_timeout=server.body_timeout,
            keep_alive_timeout=server.keep_alive_timeout,
            trusted_proxies=tuple(ipaddress.ip_network(text, strict=False) for text in server.trusted_proxies),
        )
