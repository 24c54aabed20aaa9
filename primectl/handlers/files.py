"""Serves the files of one folder, and nothing outside it.

Environment: FILES_ROOT (default: the small site beside this module), FILES_PREFIX (the part of the path that stands
for the folder, such as "/static"; default none), FILES_MAX_BYTES (default 64 MiB).

A path is split at its slashes first and each segment decoded after, once: an escaped slash or a twice escaped dot
never becomes part of the way to a file. Symbolic links are followed as long as they end inside the folder. Names that
begin with a dot are not served, but for .well-known (RFC 8615).
"""

from __future__ import annotations

import mimetypes
import os
import stat
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes

from primectl.message import HTTPError, Job, Request, Response

INDEX = "index.html"
ROOT = Path(os.environ.get("FILES_ROOT") or Path(__file__).with_name("site")).resolve()
PREFIX = os.environ.get("FILES_PREFIX", "").rstrip("/")
MAX_BYTES = int(os.environ.get("FILES_MAX_BYTES", 64 << 20))

_MISSING = "there is no such file here"


def files(request: Request, job: Job) -> Response:
    """The file that the path names: 200, 304 if the client has it already, 301 for a folder without its slash."""
    return serve(request, ROOT, PREFIX, MAX_BYTES)


def serve(request: Request, root: Path, prefix: str = "", max_bytes: int = 64 << 20) -> Response:
    """As `files`, for any folder; `root` is absolute and resolved. Raises HTTPError."""
    if request.method not in ("GET", "HEAD"):
        raise HTTPError(405, "files are read with GET", {"Allow": "GET, HEAD"})
    raw, question, query = request.target.partition("?")
    if not (raw == prefix or raw.startswith(f"{prefix}/")):
        raise HTTPError(404, _MISSING)
    segments = _segments(raw.removeprefix(prefix))
    file = _inside(root, segments)
    if file.is_dir():
        if not raw.endswith("/"):
            return Response.text("", 301, {"Location": f"{raw}/{question}{query}"})
        file = _inside(root, [*segments, INDEX])
    elif raw.endswith("/"):
        raise HTTPError(404, _MISSING)
    return _answer(request, file, max_bytes)


def _segments(path: str) -> list[str]:
    """The decoded names on the way to a file. Raises HTTPError for what is no plain way down."""
    names = path.split("/")[1:]
    if names and not names[-1]:
        names.pop()
    return [_name(unquote_to_bytes(name)) for name in names]


def _name(raw: bytes) -> str:
    hidden = raw.startswith(b".") and raw != b".well-known"
    if not raw or hidden or b"/" in raw or b"\0" in raw:
        raise HTTPError(404, _MISSING)
    return os.fsdecode(raw)


def _inside(root: Path, names: list[str]) -> Path:
    """The file itself, behind all links. Raises HTTPError when it is not there, or not inside `root`."""
    try:
        file = root.joinpath(*names).resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        raise HTTPError(404, _MISSING) from None
    if not file.is_relative_to(root):
        raise HTTPError(404, _MISSING)
    return file


def _answer(request: Request, file: Path, max_bytes: int) -> Response:
    # Not blocking: a named pipe without a writer would hold the worker for ever.
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise HTTPError(404, _MISSING) from None
    with open(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise HTTPError(404, _MISSING)
        if status.st_size > max_bytes:
            raise HTTPError(403, f"the file has more than the {max_bytes} bytes that are served")
        headers = {
            "ETag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"',
            "Last-Modified": formatdate(status.st_mtime, usegmt=True),
            "X-Content-Type-Options": "nosniff",
        }
        if _client_has_it(request, headers["ETag"], status.st_mtime):
            return Response(304, tuple(headers.items()))
        return Response.data(stream.read(max_bytes), _content_type(file.name), headers=headers)


def _client_has_it(request: Request, etag: str, modified: float) -> bool:
    """RFC 9110 13.2.2: If-None-Match decides where it is given, else If-Modified-Since."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return int(modified) <= parsedate_to_datetime(since).timestamp()
    except ValueError:
        return False


def _content_type(name: str) -> str:
    kind, encoding = mimetypes.guess_type(name, strict=False)
    if kind is None or encoding is not None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind == "application/javascript" else kind
