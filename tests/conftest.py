"""What holds for every test, in each process of pytest."""

from __future__ import annotations

import signal

# A shell that runs the tests in the background has them ignore SIGINT, and whatever they start would inherit that:
# Ctrl-C is part of what is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
