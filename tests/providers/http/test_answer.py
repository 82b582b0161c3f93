"""The parser alone: however bytes are cut they mean the same, and what could mean two things is refused."""

from typing import NamedTuple

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.providers.http.answer import MAX_HEAD_BYTES, Answer, EarlyEndError

from ...upstream import cut

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A:  b \t\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n"
)
LENGTH = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nabcde"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + LENGTH
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\n\r\nabcde"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
WHOLE = [CHUNKED, LENGTH, INTERIM, UNTIL_CLOSE, EMPTY]


class Read(NamedTuple):
    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    complete: bool
    reusable: bool
    error: type[Exception] | None


def read(*pieces: bytes, method: str = "GET", end: bool = False) -> Read:
    answer = Answer(method)
    body = b"".join([answer.feed(piece) for piece in pieces])
    if end:
        answer.end()
    error = None if answer.error is None else type(answer.error)
    return Read(answer.status, answer.reason, answer.headers, body, answer.complete, answer.reusable, error)


@given(st.sampled_from(WHOLE), st.data())
def test_any_split_reads_the_same(data: bytes, draw: st.DataObject) -> None:
    """However the bytes are cut, status, headers, body and the fate of the connection are those of one piece."""
    places = draw.draw(st.lists(st.integers(1, len(data) - 1), unique=True))
    assert read(*cut(data, *places), end=True) == read(data, end=True)


@given(st.sampled_from(WHOLE), st.data())
def test_any_cut_before_the_end_is_no_answer(data: bytes, draw: st.DataObject) -> None:
    """A response that lacks its end is an error; only of a body that the end tells nobody can know."""
    kept = draw.draw(st.integers(0, len(data) - 1))
    seen = read(data[:kept], end=True)
    if data is UNTIL_CLOSE and b"\r\n\r\n" in data[:kept]:
        assert seen.complete
    else:
        assert seen.error is EarlyEndError
        assert not seen.complete
        assert not seen.reusable


def test_what_is_read() -> None:
    """Head and body come as they were sent, without spaces around values, trailers or interim responses."""
    headers = [(b"Transfer-Encoding", b"chunked"), (b"X-A", b"b")]
    assert read(CHUNKED) == (200, b"OK", headers, b"abcde", True, True, None)
    assert read(INTERIM) == (404, b"Not Found", [(b"Content-Length", b"5")], b"abcde", True, True, None)
    assert read(UNTIL_CLOSE, end=True) == (200, b"OK", [], b"abcde", True, False, None)


def test_chunks_of_one_read_come_as_one_piece() -> None:
    """A read of many chunks is one call of whoever reads."""
    answer = Answer("GET")
    assert answer.feed(CHUNKED) == b"abcde"


@pytest.mark.parametrize("length", [b"0", b"5"])
def test_head_has_no_body(length: bytes) -> None:
    """The length in the answer to HEAD is of what GET would give; bytes that follow all the same are nobody's."""
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % length
    assert read(data, method="HEAD")[3:] == (b"", True, True, None)
    assert read(data + b"abcde", method="HEAD")[3:] == (b"", True, False, None)


@pytest.mark.parametrize("surplus", [b"x", LENGTH, b"\r\n\r\nHTTP"])
@pytest.mark.parametrize("data", [CHUNKED, LENGTH, EMPTY])
def test_surplus_spoils_the_connection_and_not_the_answer(data: bytes, surplus: bytes) -> None:
    """What comes behind a complete response is no part of it, and the next one could not be told from it."""
    assert read(data + surplus) == read(data)._replace(reusable=False)
    assert read(data, surplus) == read(data)._replace(reusable=False)


REFUSED = {
    "folded header": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
    "length and chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "switch of protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "status 99": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_refused(case: str) -> None:
    """What is not HTTP/1.1, or could be framed in two ways, is an error and gives no status."""
    seen = read(REFUSED[case])
    assert (seen.status, seen.complete, seen.reusable) == (0, False, False)
    assert seen.error is httpx2.RemoteProtocolError


def test_body_before_a_fault_is_given() -> None:
    """Chunks that were whole come before the error of the one that is not."""
    seen = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
    assert (seen.body, seen.error) == (b"abc", httpx2.RemoteProtocolError)


LINE = b"X-%d: " + b"y" * 1000 + b"\r\n"
ENDLESS = {
    "headers": [b"HTTP/1.1 200 OK\r\n", *(LINE % n for n in range(200))],
    "one header": [b"HTTP/1.1 200 OK\r\nX: ", *(b"y" * 1000 for _ in range(200))],
    "interim": [b"HTTP/1.1 100 Continue\r\n\r\n"] * 5000,
    "trailers": [CHUNKED[: CHUNKED.index(b"T: v")], *(LINE % n for n in range(200))],
    "extension": [CHUNKED[: CHUNKED.index(b"x=y")], *(b"y" * 1000 for _ in range(200))],
}


@pytest.mark.parametrize("case", sorted(ENDLESS))
def test_what_is_no_body_is_bounded(case: str) -> None:
    """A peer that sends headers, interim responses or trailers without end is given up."""
    assert sum(map(len, ENDLESS[case])) > MAX_HEAD_BYTES
    assert read(*ENDLESS[case]).error is httpx2.RemoteProtocolError
    assert read(b"".join(ENDLESS[case])).error is httpx2.RemoteProtocolError


def test_large_heads_are_read() -> None:
    """Ninety kilobytes of headers are many, but a head."""
    head = b"".join([b"HTTP/1.1 200 OK\r\n", *(LINE % n for n in range(90)), b"Content-Length: 0\r\n\r\n"])
    seen = read(*cut(head, *range(100, len(head), 1000)))
    assert (len(seen.headers), seen.complete, seen.error) == (91, True, None)
