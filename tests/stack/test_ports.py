from errno import EADDRINUSE, EADDRNOTAVAIL

import pytest

from pystack.stack.ports import ANY, Ports

A, B = b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02"


def make(secret: bytes = b"s" * 32, first: int = 40000, last: int = 49999) -> Ports:
    return Ports(secret, first, last)


@pytest.mark.parametrize(("one", "other"), [(A, A), (ANY, A), (A, ANY), (ANY, ANY)])
def test_a_port_is_bound_once(one: bytes, other: bytes) -> None:
    ports = make()
    ports.bind(one, 80, reuse=False)
    with pytest.raises(OSError, match="port 80 is taken") as caught:
        ports.bind(other, 80, reuse=False)
    assert caught.value.errno == EADDRINUSE


def test_two_addresses_have_a_port_each() -> None:
    ports = make()
    ports.bind(A, 80, reuse=False)
    ports.bind(B, 80, reuse=False)


def test_reuse_lets_two_bind_unless_one_listens() -> None:
    ports = make()
    first = ports.bind(ANY, 80, reuse=True)
    second = ports.bind(ANY, 80, reuse=True)
    ports.release(second)
    first.listening = True
    with pytest.raises(OSError, match="taken"):
        ports.bind(ANY, 80, reuse=True)


def test_a_port_with_old_connections_is_bound_only_with_reuse() -> None:
    ports = make()
    ports.occupy(80)
    with pytest.raises(OSError, match="taken"):
        ports.bind(ANY, 80, reuse=False)
    ports.bind(ANY, 80, reuse=True)


def test_a_released_port_is_free_again() -> None:
    ports = make()
    binding = ports.bind(ANY, 80, reuse=False)
    ports.occupy(80)
    ports.occupy(80)
    ports.release(binding)
    ports.release(binding)
    ports.vacate(80)
    assert not ports.is_free(80)
    ports.vacate(80)
    assert ports.is_free(80)
    ports.bind(ANY, 80, reuse=False)


def test_ephemeral_ports_lie_in_the_range_and_do_not_repeat_before_it_is_used_up() -> None:
    ports = make(last=40999)
    seen = [ports.choose(A, lambda _: True) for _ in range(1000)]
    assert sorted(seen) == list(range(40000, 41000))


def test_ephemeral_ports_of_two_secrets_or_destinations_differ() -> None:
    starts = {make(bytes([i]) * 32).choose(d, lambda _: True) for i in range(20) for d in (A, B)}
    assert len(starts) > 30


def test_when_no_port_is_acceptable_the_error_says_so() -> None:
    tried: list[int] = []
    with pytest.raises(OSError, match="no free local port between 40000 and 40009") as caught:
        make(last=40009).choose(A, lambda port: bool(tried.append(port)))
    assert caught.value.errno == EADDRNOTAVAIL
    assert sorted(tried) == list(range(40000, 40010))
