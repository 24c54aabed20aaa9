"""The sample `files`: what is served, and that nothing outside the folder is."""

import os
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.handlers.files import ROOT, files, serve
from primectl.message import Headers, HTTPError, Job, Request, Response

SECRET = b"a secret outside the folder"
MODIFIED = 1_700_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder to serve, beside a secret."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "bare").mkdir()
    (folder / ".well-known").mkdir()
    for name, content in {
        "index.html": b"<p>hello",
        "sub/index.html": b"<p>sub",
        "a b.txt": b"spaced",
        "é.json": b"{}",
        "%2e%2e": b"an odd name",
        "page.tar.gz": b"packed",
        "noname": b"?",
        ".env": SECRET,
        ".well-known/security.txt": b"mail us",
    }.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (MODIFIED, MODIFIED))
    return folder.resolve()


def get(root: Path, target: str, fields: Headers = (), method: str = "GET", **options: str | int) -> Response:
    return serve(Request(method, target, fields), root, **options)  # type: ignore[arg-type]


def status_of(root: Path, target: str, **options: str | int) -> int:
    try:
        return get(root, target, **options).status
    except HTTPError as error:
        return error.status


def header(answer: Response, name: str) -> str | None:
    return {key.lower(): value for key, value in answer.fields}.get(name)


@pytest.mark.parametrize(
    ("target", "body", "kind"),
    [
        ("/", b"<p>hello", "text/html; charset=utf-8"),
        ("/index.html?x=1", b"<p>hello", "text/html; charset=utf-8"),
        ("/sub/", b"<p>sub", "text/html; charset=utf-8"),
        ("/a%20b.txt", b"spaced", "text/plain; charset=utf-8"),
        ("/%C3%A9.json", b"{}", "application/json"),
        ("/page.tar.gz", b"packed", "application/octet-stream"),
        ("/noname", b"?", "application/octet-stream"),
        ("/.well-known/security.txt", b"mail us", "text/plain; charset=utf-8"),
    ],
)
def test_a_file_is_served_with_its_type(root: Path, target: str, body: bytes, kind: str) -> None:
    answer = get(root, target)
    assert (answer.status, answer.body, header(answer, "content-type")) == (200, body, kind)
    assert header(answer, "last-modified") == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert header(answer, "x-content-type-options") == "nosniff"


def test_the_folder_that_comes_along_is_served_by_default(job: Job) -> None:
    assert files(Request("GET", "/"), job).body == (ROOT / "index.html").read_bytes()
    assert files(Request("GET", "/notes/"), job).status == 200


@pytest.mark.parametrize("target", ["/sub", "/sub?x=1"])
def test_a_folder_without_its_slash_is_sent_there(root: Path, target: str) -> None:
    answer = get(root, target)
    assert (answer.status, header(answer, "location")) == (301, target.replace("/sub", "/sub/"))


@pytest.mark.parametrize(
    "target",
    ["/nothing", "/bare/", "/noname/", "/index.html/x", "//index.html", "/sub//index.html", "/" + "x" * 5000, "*"],
)
def test_what_is_not_there_is_404(root: Path, target: str) -> None:
    assert status_of(root, target) == 404


# --- what wants out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/sub/../index.html",
        "/..",
        "/.",
        "/./index.html",
        "/%2e%2e/secret.txt",
        "/%2E%2E/secret.txt",
        "/.%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/sub%2f..%2f..%2fsecret.txt",
        "/sub%2findex.html",
        "/%252e%252e/secret.txt",
        "/%252e%252e%252fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/%2fetc/passwd",
        "//etc/passwd",
        "/%00",
        "/index.html%00.txt",
        "/..;/secret.txt",
        "/%u002e%u002e/secret.txt",
        "/.env",
        "/%2eenv",
        "../secret.txt",
        "/~root",
        "/%ff%fe",
    ],
)
def test_no_way_leads_out_of_the_folder_nor_to_hidden_names(root: Path, target: str) -> None:
    assert status_of(root, target) == 404


def test_an_absolute_path_leads_nowhere(root: Path) -> None:
    secret = root.parent / "secret.txt"
    for target in (
        str(secret),
        f"/{secret}",
        str(secret).replace("/", "%2f"),
        f"/{str(secret)[1:].replace('/', '%2f')}",
    ):
        assert status_of(root, target) == 404


def test_a_twice_escaped_dot_is_a_name_like_any_other(root: Path) -> None:
    assert get(root, "/%252e%252e").body == b"an odd name"


def test_a_link_is_followed_inside_the_folder_only(root: Path) -> None:
    (root / "inside.html").symlink_to("index.html")
    (root / "outside.txt").symlink_to("../secret.txt")
    (root / "absolute.txt").symlink_to(root.parent / "secret.txt")
    (root / "up").symlink_to("..")
    (root / "circle").symlink_to("circle")
    (root / "bare" / "index.html").symlink_to(root.parent / "secret.txt")
    assert get(root, "/inside.html").body == b"<p>hello"
    for target in ("/outside.txt", "/absolute.txt", "/up/secret.txt", "/up/", "/circle", "/bare/"):
        assert status_of(root, target) == 404


def test_a_folder_beside_that_begins_alike_is_outside(root: Path) -> None:
    beside = root.with_name("root-of-others")
    beside.mkdir()
    (beside / "x").write_bytes(SECRET)
    (root / "link").symlink_to(beside)
    assert status_of(root, "/link/x") == 404


def test_a_named_pipe_is_no_file_and_keeps_nobody_waiting(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert status_of(root, "/pipe") == 404


@given(st.lists(st.sampled_from(["..", ".", "/", "%2e", "%2f", "%252e", "sub", "secret.txt", "%00", "\\", "?", "é"])))
def test_whatever_the_path_is_made_of_the_secret_stays(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    root = tmp_path_factory.getbasetemp() / "fixed" / "root"
    (root / "sub").mkdir(parents=True, exist_ok=True)
    (root.parent / "secret.txt").write_bytes(SECRET)
    target = "/" + "".join(parts)
    assert status_of(root.resolve(), target) in (200, 301, 404)
    with suppress(HTTPError):
        assert SECRET not in get(root.resolve(), target).body


# --- what the client has already --------------------------------------------------------------------------------------


def test_a_file_that_the_client_has_is_not_sent_again(root: Path) -> None:
    first = get(root, "/noname")
    etag = header(first, "etag")
    assert etag
    for tags in (etag, f'"x", W/{etag}', "*"):
        again = get(root, "/noname", (("If-None-Match", tags),))
        assert (again.status, again.body, header(again, "etag")) == (304, b"", etag)
    assert get(root, "/noname", (("If-None-Match", '"x"'),)).status == 200
    (root / "noname").write_bytes(b"changed")
    assert get(root, "/noname", (("If-None-Match", etag),)).body == b"changed"


def test_without_a_tag_the_time_decides(root: Path) -> None:
    def status(moment: str, tag: Headers = ()) -> int:
        return get(root, "/noname", (("If-Modified-Since", moment), *tag)).status

    assert status(formatdate(MODIFIED, usegmt=True)) == 304
    assert status(formatdate(MODIFIED - 1, usegmt=True)) == 200
    assert status("yesterday") == 200
    assert status(formatdate(MODIFIED, usegmt=True), (("If-None-Match", '"x"'),)) == 200


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_file_above_the_limit_is_refused(root: Path) -> None:
    assert status_of(root, "/noname", max_bytes=1) == 200
    with pytest.raises(HTTPError, match="the file has more than the 0 bytes that are served"):
        get(root, "/noname", max_bytes=0)


def test_a_prefix_stands_for_the_folder(root: Path) -> None:
    assert get(root, "/static/noname", prefix="/static").body == b"?"
    assert header(get(root, "/static", prefix="/static"), "location") == "/static/"
    for target in ("/noname", "/staticnoname", "/static/../secret.txt"):
        assert status_of(root, target, prefix="/static") == 404


def test_files_are_only_read(root: Path) -> None:
    assert get(root, "/noname", method="HEAD").body == b"?"
    with pytest.raises(HTTPError) as caught:
        get(root, "/noname", method="DELETE")
    assert (caught.value.status, caught.value.headers) == (405, {"Allow": "GET, HEAD"})
