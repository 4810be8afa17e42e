"""A conversation of two Linux kernels, captured on a wire, with tcpdump's own words for all but the ICMP errors."""

import pytest

from pystack.errors import DecodeError
from pystack.wire import build, describe, dissect

CONVERSATION = [
    (
        "ffffffffffff02000000000a080600010800060400010200 0000000ac0000201000000000000c0000202",
        "ARP, Request who-has 192.0.2.2 tell 192.0.2.1, length 28",
    ),
    (
        "02000000000a02000000000b080600010800060400020200 0000000bc000020202000000000ac0000201",
        "ARP, Reply 192.0.2.2 is-at 02:00:00:00:00:0b, length 28",
    ),
    (
        "02000000000b02000000000a0800 45000024234e400040019387c0000201c0000202 0800baf530f900010001020304050607",
        "IP 192.0.2.1 > 192.0.2.2: ICMP echo request, id 12537, seq 1, length 16",
    ),
    (
        "02000000000a02000000000b0800 45000024345b00004001c27ac0000202c0000201 0000c2f530f900010001020304050607",
        "IP 192.0.2.2 > 192.0.2.1: ICMP echo reply, id 12537, seq 1, length 16",
    ),
    (
        "02000000000b02000000000a0800 4500003cd28240004006e435c0000201c0000202"
        "c52c1f90d5b3d41e00000000a002faf0befa0000020405b40402080a00697b15000000000103030a",
        "IP 192.0.2.1.50476 > 192.0.2.2.8080: Flags [S], seq 3585332254, win 64240, "
        "options [mss 1460,sackOK,TS val 6912789 ecr 0,nop,wscale 10], length 0",
    ),
    (
        "02000000000a02000000000b0800 4500003c000040004006b6b8c0000202c0000201"
        "1f90c52c6a09644ed5b3d41fa012fe8898b20000020405b40402080a0b6248e500697b150103030a",
        "IP 192.0.2.2.8080 > 192.0.2.1.50476: Flags [S.], seq 1779000398, ack 3585332255, win 65160, "
        "options [mss 1460,sackOK,TS val 190990565 ecr 6912789,nop,wscale 10], length 0",
    ),
    (
        "02000000000b02000000000a0800 45000034d28340004006e43cc0000201c0000202"
        "c52c1f90d5b3d41f6a09644f8010003fc5cb00000101080a00697b150b6248e5",
        "IP 192.0.2.1.50476 > 192.0.2.2.8080: Flags [.], ack 1, win 63, "
        "options [nop,nop,TS val 6912789 ecr 190990565], length 0",
    ),
    (
        "02000000000b02000000000a0800 45000039d28440004006e436c0000201c0000202"
        "c52c1f90d5b3d41f6a09644f8018003f81ec00000101080a00697b150b6248e568656c6c6f",
        "IP 192.0.2.1.50476 > 192.0.2.2.8080: Flags [P.], seq 1:6, ack 1, win 63, "
        "options [nop,nop,TS val 6912789 ecr 190990565], length 5",
    ),
    (
        "02000000000a02000000000b0800 45000034ab3e400040060b82c0000202c0000201"
        "1f90c52c6a09644fd5b3d42480100040c5c500000101080a0b6248e500697b15",
        "IP 192.0.2.2.8080 > 192.0.2.1.50476: Flags [.], ack 6, win 64, "
        "options [nop,nop,TS val 190990565 ecr 6912789], length 0",
    ),
    (
        "02000000000a02000000000b0800 45000039ab3f400040060b7cc0000202c0000201"
        "1f90c52c6a09644fd5b3d4248018004077dc00000101080a0b6248e500697b15776f726c64",
        "IP 192.0.2.2.8080 > 192.0.2.1.50476: Flags [P.], seq 1:6, ack 6, win 64, "
        "options [nop,nop,TS val 190990565 ecr 6912789], length 5",
    ),
    (
        "02000000000a02000000000b0800 45000034ab40400040060b80c0000202c0000201"
        "1f90c52c6a096454d5b3d42480110040c5bf00000101080a0b6248e500697b15",
        "IP 192.0.2.2.8080 > 192.0.2.1.50476: Flags [F.], seq 6, ack 6, win 64, "
        "options [nop,nop,TS val 190990565 ecr 6912789], length 0",
    ),
    (
        "02000000000b02000000000a0800 45000034d28640004006e439c0000201c0000202"
        "c52c1f90d5b3d4246a0964558011003fc5bf00000101080a00697b150b6248e5",
        "IP 192.0.2.1.50476 > 192.0.2.2.8080: Flags [F.], seq 6, ack 7, win 63, "
        "options [nop,nop,TS val 6912789 ecr 190990565], length 0",
    ),
    (
        "02000000000b02000000000a0800 4500002102a340004011b425c0000201c0000202 ec1b0009000d49d96b6e6f636b",
        "IP 192.0.2.1.60443 > 192.0.2.2.9: UDP, length 5",
    ),
    (
        "02000000000a02000000000b0800 45c0003d346500004001c197c0000202c0000201 0303811f00000000"
        "4500002102a340004011b425c0000201c0000202ec1b0009000d49d96b6e6f636b",
        "IP 192.0.2.2 > 192.0.2.1: ICMP port unreachable, length 41, quoting 192.0.2.1.60443 > 192.0.2.2.9: UDP",
    ),
    (
        "02000000000b02000000000a86dd 600cbbe4000d1140 20010db8000000000000000000000001"
        "20010db8000000000000000000000002 c8af0009000d95d46b6e6f636b",
        "IP6 2001:db8::1.51375 > 2001:db8::2.9: UDP, length 5",
    ),
    (
        "02000000000a02000000000b86dd 60099348003d3a40 20010db8000000000000000000000002"
        "20010db8000000000000000000000001 010475ef00000000 600cbbe4000d1140 20010db8000000000000000000000001"
        "20010db8000000000000000000000002 c8af0009000d95d46b6e6f636b",
        "IP6 2001:db8::2 > 2001:db8::1: ICMP6, destination unreachable, unreachable port, length 61, "
        "quoting 2001:db8::1.51375 > 2001:db8::2.9: UDP",
    ),
    (
        "02000000000b02000000000a86dd 6006d6a700280640 20010db8000000000000000000000001"
        "20010db8000000000000000000000002"
        "cd2c00512506980900000000a002fd20099f0000020405a00402080a68fef250000000000103030a",
        "IP6 2001:db8::1.52524 > 2001:db8::2.81: Flags [S], seq 621189129, win 64800, "
        "options [mss 1440,sackOK,TS val 1761538640 ecr 0,nop,wscale 10], length 0",
    ),
    (
        "02000000000a02000000000b86dd 6006331200140640 20010db8000000000000000000000002"
        "20010db8000000000000000000000001 0051cd2c000000002506980a50140000c9cd0000",
        "IP6 2001:db8::2.81 > 2001:db8::1.52524: Flags [R.], seq 0, ack 1, win 0, length 0",
    ),
    (
        "02000000000b02000000000a86dd 600fc261000c3a40 20010db8000000000000000000000001"
        "20010db8000000000000000000000002 8000f0f1314d000100010203",
        "IP6 2001:db8::1 > 2001:db8::2: ICMP6, echo request, id 12621, seq 1, length 12",
    ),
    (
        "333300000016 02000000000b86dd 6000000000380001 00000000000000000000000000000000"
        "ff020000000000000000000000000016 3a000502000001008f006d630000000204000000ff02000000000000"
        "00000001ff00000b04000000ff020000000000000000000 1ff000002",
        "IP6 :: > ff02::16: HOPOPT, length 56",
    ),
]
FRAMES = [bytes.fromhex(octets.replace(" ", "")) for octets, _ in CONVERSATION]


@pytest.mark.parametrize("frame", FRAMES)
def test_checksums_verify_and_octets_return(frame: bytes) -> None:
    layers = dissect(frame, verify=True)
    assert b"".join(map(bytes, layers)) == frame
    assert build(*layers) == frame


def test_told_as_tcpdump_tells_it() -> None:
    origins: dict[object, int] = {}
    told = [describe(frame, verify=True, origins=origins) for frame in FRAMES]  # type: ignore[arg-type]
    assert told == [text for _, text in CONVERSATION]


@pytest.mark.parametrize("frame", FRAMES)
def test_every_prefix_is_told_or_named(frame: bytes) -> None:
    for size in range(len(frame)):
        assert describe(frame[:size]).endswith("]")
        with pytest.raises(DecodeError):
            dissect(frame[:size])
