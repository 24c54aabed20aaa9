"""A systemd unit for a cluster: pure text. What each line is for stands in the unit itself, where operators read it.

systemd.unit(5), systemd.service(5), systemd.exec(5); written for version 252 and later.
"""

from __future__ import annotations

import re
from math import ceil

from msgspec import Struct

from primectl.config.model import Config
from primectl.config.topology import SERVICES
from primectl.errors import ConfigError

_PLAIN = re.compile(r"[A-Za-z0-9/._-]+")
STOP_MARGIN_S = 15
"""Beyond `stop_timeout`: for SIGTERM and SIGKILL to what has not left by then."""
START_MARGIN_S = 30
"""Beyond the longest `start_timeout`: for trying the handlers, and for the processes of the start."""
WATCHDOG_S = 30


class Service(Struct, frozen=True):
    """What the unit is for. Paths are absolute; `user` is empty in a unit of a user's own manager."""

    config: Config
    python: str
    file: str
    user: str
    state_home: str = ""
    """In a unit of the user's own: $XDG_STATE_HOME of the shell, "" for the default."""
    renamed: bool = False
    """The cluster's name is not the one in the file."""


def unit(service: Service) -> str:
    """The whole file. Raises ConfigError for paths that no unit can name."""
    cluster = service.config.cluster.name
    start_s = ceil(max(pool.start_timeout for pool in service.config.pools.values())) * 2 + START_MARGIN_S
    stop_s = ceil(service.config.supervisor.stop_timeout) + STOP_MARGIN_S
    words = [service.python, "-P", "-m", "primectl", "up", "-f", service.file]
    words += ["-c", cluster] if service.renamed else []
    manager = _system(service, cluster) if service.user else _own(service, cluster)
    return f"""\
{manager.head}
[Unit]
Description=primectl cluster {cluster}
{manager.after}# Tried again for as long as it takes: without its supervisor a cluster serves, but replaces nobody.
StartLimitIntervalSec=0

[Service]
Type=notify
WorkingDirectory={_path(service.file.rpartition("/")[0] or "/")}
ExecStart={" ".join(_word(word) for word in words)}
# New code, pool by pool, while it serves.
ExecReload=/bin/kill -HUP $MAINPID
{manager.service}
Restart=on-failure
RestartSec=1s
# Wrong usage or config: that is not mended by trying again.
RestartPreventExitStatus=2
# Only the supervisor is signalled, and ends all others in order. Should it die itself, the rest must go on: the next
# start takes the running cluster over, and no request is lost.
# (`primectl down` ends what a stop that took longer than TimeoutStopSec= has left.)
KillMode=process
# A worker that the kernel kills for its memory is replaced by the supervisor.
OOMPolicy=continue
# All pools have imported their handlers by then.
TimeoutStartSec={start_s}s
# supervisor.stop_timeout, and some for what has to be killed.
TimeoutStopSec={stop_s}s
# A supervisor that hangs is killed; the next one takes over.
WatchdogSec={WATCHDOG_S}s
# Handlers do not gain rights by setuid programs. Further hardening is for who knows what they do.
NoNewPrivileges=yes

[Install]
WantedBy={manager.target}
"""


class _Manager(Struct, frozen=True):
    """What is different for the system's manager and a user's manager."""

    head: str
    after: str
    service: str
    target: str


def _system(service: Service, cluster: str) -> _Manager:
    name = f"primectl-{cluster}.service"
    return _Manager(
        head=(
            f"# {name}: put it into /etc/systemd/system, then `systemctl daemon-reload` and\n"
            f"# `systemctl enable --now {name}`. `primectl ps` of user {service.user} finds the cluster.\n"
        ),
        after="Wants=network-online.target\nAfter=network-online.target\n",
        service=(
            f"User={_unit_text(service.user)}\n"
            "# Where the cluster has its sockets, kept while it is started again, and its logs and journal.\n"
            f"RuntimeDirectory=primectl/{cluster}\n"
            "RuntimeDirectoryMode=0700\n"
            "RuntimeDirectoryPreserve=yes\n"
            f"StateDirectory=primectl/{cluster}\n"
            "StateDirectoryMode=0700\n"
            f"Environment={' '.join(f'{name}={value}' for name, value in SERVICES.items())}\n"
            "# The system itself is not the handlers' to change.\n"
            "ProtectSystem=yes\n"
            "ProtectKernelTunables=yes\n"
            "ProtectKernelModules=yes"
        ),
        target="multi-user.target",
    )


def _own(service: Service, cluster: str) -> _Manager:
    name = f"primectl-{cluster}.service"
    state = f'Environment="XDG_STATE_HOME={_quotable(service.state_home)}"' if service.state_home else ""
    return _Manager(
        head=(
            f"# {name}: put it into ~/.config/systemd/user, then `systemctl --user daemon-reload` and\n"
            f"# `systemctl --user enable --now {name}`. `loginctl enable-linger` has it run without a login.\n"
        ),
        after="",
        service=f"# Where the cluster has its sockets, and its logs and journal, is as in a shell.\n{state}".rstrip(
            "\n"
        ),
        target="default.target",
    )


def _word(text: str) -> str:
    """A word of ExecStart=, with nothing in it that systemd would expand."""
    return text if _PLAIN.fullmatch(text) else f'"{_quotable(text).replace("$", "$$")}"'


def _quotable(text: str) -> str:
    return _unit_text(text).replace("\\", "\\\\").replace('"', '\\"')


def _path(text: str) -> str:
    """A value that is one path: without quotes, to the end of its line."""
    if text != text.strip() or text.endswith("\\"):
        raise ConfigError(f'"{text}" cannot be named in a unit', mend="Rename the folder: its end would be cut off")
    return _unit_text(text)


def _unit_text(text: str) -> str:
    if not text.isprintable():
        raise ConfigError(f"{text!r} cannot be named in a unit", mend="Move it to a path of printable characters")
    return text.replace("%", "%%")
