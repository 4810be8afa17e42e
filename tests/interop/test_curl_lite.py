"""curl_lite against Debian's nginx, over every real link, beside the system's curl."""

import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import frozen

from tests.interop import helpers
from tests.interop.helpers import KERNEL, Nginx, curl, eventually, example, link_options, run, wrong_frames

pytestmark = [pytest.mark.interop, pytest.mark.requires("nginx", "curl", "ping", "tshark")]

PAGE = "<html><title>nginx</title>\r\n" + "Zwölf Boxkämpfer jagen Viktor\n" * 9000
"""More than the first windows hold; not a whole number of segments."""


@frozen
class Way:
    """How to reach nginx: the options for curl_lite, and the server's address from there."""

    options: tuple[str, ...]
    address: str
    server: Nginx

    def fetch(self, path: str, *more: str | Path) -> subprocess.CompletedProcess[bytes]:
        return example("curl_lite.py", *self.options, *more, f"http://{self.address}:{self.server.port}{path}")


DEEP = [pytest.param(name, marks=pytest.mark.deep) for name in ("tun-wire", "packet-wire")]


@pytest.fixture(params=["raw", "tap", "tap-wire", "tun", "packet", *DEEP])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    """Over a veth nginx sits in a second namespace, and the kernel has an address of its own on our end."""
    folder = tmp_path / "nginx"
    link, _, wire = request.param.partition("-")
    if link == "packet":
        cable = request.getfixturevalue("cable")
        cable.near.ip("address add 198.51.100.1/24 dev near")
        cable.far.ip("address add 198.51.100.2/24 dev far")
        with cable.far, helpers.nginx(folder) as server, cable.near:
            options = (*link_options("packet:near", not wire), "--address", "198.51.100.3/24")
            yield Way(options, "198.51.100.2", server)
        return
    address = "127.0.0.1" if link == "raw" else KERNEL
    with helpers.nginx(folder) as server:
        yield Way(link_options(link, not wire), address, server)


def curl_of(way: Way, path: str) -> bytes:
    """The same from the kernel's curl. TAP and TUN are gone by then: to it, nginx is local."""
    address = way.address if "packet:near" in way.options else "127.0.0.1"
    return curl(f"http://{address}:{way.server.port}{path}")


def test_body_equals_what_curl_gets(way: Way, tmp_path: Path) -> None:
    path = way.server.publish("index.html", PAGE.encode())
    capture = tmp_path / "capture.pcapng"
    done = way.fetch(path, "--pcap", capture)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == curl_of(way, path) == PAGE.encode()
    assert wrong_frames(capture) == []


def test_an_http_error_is_a_page_too(way: Way) -> None:
    done = way.fetch("/nothing-here")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"404 Not Found" in done.stdout


def test_refused_at_once(way: Way) -> None:
    port = helpers.free_port()
    done = example("curl_lite.py", *way.options, f"http://{way.address}:{port}/")
    assert done.returncode == 7
    assert len(done.stderr.splitlines()) == 1


def test_nothing_of_it_remains(way: Way) -> None:
    before = run("ip", "-br", "address").stdout
    way.fetch(way.server.publish("index.html", b"small"))
    assert run("ip", "-br", "address").stdout == before


@pytest.mark.parametrize("link", ["tap", "tun"])
def test_100_mb_with_equal_sha256(link: str, offload: bool, nginx: Nginx, big_file: Path, tmp_path: Path) -> None:
    (nginx.root / "big").symlink_to(big_file)
    got, capture = tmp_path / "got", tmp_path / "capture.pcapng"
    options = (*link_options(link, offload), *(("--pcap", capture) if link == "tap" else ()))
    done = example("curl_lite.py", *options, "-o", got, f"http://{KERNEL}:{nginx.port}/big", timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert helpers.sha256(got) == helpers.sha256(big_file)
    if link == "tap":
        assert wrong_frames(capture) == []


def is_serving(server: Nginx) -> bool:
    """Whether nginx has a connection with anybody."""
    return bool(run("ss", "-Htn", "state", "established", "sport", "=", f":{server.port}").stdout)


def test_raw_link_disturbs_nobody(nginx: Nginx) -> None:
    """While curl_lite downloads over raw loopback, curl's download from the same nginx and ping go on as ever."""
    content = random.Random(1).randbytes(5_000_000)
    shared, slow = nginx.publish("shared", content), nginx.publish("slowly", content[:300_000])
    url = f"http://127.0.0.1:{nginx.port}"
    with ThreadPoolExecutor(1) as pool:
        ours = pool.submit(example, "curl_lite.py", "--link", "raw", f"{url}/slow{slow}")
        eventually(lambda: is_serving(nginx), "the raw link is at work")
        answers = helpers.ping("127.0.0.1", count=10)
        for _ in range(3):
            assert curl(f"{url}{shared}") == content
        assert not ours.done(), "the kernel's client was to run while the raw link did"
    assert "10 received" in answers
    assert "DUP" not in answers
    done = ours.result()
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == content[:300_000]
