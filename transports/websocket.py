"""Commands in, replies and slices out: the WebSocket shell, as bare ASGI.

One task reads commands, in order; one per observation pumps its slices; all write through one outbox. A reply is
written before the pump it starts, so it comes before any event it causes; an observation's pump is over before the
reply to its `unobserve`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.hooks import Leaving
from realtime.log import EventLog
from realtime.observation import Observation
from realtime.request import StartRequest

from .asgi import Receive, Send
from .codec import Bye, Heartbeat
from .commands import (
    Command,
    ObserveCommand,
    PingCommand,
    StartCommand,
    StopCommand,
    UnobserveCommand,
    read_command,
    ref_of,
)
from .observations import Observations
from .options import ObserveOptions
from .outbox import Outbox
from .pulse import Pulse
from .pump import Pump
from .sink import ShortWay
from .subprotocol import Subprotocol

_logger = logging.getLogger("realtime")

CLOSE_WRONG_KIND, CLOSE_INTERNAL, CLOSE_RESTART, CLOSE_TOO_SLOW = 1003, 1011, 1012, 4508
_WHY: dict[int | None, Leaving] = {CLOSE_TOO_SLOW: "too_slow", CLOSE_RESTART: "bye"}
# A peer that does not read may hold even the close frame.
_CLOSE_S = 1.0


class Actions(Protocol):
    """What a socket asks of the sessions, on behalf of the one who opened it. Each raises `RealtimeError`."""

    async def start(self, request: StartRequest, key: str | None) -> tuple[EventLog, bool]:
        """Start a generation; the log, and whether it is a replay."""
        ...

    async def find(self, generation: str, cursor: Cursor | None) -> EventLog:
        """The log of a generation, to observe from there."""
        ...

    async def stop(self, generation: str) -> EventLog:
        """Stop a generation."""
        ...

    def observe(self, log: EventLog, cursor: Cursor | None) -> Observation:
        """Attach an observer."""
        ...


class Socket:
    """One WebSocket, once its handshake was allowed: `open`, then `run`.

    Args:
        echo: The subprotocol to name in the handshake's answer; None when the client offered none.
    """

    def __init__(
        self,
        actions: Actions,
        codec: Subprotocol,
        *,
        echo: str | None,
        pulse: Pulse,
        bye: Callable[[], Bye],
    ) -> None:
        self._actions = actions
        self._codec = codec
        self._echo = echo
        self._pulse = pulse
        self._bye = bye
        self._observations = Observations()
        self._asides: set[asyncio.Task[None]] = set()
        self._closing: int | None = None
        self._ending = self._leaving = False
        self._task: asyncio.Task[None] | None = None
        self._outbox: Outbox | None = None

    async def open(self, receive: Receive, send: Send) -> None:
        """Accept the handshake."""
        await receive()
        await send({"type": "websocket.accept", "subprotocol": self._echo})

    async def run(self, receive: Receive, send: Send, short_way: ShortWay | None = None) -> None:
        """Serve the socket until it is closed."""
        self._task = asyncio.current_task()
        self._outbox = outbox = Outbox(self._codec, send, short_way)
        self._pulse.join(self)
        if self._leaving:
            self._aside(partial(self._leave, outbox))
        try:
            await self._read(receive, outbox)
        except asyncio.CancelledError:
            if self._closing is None or self._task is None or self._task.uncancel():
                raise
        except OSError:
            return
        finally:
            self._pulse.leave(self)
            await self._end(send)
            self._task = self._outbox = None

    async def _read(self, receive: Receive, outbox: Outbox) -> None:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return
            payload = message.get("bytes") if self._codec.binary else message.get("text")
            if payload is None:
                self._closing = CLOSE_WRONG_KIND
                return
            await self._answer(payload, outbox)

    async def _answer(self, payload: bytes | str, outbox: Outbox) -> None:
        message = None
        try:
            message = self._codec.decode(payload)
            await self._obey(read_command(message), outbox)
        except RealtimeError as error:
            await outbox.error(ref_of(message), error)
        except OSError:
            raise
        except Exception:
            _logger.exception("a command failed")
            await outbox.error(ref_of(message), RealtimeError("internal"))

    async def _obey(self, command: Command, outbox: Outbox) -> None:
        match command:
            case StartCommand():
                await self._start(command, outbox)
            case ObserveCommand():
                await self._observe(command, outbox)
            case UnobserveCommand(generation=generation):
                await self._observations.drop(generation, "unobserved")
                await outbox.ok(command.ref, generation=generation)
            case StopCommand(generation=generation):
                with outbox.reply_first():
                    log = await self._actions.stop(generation)
                    outcome = log.finished.outcome if log.finished is not None else None
                    await outbox.ok(command.ref, generation=generation, state=log.state, outcome=outcome)
            case PingCommand():
                await outbox.ok(command.ref)

    async def _start(self, command: StartCommand, outbox: Outbox) -> None:
        if command.observe:
            self._observations.refuse_when_full()
        log, replayed = await self._actions.start(command.request, command.idempotency_key)
        observation = await self._attach(command, log) if command.observe else None
        generation = log.meta.generation
        await outbox.ok(command.ref, generation=generation, state=log.state, cursor=log.cursor, replayed=replayed)
        self._pump(observation, command, outbox)

    async def _observe(self, command: ObserveCommand, outbox: Outbox) -> None:
        log = await self._actions.find(command.generation, command.cursor())
        self._observations.refuse_when_full(command.generation)
        observation = await self._attach(command, log)
        # With the cursor a client that has it all knows that nothing will come.
        await outbox.ok(command.ref, generation=command.generation, state=log.state, cursor=log.cursor)
        self._pump(observation, command, outbox)

    async def _attach(self, options: ObserveOptions, log: EventLog) -> Observation | None:
        """An observer in its place, the earlier one of this generation gone; None when it has all there will be."""
        await self._observations.drop(log.meta.generation, "unobserved")
        observation = self._actions.observe(log, options.cursor())
        if observation.done and observation.reset is None:
            observation.close("finished")
            return None
        self._observations.hold(observation)
        return observation

    def _pump(self, observation: Observation | None, options: ObserveOptions, outbox: Outbox) -> None:
        if observation is not None:
            pump = Pump(observation, self._codec, options, pulse=self._pulse, sink=outbox, bye=self._bye)
            self._observations.pump(observation, pump, partial(self._close_with, CLOSE_INTERNAL))

    # What the pulse sees, and does.

    @property
    def quiet_since_s(self) -> float:
        """Loop time of the last write."""
        return self._outbox.quiet_since_s if self._outbox is not None else 0.0

    @property
    def sending_since_s(self) -> float | None:
        """Loop time since when the peer has read nothing; None while nothing waits for it."""
        return self._outbox.sending_since_s if self._outbox is not None else None

    def beat(self) -> None:
        """A heartbeat is due: one for the socket, whatever it observes."""
        if self._outbox is not None:
            self._aside(partial(self._outbox.say, Heartbeat()))

    def too_slow(self) -> None:
        """The peer has not read for longer than the send deadline."""
        self._close_with(CLOSE_TOO_SLOW)

    def say_bye(self) -> None:
        """Tell the client to come back later, then close."""
        if not self._leaving:
            self._leaving = True
            # In its handshake it is told when that is over.
            if self._outbox is not None:
                self._aside(partial(self._leave, self._outbox))

    async def _leave(self, outbox: Outbox) -> None:
        # What ended has nothing to come back for: the log may die with this process.
        await self._observations.conclude()
        await outbox.say(self._bye())
        self._close_with(CLOSE_RESTART)

    def _aside(self, say: Callable[[], Awaitable[None]]) -> None:
        """Send something without holding up who asked."""
        task = asyncio.get_running_loop().create_task(_ignoring_disconnect(say))
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    def _close_with(self, code: int) -> None:
        if self._closing is None and not self._ending:
            self._closing = code
            if self._task is not None:
                self._task.cancel()

    async def _end(self, send: Send) -> None:
        # From here on nobody may cancel this task but whoever runs it: it ends by itself.
        self._ending = True
        await self._observations.close(_WHY.get(self._closing, "disconnected"))
        for task in list(self._asides):
            task.cancel()
        if self._closing is not None:
            await _ignoring_disconnect(partial(self._say_closing, send, self._closing))

    async def _say_closing(self, send: Send, code: int) -> None:
        async with asyncio.timeout(_CLOSE_S):
            await send({"type": "websocket.close", "code": code})


async def _ignoring_disconnect(say: Callable[[], Awaitable[None]]) -> None:
    """Say what may find the peer gone; there is nobody left to tell. A task of it may be cancelled before its first
    step, so what to await is made within it."""
    try:
        await say()
    except (OSError, TimeoutError):
        return
