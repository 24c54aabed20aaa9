"""`python -m primectl`: the same as the `primectl` command."""

import sys

from primectl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
