"""A Redis of one process: what it keeps, who listens, when it stands still, dies and comes back with how much."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from redis.exceptions import NoScriptError, ResponseError

from realtime.bus.redis import scripts
from realtime.bus.redis.batches import decode_written
from realtime.bus.redis.scripts import Script
from realtime.bus.redis.writer import epoch_of

from .keyspace import Keyspace
from .loops import BEGAN_S, World
from .lua import compiled
from .record import value_of

SCRIPTS: dict[str, Script] = {
    name.lower(): script for name, script in vars(scripts).items() if isinstance(script, Script)
}
_RUN = {script.text: compiled(script.text) for script in SCRIPTS.values()}

# Between two writes to its disk: what it may forget when it dies.
_SAVED_S = 1.0

Loss = Literal["nothing", "a second", "everything"]
Command = Sequence[Any]
Had = Callable[[str, str, int, str], None]
"""Told of each event that is kept: generation, epoch, number and value."""


class Subscriber(Protocol):
    """A connection that listens."""

    def hear(self, kind: str, channel: bytes, data: Any) -> None:
        """Be sent something."""
        ...

    def end(self) -> None:
        """Be ended by this side."""
        ...


class Server:
    """See the module.

    Args:
        edits: Scripts that run as something else, by their text.

    Attributes:
        incarnation: How often it was started.
        jumped_s: How far its clock is ahead.
        lost: It has forgotten something it had answered for.
    """

    def __init__(self, world: World, had: Had, edits: Mapping[str, str]) -> None:
        self.incarnation = 0
        self.down = self.frozen = self.lost = False
        self.jumped_s = 0.0
        self._world = world
        self._had = had
        self._edits = edits
        self.keyspace = Keyspace(self.clock_ms, self._publish, self._added)
        self._listening: dict[Subscriber, set[bytes]] = {}
        self._waiting: list[Callable[[], None]] = []
        self._known: set[str] = set()
        self._saved_at, self._saved = 0.0, self.keyspace.saved()

    def clock_ms(self) -> float:
        """Its time of day."""
        return (BEGAN_S + self._world.now + self.jumped_s) * 1000

    # What it is asked.

    def execute(self, command: Command) -> Any:
        """The answer to one command, or the error that is."""
        if self._world.now - self._saved_at >= _SAVED_S:
            self._saved_at, self._saved = self._world.now, self.keyspace.saved()
        name, *args = command
        try:
            match name:
                case "EVAL" | "EVALSHA":
                    return self._run(name, args)
                case "PING":
                    return b"PONG"
                case _:
                    return _shaped(name, args, self.keyspace.call(*(encoded(part) for part in command)))
        except ResponseError as error:
            return error

    def _run(self, name: str, args: Sequence[Any]) -> Any:
        text, count, *rest = args
        if name == "EVAL":
            self._known.add(next(script.sha for script in SCRIPTS.values() if script.text == text))
        elif text not in self._known:
            return NoScriptError("No matching script. Please use EVAL.")
        else:
            text = next(script.text for script in SCRIPTS.values() if script.sha == text)
        text = self._edits.get(text, text)
        if text not in _RUN:
            _RUN[text] = compiled(text)
        parts = [encoded(part) for part in rest]
        return _RUN[text](parts[:count], parts[count:], self.keyspace.call)

    def when_it_goes_on(self, callback: Callable[[], None]) -> None:
        """Call `callback` when it no longer stands still."""
        self._waiting.append(callback)

    # What it tells.

    def listen(self, who: Subscriber, channel: bytes) -> None:
        """As SUBSCRIBE."""
        self._listening.setdefault(who, set()).add(channel)
        who.hear("subscribe", channel, len(self._listening[who]))

    def unlisten(self, who: Subscriber, channel: bytes) -> None:
        """As UNSUBSCRIBE."""
        self._listening.get(who, set()).discard(channel)
        who.hear("unsubscribe", channel, len(self._listening.get(who, ())))

    def forget(self, who: Subscriber) -> None:
        """A connection was closed."""
        self._listening.pop(who, None)

    def hears(self, who: Subscriber) -> bool:
        """Whether anything would be sent to it."""
        return bool(self._listening.get(who))

    def _publish(self, channel: bytes, message: bytes) -> int:
        heard = [who for who, channels in self._listening.items() if channel in channels]
        for who in heard:
            who.hear("message", channel, message)
        return len(heard)

    def _added(self, key: bytes, value: bytes) -> None:
        written = decode_written(value)
        generation = key.decode().split(":")[-2]
        for seq, timed in enumerate(written.batch.events, start=written.batch.first):
            self._had(generation, epoch_of(written.fence), seq, value_of(timed.event))

    # What happens to it.

    def freeze(self) -> None:
        """Stand still."""
        self.frozen = True

    def thaw(self) -> None:
        """Go on."""
        self.frozen = False
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            self._world.after(0, callback)

    def die(self) -> None:
        """Be gone, with every connection."""
        self.down = True
        self.incarnation += 1
        self.thaw()
        for who in list(self._listening):
            who.end()
        self._listening.clear()

    def rise(self, loss: Loss) -> None:
        """Be there again, with what was kept."""
        self.down = False
        self._known.clear()
        if loss == "a second":
            self.keyspace.load(self._saved)
        elif loss == "everything":
            self.keyspace.load(({}, {}))
        self.lost = self.lost or loss != "nothing"
        self._saved_at, self._saved = self._world.now, self.keyspace.saved()


def encoded(part: Any) -> bytes:
    """As redis-py sends it."""
    if isinstance(part, bytes):
        return part
    return part.encode() if isinstance(part, str) else repr(part).encode()


def _shaped(name: str, args: Sequence[Any], answer: Any) -> Any:
    """As it is read in RESP3."""
    if name == "HGETALL":
        return dict(zip(answer[::2], answer[1::2], strict=True))
    if "WITHSCORES" in args:
        return [[member, float(score)] for member, score in zip(answer[::2], answer[1::2], strict=True)]
    return answer
