"""§ Where a replay goes: the cluster's own front, or what --to says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from primectl.cli.choose import require_running
from primectl.clock import SystemClock
from primectl.config.model import Config
from primectl.config.topology import ClusterFile, Place
from primectl.control.client import SNAPSHOTS, ControlClient, Feed
from primectl.control.running import supervisor_pid
from primectl.errors import ChannelLost, ConfigError
from primectl.http.address import parse_address
from primectl.journal import brake
from primectl.journal.brake import Brake, Figures
from primectl.journal.sender import Target
from primectl.wire.stats import ClusterSnapshot, SnapshotPublished

_EVERYWHERE: Mapping[str, str] = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  not bound: asked in its place
_RECORDING = "recording"


class Aim(Struct, frozen=True):
    """`own`: it is the cluster whose requests these are, with this config; then its journal has the answers of now if
    it `records`."""

    target: Target
    own: bool = False
    records: bool = False
    config: Config | None = None


def aim(place: Place, to: str | None, brakes: Sequence[Brake]) -> Aim:
    """Raises ConfigError for a target that is none and a brake that it cannot have, ChannelLost where without --to
    no cluster runs."""
    if to is not None:
        parse_address(to)
    if to is None:
        require_running(place)
    snapshot = _snapshot(place, needed=to is None)
    listen = asked_at(snapshot.front.listen) if snapshot is not None and snapshot.front.listen else ""
    if to is None and not listen:
        raise ChannelLost(f"cluster {place.cluster} does not listen yet", mend="`primectl ps` shows what it waits for")
    if snapshot is None or (to is not None and to.rstrip("/") not in (listen, snapshot.front.listen)):
        for each in brakes:
            if each.needs_cluster:
                what = f"{each.field} is known of the cluster's own front only, not of {to}"
                raise ConfigError(what, f"--stop-if {each.text}")
        return Aim(Target(to or ""))
    brake.check_pools(brakes, [pool.name for pool in snapshot.pools])
    config = msgspec.json.decode(Path(place.cluster_file).read_bytes(), type=ClusterFile).config
    certificate = config.server.certificate if listen.startswith("https:") else ""
    return Aim(Target(listen, certificate), True, snapshot.journal.state == _RECORDING, config)


def asked_at(listen: str) -> str:
    """The URL to ask of one to listen at: who listens everywhere is asked on this host."""
    address = parse_address(listen)
    host = _EVERYWHERE.get(address.host)
    if host is None:
        return listen
    return f"{address.scheme}://{f'[{host}]' if ':' in host else host}:{address.port}"


class Watch:
    """The cluster's figures as they come by its feed, for brakes."""

    def __init__(self, place: Place) -> None:
        self._feed = Feed(place, [SNAPSHOTS])
        self._clock = SystemClock()
        self._heard = self._clock.monotonic()
        self._figures = Figures({})

    def __call__(self) -> Figures:
        """The newest ones, and how old they are."""
        for message in self._feed.receive():
            if isinstance(message, SnapshotPublished):
                snapshot = message.snapshot
                self._heard = self._clock.monotonic()
                self._figures = Figures({pool.name: pool.queued for pool in snapshot.pools}, snapshot.front.in_flight)
        return structs.replace(self._figures, age_s=self._clock.monotonic() - self._heard)

    def close(self) -> None:
        self._feed.close()


def _snapshot(place: Place, *, needed: bool) -> ClusterSnapshot | None:
    """What the cluster says of itself; None where it is not `needed` and does not answer."""
    if not needed and supervisor_pid(place) is None:
        return None
    with suppress(*(() if needed else (ChannelLost,))), ControlClient(place) as client:
        return client.ask("GET", "/cluster", None, ClusterSnapshot)
    return None
