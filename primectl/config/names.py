"""What names may look like, as regular expressions that JSON Schema understands too. Match them whole."""

from __future__ import annotations

CLUSTER_NAME = "[a-z0-9][a-z0-9_-]{0,30}"
POOL_NAME = "[a-z][a-z0-9_-]{0,30}"
ENV_NAME = "[A-Za-z_][A-Za-z0-9_]*"
