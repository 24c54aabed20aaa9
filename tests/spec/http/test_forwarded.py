"""Whose address a request bears when proxies stand in front."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primectl.http.forwarded import client_of

NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
PEER = "10.0.0.1:4000"


@pytest.mark.parametrize(
    ("name", "value", "client"),
    [
        ("x-forwarded-for", "203.0.113.7", "203.0.113.7:0"),
        ("x-forwarded-for", "203.0.113.7:99", "203.0.113.7:99"),
        ("x-forwarded-for", " 203.0.113.7 , 10.9.9.9", "203.0.113.7:0"),
        ("x-forwarded-for", "1.2.3.4, 203.0.113.7, 10.9.9.9", "203.0.113.7:0"),
        ("x-forwarded-for", "10.1.1.1, 10.9.9.9", "10.1.1.1:0"),
        ("x-forwarded-for", "2001:db8::7", "[2001:db8::7]:0"),
        ("x-forwarded-for", "[2001:db8::7]:80", "[2001:db8::7]:80"),
        ("x-forwarded-for", "::ffff:203.0.113.7", "203.0.113.7:0"),
        ("x-forwarded-for", "unknown", PEER),
        ("x-forwarded-for", "nonsense, 10.9.9.9", "10.9.9.9:0"),
        ("x-forwarded-for", "", PEER),
        ("x-forwarded-for", ",,", PEER),
        ("x-forwarded-for", "203.0.113.7\u0666", PEER),
        ("forwarded", "for=203.0.113.7", "203.0.113.7:0"),
        ("forwarded", 'For="203.0.113.7:47011";proto=http;by=10.0.0.1', "203.0.113.7:47011"),
        ("forwarded", 'proto=http; for="[2001:db8:cafe::17]:4711"', "[2001:db8:cafe::17]:4711"),
        ("forwarded", "for=192.0.2.43, for=198.51.100.17;by=10.0.0.9, for=10.2.2.2", "198.51.100.17:0"),
        ("forwarded", 'for="_hidden, for=1.2.3.4", for=10.2.2.2', "10.2.2.2:0"),
        ("forwarded", "for=_hidden", PEER),
        ("forwarded", "by=10.0.0.1", PEER),
        ("forwarded", "xfor=203.0.113.7", PEER),
    ],
)
def test_the_first_address_beyond_the_trusted_ones_is_the_client(name: str, value: str, client: str):
    assert client_of(PEER, ((name, value),), NETWORKS) == client


def test_an_untrusted_peer_is_itself_whatever_it_says():
    fields = (("forwarded", "for=1.2.3.4"), ("x-forwarded-for", "1.2.3.4"))
    assert client_of("203.0.113.1:5", fields, NETWORKS) == "203.0.113.1:5"
    assert client_of(PEER, fields, ()) == PEER
    assert client_of("", fields, NETWORKS) == ""


def test_a_trusted_peer_by_ipv6_counts_too():
    assert client_of("[fd00::1]:5", (("x-forwarded-for", "203.0.113.7"),), NETWORKS) == "203.0.113.7:0"


def test_forwarded_goes_before_x_forwarded_for_and_repeated_fields_make_one_list():
    both = (("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=2.2.2.2"))
    assert client_of(PEER, both, NETWORKS) == "2.2.2.2:0"
    repeated = (("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "3.3.3.3, 10.0.0.2"))
    assert client_of(PEER, repeated, NETWORKS) == "3.3.3.3:0"


def test_a_chain_of_thousands_is_read_from_its_near_end():
    assert client_of(PEER, (("x-forwarded-for", "1.1.1.1, " * 5000 + "2.2.2.2"),), NETWORKS) == "2.2.2.2:0"
    assert client_of(PEER, (("forwarded", "for=1.1.1.1, " * 5000 + "for=2.2.2.2"),), NETWORKS) == PEER


@settings(deadline=None)
@given(st.sampled_from(["forwarded", "x-forwarded-for"]), st.text('for="=;,[]:.0123456789 _x', max_size=60))
def test_no_chain_breaks_it(name: str, value: str):
    assert client_of(PEER, ((name, value),), NETWORKS)
