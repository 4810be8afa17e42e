"""Names without a server: literals, the host's own, localhost, the hosts file."""

import os
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest

from pystack.sockets import resolve as module
from pystack.sockets.resolve import hosts_file, resolve

HOSTS = """\
# a comment
192.0.2.7   server.example server   # trailing
2001:db8::7 server.example
192.0.2.8   server.example
nonsense    broken.example
2001:db8::9 six.example
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "hosts"
    path.write_text(HOSTS)
    monkeypatch.setattr(module, "hosts_file", lambda: path)
    return path


@pytest.mark.parametrize("literal", ["192.0.2.1", b"192.0.2.1", IPv4Address("192.0.2.1")])
def test_literals_are_themselves(literal: str | bytes | IPv4Address) -> None:
    assert resolve(literal) == [ip_address("192.0.2.1")]


def test_the_special_names_of_the_standard_library() -> None:
    assert resolve("") == [IPv4Address("0.0.0.0")]
    assert resolve("", versions=(6,)) == [IPv6Address("::")]
    assert resolve("<broadcast>") == [IPv4Address("255.255.255.255")]


@pytest.mark.parametrize("name", ["localhost", "LocalHost", "localhost.", "app.localhost"])
def test_localhost_is_the_loopback_address(name: str) -> None:
    assert resolve(name) == [IPv4Address("127.0.0.1")]
    assert resolve(name, versions=(6, 4)) == [IPv4Address("127.0.0.1"), IPv6Address("::1")]


def test_the_hosts_file_knows_names_and_aliases_in_its_order() -> None:
    assert resolve("server.example") == [ip_address("192.0.2.7"), ip_address("192.0.2.8")]
    assert resolve("SERVER") == [ip_address("192.0.2.7")]
    assert resolve("server.example", versions=(6,)) == [ip_address("2001:db8::7")]


def test_own_names_come_first() -> None:
    names: dict[str, str | IPv4Address | IPv6Address] = {
        "Server.Example": "192.0.2.99",
        "localhost": IPv4Address("192.0.2.100"),
    }
    assert resolve("server.example", names) == [ip_address("192.0.2.99")]
    assert resolve("localhost", names) == [ip_address("192.0.2.100")]


@pytest.mark.parametrize("name", ["unknown.example", "broken.example", "a comment", "192.0.2", "192.0.2.256", "bü"])
def test_what_nobody_knows(name: str) -> None:
    with pytest.raises(socket.gaierror, match="hosts=") as caught:
        resolve(name)
    assert caught.value.errno == socket.EAI_NONAME


@pytest.mark.parametrize("name", ["::1", "six.example"])
def test_what_has_no_address_of_a_usable_version(name: str) -> None:
    with pytest.raises(socket.gaierror, match="IPv4") as caught:
        resolve(name)
    assert caught.value.errno == getattr(socket, "EAI_ADDRFAMILY", socket.EAI_FAMILY)


def test_without_a_hosts_file_names_are_unknown(file: Path) -> None:
    file.unlink()
    with pytest.raises(socket.gaierror):
        resolve("server.example")


def test_where_the_hosts_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hosts_file().name == "hosts"
    monkeypatch.setenv("SYSTEMROOT", "X:")
    monkeypatch.setattr(os, "name", "nt")
    monkeypatch.setattr(module, "Path", lambda *parts: "|".join(parts))
    assert hosts_file() == "X:|System32|drivers|etc|hosts"
