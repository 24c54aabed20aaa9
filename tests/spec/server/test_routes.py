"""The route table: which pool a request goes to, and what is said when none."""

from __future__ import annotations

import json

import pytest

from primectl.config.routes import parse_route, shadowed
from primectl.errors import ConfigError
from primectl.server.routes import Match, NoRoute, Options, RouteTable, WrongMethod, respond


def test_an_exact_path_finds_its_pool():
    table = RouteTable({"GET,POST /is_prime": "parse"})
    assert table.find("GET", "/is_prime") == Match("parse")
    assert table.find("POST", "/is_prime?possible_prime=7") == Match("parse")


def test_a_path_of_no_route_finds_none():
    table = RouteTable({"GET /is_prime": "parse"})
    for path in ("/", "/is_prime/", "/is_prim", "/is_prime/x", "//is_prime", "/IS_PRIME", "", "x"):
        assert table.find("GET", path) == NoRoute(), path


def test_an_empty_table_has_no_route():
    assert RouteTable({}).find("GET", "/") == NoRoute()


def test_parameters_take_one_segment_each_decoded():
    table = RouteTable({"GET /users/{id}/posts/{post}": "users"})
    assert table.find("GET", "/users/7/posts/a%20b") == Match("users", {"id": "7", "post": "a b"})
    assert table.find("GET", "/users/7/posts/") == NoRoute()
    assert table.find("GET", "/users/7/posts/8/9") == NoRoute()


def test_an_escaped_slash_parts_no_segments():
    table = RouteTable({"/users/{id}": "users", "/a/b": "two"})
    assert table.find("GET", "/users/a%2Fb") == Match("users", {"id": "a/b"})
    assert table.find("GET", "/a%2Fb") == NoRoute()


def test_escapes_are_decoded_once():
    table = RouteTable({"/users/{id}": "users", "/café": "bar", "/a%20b": "space"})
    assert table.find("GET", "/users/%2525") == Match("users", {"id": "%25"})
    assert table.find("GET", "/caf%C3%A9") == Match("bar")
    assert table.find("GET", "/%61%20b") == Match("space")


def test_malformed_escapes_stay_as_they_are():
    assert RouteTable({"/{x}": "p"}).find("GET", "/100%") == Match("p", {"x": "100%"})


def test_dot_segments_are_segments_like_others():
    table = RouteTable({"/files/*": "files", "/secret": "secret"})
    assert table.find("GET", "/files/../secret") == Match("files")
    assert table.find("GET", "/./secret") == NoRoute()


def test_a_prefix_takes_everything_below_and_not_itself():
    table = RouteTable({"/files/*": "files"})
    assert [table.find("PUT", path) for path in ("/files/", "/files/a", "/files/a/b//")] == [Match("files")] * 3
    assert table.find("GET", "/files") == NoRoute()


def test_a_prefix_of_nothing_takes_all_paths():
    table = RouteTable({"/*": "all"})
    assert [table.find("GET", path) for path in ("/", "/a", "/a/b")] == [Match("all")] * 3


def test_exact_beats_parameter_beats_prefix_in_any_order_of_keys():
    keys = {"/x/*": "prefix", "/x/{id}": "parameter", "/x/me": "exact", "/{a}/{b}": "loose"}
    for routes in (keys, dict(reversed(keys.items()))):
        table = RouteTable(routes)
        assert table.find("GET", "/x/me") == Match("exact")
        assert table.find("GET", "/x/7") == Match("parameter", {"id": "7"})
        assert table.find("GET", "/x/7/8") == Match("prefix")
        assert table.find("GET", "/y/8") == Match("loose", {"a": "y", "b": "8"})


def test_a_parameter_route_beats_a_prefix_that_begins_with_more_text():
    table = RouteTable({"/x/*": "prefix", "/{a}/{b}": "parameter"})
    assert table.find("GET", "/x/y") == Match("parameter", {"a": "x", "b": "y"})


def test_the_longest_prefix_wins_and_may_hold_parameters():
    table = RouteTable({"/*": "all", "/a/*": "a", "/a/{x}/files/*": "deep", "/{y}/*": "loose"})
    assert table.find("GET", "/a/7/files/z") == Match("deep", {"x": "7"})
    assert table.find("GET", "/a/7/other") == Match("a")
    assert table.find("GET", "/b/7") == Match("loose", {"y": "b"})
    assert table.find("GET", "/b") == Match("all")


def test_the_wrong_method_is_told_the_right_ones():
    table = RouteTable({"GET,POST /is_prime": "parse", "PUT /u/{id}": "u"})
    assert table.find("DELETE", "/is_prime") == WrongMethod("GET, HEAD, OPTIONS, POST")
    assert table.find("GET", "/u/7") == WrongMethod("OPTIONS, PUT")


def test_methods_are_told_apart_by_case():
    assert RouteTable({"GET /x": "p"}).find("get", "/x") == WrongMethod("GET, HEAD, OPTIONS")


def test_a_route_without_methods_takes_any_token():
    assert RouteTable({"/x": "p"}).find("BREW", "/x") == Match("p")


def test_keys_of_one_path_share_it_by_method():
    table = RouteTable({"GET /x": "read", "POST /x": "write", "/x": "rest"})
    assert [table.find(method, "/x").pool for method in ("GET", "POST", "HEAD", "PUT", "OPTIONS")] == [  # type: ignore[union-attr]
        "read",
        "write",
        "read",
        "rest",
        "rest",
    ]


def test_a_method_that_an_exact_route_refuses_is_left_to_a_looser_one():
    table = RouteTable({"GET /u/me": "me", "POST /u/{id}": "user", "DELETE /u/*": "below"})
    assert table.find("POST", "/u/me") == Match("user", {"id": "me"})
    assert table.find("DELETE", "/u/me") == Match("below")
    assert table.find("PUT", "/u/me") == WrongMethod("DELETE, GET, HEAD, OPTIONS, POST")


def test_head_is_served_where_get_is_unless_a_key_names_it():
    assert RouteTable({"GET /x": "get"}).find("HEAD", "/x") == Match("get")
    assert RouteTable({"GET /x/{y}": "get"}).find("HEAD", "/x/1") == Match("get", {"y": "1"})
    assert RouteTable({"GET /x": "get", "HEAD /x": "head"}).find("HEAD", "/x") == Match("head")


def test_options_is_answered_here_unless_a_key_names_it():
    table = RouteTable({"GET /x": "get", "OPTIONS,POST /y": "y"})
    assert table.find("OPTIONS", "/x") == Options("GET, HEAD, OPTIONS")
    assert table.find("OPTIONS", "/y") == Match("y")
    assert table.find("OPTIONS", "/z") == NoRoute()
    assert table.find("OPTIONS", "*") == Options("GET, HEAD, OPTIONS, POST")


def test_thousands_of_segments_are_looked_up_like_few():
    table = RouteTable({"/a/{b}/*": "p", "/{x}/{y}": "q"})
    assert table.find("GET", "/a" * 4000) == Match("p", {"b": "a"})
    assert table.find("GET", "/b" * 4000) == NoRoute()


def test_every_mistake_of_every_key_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        RouteTable({"get, /a b": "p", "GET": "q", "GET /fine": "r"})
    assert str(caught.value).splitlines() == [
        'routes."get, /a b": "get" would never match: methods are told apart by case. Write GET',
        'routes."get, /a b": a method is missing beside a comma. Write methods as "GET,POST"',
        """routes."get, /a b": the path holds ' '. A path has no spaces, no query and no fragment""",
        'routes."GET": the path does not begin with /. Write "GET /path", or "/path" for any method',
    ]


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("", "there is no path"),
        ("GET x", "the path does not begin with /"),
        ("GET/x", 'no space stands between "GET" and the path'),
        ("GET,GET /x", "GET is named twice"),
        ("G@T /x", '"G@T" is no method'),
        ("/a//b", "the path has an empty segment"),
        ("//*", "the path has an empty segment"),
        ("/{a}/{a}", "the parameter {a} stands twice"),
        ("/x{y}", '"x{y}" is no parameter'),
        ("/{1}", '"{1}" is no parameter'),
        ("/{}", '"{}" is no parameter'),
        ("/a*", '"*" cannot stand in "a*"'),
        ("/*/b", '"*" cannot stand in "*"'),
        ("/a?b", "the path holds '?'"),
        ("/a#b", "the path holds '#'"),
        ("/a\nb", "the path holds '\\n'"),
    ],
)
def test_a_malformed_key_is_refused_in_words(key: str, complaint: str):
    with pytest.raises(ConfigError) as caught:
        parse_route(key)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith(f'routes."{key}": ')


def test_a_route_that_others_cover_wholly_is_shadowed():
    pairs = shadowed({
        "/u/{id}": "a",
        "/u/{name}": "b",
        "GET /x": "a",
        "POST /x": "b",
        "GET,POST /x": "c",
        "/a%20b": "a",
        "/%61%20b": "b",
        "/p/{x}/*": "a",
        "/p/{y}/*": "b",
    })  # fmt: skip
    assert pairs == [
        ("/u/{name}", "/u/{id}"),
        ("GET,POST /x", "GET /x"),
        ("/%61%20b", "/a%20b"),
        ("/p/{y}/*", "/p/{x}/*"),
    ]


def test_routes_that_keep_something_for_themselves_are_not_shadowed():
    routes = ["GET /x", "GET,POST /x", "/x", "/x/", "/{a}", "/*", "/x/*", "HEAD /x", "/x/{a}", "not a key"]
    assert shadowed(routes) == []


def test_the_answers_of_the_table_itself():
    missing = respond(NoRoute(), "r1")
    assert (missing.status, json.loads(missing.body)["request_id"]) == (404, "r1")
    wrong = respond(WrongMethod("GET, HEAD"), "r1")
    assert (wrong.status, wrong.fields[-1]) == (405, ("allow", "GET, HEAD"))
    assert respond(Options("GET"), "r1").fields == (("allow", "GET"),)
    assert respond(Options("GET"), "r1").status == 204
