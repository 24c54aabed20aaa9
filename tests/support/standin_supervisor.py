"""A real supervisor over stand-ins: like `python -m supervisor`, with tests/support/standin.py as every process."""

from __future__ import annotations

import sys
from pathlib import Path

from supervisor.__main__ import main
from supervisor.events import Kind

STANDIN = str(Path(__file__).with_name("standin.py"))


def programs() -> dict[Kind, tuple[str, ...]]:
    return {kind: (STANDIN, kind.value) for kind in Kind}


if __name__ == "__main__":
    sys.exit(main(programs()))
