"""What the kernel holds for the connections of one listening port, asked of it over netlink, as `ss -tm` does."""

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_SOCK_DIAG = 4
_BY_FAMILY, _REQUEST, _DUMP = 20, 0x1, 0x300
_ERROR, _DONE = 2, 3
_MEMORY = 7
# Neither TIME_WAIT, which holds nothing, nor the listening socket.
_STATES = 0xFFF & ~(1 << 6) & ~(1 << 10)
_HEADER, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
_ABOUT = 72


class Held(NamedTuple):
    """One connection, seen from the server's end.

    Attributes:
        peer_port: Of the client.
        size: Bytes of kernel memory, both directions.
    """

    peer_port: int
    size: int


def held_by(port: int) -> list[Held]:
    """All connections to a port of this machine, those that no process holds any more too."""
    query = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 1 << (_MEMORY - 1), 0, _STATES)
    query += struct.pack("!HH44x", port, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as netlink:
        netlink.send(_HEADER.pack(_HEADER.size + len(query), _BY_FAMILY, _REQUEST | _DUMP, 1, 0) + query)
        return [held for own_port, held in _answers(netlink) if own_port == port]


def _answers(netlink: socket.socket) -> Iterator[tuple[int, Held]]:
    while True:
        data, at = netlink.recv(2**18), 0
        while at < len(data):
            size, kind, *_ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            assert kind != _ERROR, data
            own_port, peer_port = struct.unpack_from("!HH", data, at + _HEADER.size + 4)
            yield own_port, Held(peer_port, _size(data[at + _HEADER.size + _ABOUT : at + size]))
            at += size + 3 & ~3


def _size(attributes: bytes) -> int:
    at = 0
    while at < len(attributes):
        size, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if kind == _MEMORY:
            received, _, _, _, reserved, queued, options, backlog = struct.unpack_from("=8I", attributes, at + 4)
            return int(received + reserved + queued + options + backlog)
        at += size + 3 & ~3
    return 0
