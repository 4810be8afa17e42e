"""The internet checksum: RFC 1071, and RFC 1624 for its incremental update.

2**16 is 1 modulo 65535, so the ones' complement sum of 16-bit words is the whole buffer, read as one big-endian number,
modulo 65535. The one difference: a sum of non-zero words is never 0 but 65535. Long numbers are first folded at
multiples of 16 bits, which leaves the remainder as it is and is cheaper than dividing.
"""

from collections.abc import Iterable

from typing_extensions import Buffer

__all__ = ["internet_checksum", "ones_sum", "ones_sum_buffers", "update_checksum"]

_PIECE = 4096  # octets read as one number: longer ones cost more per octet

_FOLDS = tuple((bits, (1 << bits) - 1) for bits in (16384, 12288, 6144, 3072, 1536))
_FOLD_FROM = 256  # octets: shorter numbers are divided as they are


def _residue(data: Buffer) -> int:
    """A number congruent to `data`'s 16-bit words' sum modulo 65535, zero only when all octets are zero."""
    size = memoryview(data).nbytes
    if size < _FOLD_FROM:
        number = int.from_bytes(data, "big")
        return number << 8 if size & 1 else number
    if size <= _PIECE:
        number = int.from_bytes(data, "big")
    else:
        view = memoryview(data).cast("B")
        number = sum([int.from_bytes(view[at : at + _PIECE], "big") for at in range(0, size - size % _PIECE, _PIECE)])
        if size % _PIECE:
            tail = int.from_bytes(view[size - size % _PIECE :], "big")
            number = (number << 8) + tail if size & 1 else number + tail
    for bits, mask in _FOLDS:
        if number > mask:
            number = (number >> bits) + (number & mask)
    return number << 8 if size & 1 else number


def ones_sum(data: Buffer, initial: int = 0) -> int:
    """The folded 16-bit ones' complement sum of `data` and `initial`, not inverted.

    An odd last octet counts as the high half of a word. `initial` is a partial sum of any size. The result is zero only
    when everything is.
    """
    total = _residue(data) + initial
    return total % 0xFFFF or (0xFFFF if total else 0)


def ones_sum_buffers(buffers: Iterable[Buffer], initial: int = 0) -> int:
    """As `ones_sum`, over `buffers` as if joined: a piece that starts at an odd place has its octets swapped."""
    total = initial
    odd = False
    for buffer in buffers:
        residue = _residue(buffer)
        total += residue << 8 if odd else residue
        odd ^= bool(memoryview(buffer).nbytes & 1)
    return total % 0xFFFF or (0xFFFF if total else 0)


def internet_checksum(data: Buffer, initial: int = 0) -> int:
    """The checksum field's value for `data` (RFC 1071): the complement of `ones_sum`. Over data that holds its own
    correct checksum it is 0."""
    total = _residue(data) + initial
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def update_checksum(checksum: int, old: int, new: int) -> int:
    """`checksum` after one 16-bit word that it covers changed from `old` to `new` (RFC 1624 section 3, equation 3)."""
    total = (checksum ^ 0xFFFF) + (old ^ 0xFFFF) + new
    total = (total >> 16) + (total & 0xFFFF)
    return ((total >> 16) + (total & 0xFFFF)) ^ 0xFFFF
