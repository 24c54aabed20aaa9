"""`primectl tui`: the console."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which

import msgspec
import typer

from primectl.cli import options
from primectl.cli.choose import Selection, chosen_place, selection
from primectl.cli.render import ps_text
from primectl.cli.start import configured, start_detached, started_text
from primectl.cli.terminal import ProgressLine, has_colour, say, tell
from primectl.config.topology import ClusterFile, Place
from primectl.control.client import ControlClient
from primectl.control.running import supervisor_pid
from primectl.wire.stats import ClusterSnapshot
from tui.present.clean import clean

SAMPLE_REQUEST = "/is_prime?possible_prime=7919"
ANSWER_S = 10.0


def tui(ctx: typer.Context, file: options.File = None, cluster: options.ClusterName = None) -> int:
    """Open the console; starts the configured cluster, or the sample, if none is running.

    Without a terminal it shows what the console would: the cluster, and one request answered.
    """
    place = chosen_place(ctx, file, cluster)
    notice = ""
    if supervisor_pid(place) is None:
        place, notice = start(selection(ctx, file, cluster))
    if sys.stdin.isatty() and sys.stdout.isatty():
        from tui.app import run

        return run(place, notice)
    return show_without_terminal(place, notice)


def start(asked: Selection) -> tuple[Place, str]:
    """Start the configured cluster behind the terminal; where it is, and a sentence that says so."""
    loaded, place = configured(asked)
    for warning in loaded.warnings:
        tell(f"warning: {warning}")
    with ProgressLine() as progress:
        started = start_detached(loaded, place, progress)
    origin = "the built-in sample" if loaded.path.endswith("(built in)") else loaded.path
    if started.adopted:
        return place, f"No supervisor was running: {started_text(started)}"
    return place, f"No cluster was running: started {started.cluster} ({origin}) at {started.listen}"


def show_without_terminal(place: Place, notice: str) -> int:
    """The cluster as `ps` shows it, and proof that it answers; fails if it does not."""
    with ControlClient(place) as client:
        snapshot = client.ask("GET", "/cluster", None, ClusterSnapshot)
    if notice:
        say(f"{notice}\n")
    say(ps_text(snapshot, colour=has_colour(sys.stdout)))
    url = sample_url(
        snapshot.front.listen, msgspec.json.decode(Path(place.cluster_file).read_bytes(), type=ClusterFile)
    )
    answered = True
    # `make run` does not put the environment on the path.
    program = sys.argv[0] if sys.argv[0].endswith("primectl") and not which("primectl") else "primectl"
    if url:
        answered, answer = fetch(url)
        say(f"\nGET {url}\n{clean(answer)}")
    say(
        f"\nThis is no terminal, so the console stays closed; cluster {place.cluster} goes on running.\n"
        f"In a terminal `{program} tui` opens it; `{program} ps` and `{program} logs -f` watch, `{program} down` stops."
    )
    return 0 if answered else 1


def sample_url(listen: str, cluster: ClusterFile) -> str:
    """What to ask to see the cluster at work; empty when a plain HTTP client cannot."""
    if not listen.startswith("http://"):
        return ""
    knows_primes = any(route.endswith("/is_prime") for route in cluster.config.routes)
    return f"{listen}{SAMPLE_REQUEST if knows_primes else cluster.config.server.health_path or '/'}"


def fetch(url: str) -> tuple[bool, str]:
    """Whether it was answered (not with 5xx), and the answer as a line."""
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=ANSWER_S)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        response = connection.getresponse()
        return response.status < 500, f"{response.status} {response.read().decode('utf-8', 'replace').strip()}"
    except (OSError, HTTPException) as error:
        return False, f"no answer: {error}"
    finally:
        connection.close()
