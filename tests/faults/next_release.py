"""`python -m tests.faults.next_release`: the server as a later release may be, which writes more than this one knows.

Whatever one release may add while another runs beside it, this adds: a field to each event and to the meta, an element
at the end of a batch and of each event in it, a field of the hash, a word at the end of a message, and a kind of
message.
"""

from hashlib import sha1
from typing import Any
from unittest.mock import patch

import msgspec

from realtime.bus.redis import scripts
from realtime.bus.redis.messages import created, seen
from realtime.server.cli import main

_plain = msgspec.msgpack.Encoder().encode


def _with_more(value: Any) -> bytes:
    """A batch or a meta, encoded."""
    known: Any = msgspec.msgpack.decode(_plain(value))
    if isinstance(known, dict):
        return _plain({**known, "later": {"more": 1}})
    first, events = known
    return _plain([first, [[at, {**event, "later": [1]}, "later"] for at, event in events], "later"])


def _changed(script: scripts.Script, old: str, new: str) -> scripts.Script:
    assert script.text.count(old) == 1, old
    text = script.text.replace(old, new)
    return scripts.Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


_CHANGES: dict[str, Any] = {
    "batches._encode": _with_more,
    "talks.created": lambda name: created(name) + b" later",
    "shelf.seen": lambda *args: seen(*args) + b" later",
    "bus.CREATE": _changed(scripts.CREATE, "'claim', ARGV[8])", "'claim', ARGV[8], 'later', '1')"),
    "bus.STOP": _changed(scripts.STOP, "'stop ' .. ARGV[1])", "'stop ' .. ARGV[1] .. ' later')"),
    "flusher.APPEND": _changed(
        scripts.APPEND,
        "redis.call(ARGV[10], ARGV[11], ARGV[5] .. entry)",
        "redis.call(ARGV[10], ARGV[11], ARGV[5] .. 'later 1') redis.call(ARGV[10], ARGV[11], ARGV[5] .. entry)",
    ),
}

if __name__ == "__main__":
    for name, change in _CHANGES.items():
        patch(f"realtime.bus.redis.{name}", change).start()
    main()
