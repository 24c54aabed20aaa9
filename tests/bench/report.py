"""One line of JSON a result: what was asked, with which parameters, on what."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

LIBRARIES = ("pyzmq", "uvloop", "msgspec", "httptools")


def report(question: str, subject: str, parameters: Mapping[str, Any], figures: Mapping[str, Any], *, n: int) -> None:
    """Print a result; units stand in the names of the figures, rates are per second."""
    told = {
        "question": question,
        "subject": subject,
        "n": n,
        **figures,
        "parameters": dict(parameters),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }
    print(json.dumps(told), flush=True)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of all lies, 0.5 for the median."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]
