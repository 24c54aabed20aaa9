"""Who the client is when the peer is a proxy in front of us (RFC 7239, and X-Forwarded-For, which came before it)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from primectl.http.limits import Network
from primectl.message import Headers

_FOR = re.compile(r"(?:^|;)[ \t]*for=(?:\"([^\"]*)\"|([^\";, \t]+))[ \t]*(?=;|$)", re.IGNORECASE)
_SPLIT = re.compile(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)")
_LONGEST_CHAIN = 32

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_of(peer: str, fields: Headers, networks: Sequence[Network]) -> str:
    """The client as "address:port", from what trusted proxies say; `peer` itself where there is none to trust.

    The chain is read from its near end: each hop is believed only about the one before it, so the first address that
    is in none of `networks` is the client, whatever it claims further on. A hop that cannot be read ends the chain.
    `Forwarded` is preferred where both are sent. The port is 0 where a proxy did not tell it.
    """
    node = _node(peer)
    if node is None or not _trusted(node[0], networks):
        return peer
    client = peer
    for hop in reversed(_chain(fields)):
        node = _node(hop)
        if node is None:
            return client
        address, port = node
        client = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
        if not _trusted(address, networks):
            return client
    return client


def _chain(fields: Headers) -> list[str]:
    """The hops as they are named, farthest first; those nearest to us are kept where there are too many."""
    forwarded = ",".join(value for name, value in fields if name == "forwarded")
    if forwarded:
        if len(forwarded) > 64 * _LONGEST_CHAIN:
            return []
        found = (_FOR.search(element.strip()) for element in _SPLIT.split(forwarded))
        return [(match[1] or match[2] or "") if match else "" for match in found]
    listed = ",".join(value for name, value in fields if name == "x-forwarded-for")
    return [hop.strip() for hop in listed.rsplit(",", _LONGEST_CHAIN)[-_LONGEST_CHAIN:]] if listed else []


def _node(text: str) -> tuple[Address, int] | None:
    """An address with or without a port, or None for anything else ("unknown", "_hidden", nonsense)."""
    host, port = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address, number


def _trusted(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
