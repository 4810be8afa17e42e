from pystack.transport.tcp.listener import Listener


def test_connections_move_from_the_handshake_to_accept_in_the_order_they_finish() -> None:
    listener: Listener[str] = Listener(backlog=8, half_open_limit=8)
    for key in (b"1", b"2", b"3"):
        listener.opening(key, key.decode())
    assert not listener.has_ready
    listener.established(b"2")
    listener.established(b"1")
    listener.forget(b"3")
    assert [listener.accept(), listener.accept(), listener.accept()] == ["2", "1", None]


def test_a_full_accept_queue_refuses_and_one_accept_opens_it() -> None:
    listener: Listener[str] = Listener(backlog=0, half_open_limit=8)
    assert listener.refusal == ""
    listener.opening(b"1", "1")
    listener.established(b"1")
    assert listener.refusal == "tcp.accept_queue_full"
    listener.accept()
    assert listener.refusal == ""


def test_too_many_half_open_connections_refuse() -> None:
    listener: Listener[str] = Listener(backlog=8, half_open_limit=2)
    listener.opening(b"1", "1")
    assert listener.refusal == ""
    listener.opening(b"2", "2")
    assert listener.refusal == "tcp.half_open_full"
    listener.forget(b"1")
    assert listener.refusal == ""


def test_draining_empties_both_queues() -> None:
    listener: Listener[str] = Listener(backlog=8, half_open_limit=8)
    listener.opening(b"1", "1")
    listener.opening(b"2", "2")
    listener.established(b"2")
    assert listener.drain() == ["2", "1"]
    assert listener.drain() == []
    assert not listener.has_ready
