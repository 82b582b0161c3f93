"""Commands in, replies and slices out: the WebSocket shell, as bare ASGI.

One task reads commands, in order; one per observation pumps its slices. A reply is written before the pump it starts,
so it comes before any event it causes; an observation's pump is over before the reply to its `unobserve`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal, Protocol

import msgspec

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.hooks import Leaving
from realtime.log import EventLog
from realtime.observation import Observation
from realtime.request import StartRequest

from .asgi import Receive, Send
from .codec import Bye, Control, Heartbeat
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
from .options import ObserveOptions
from .pulse import Pulse
from .pump import Pump
from .subprotocol import Subprotocol

_logger = logging.getLogger("realtime")

MAX_OBSERVATIONS = 64
CLOSE_WRONG_KIND, CLOSE_INTERNAL, CLOSE_RESTART, CLOSE_TOO_SLOW = 1003, 1011, 1012, 4508
_WHY: dict[int | None, Leaving] = {CLOSE_TOO_SLOW: "too_slow", CLOSE_RESTART: "bye"}
# A peer that does not read may hold even the close frame.
_CLOSE_S = 1.0


class Actions(Protocol):
    """What a socket asks of the sessions, on behalf of the one who opened it. Each raises `RealtimeError`."""

    async def start(self, request: StartRequest, key: str | None) -> tuple[EventLog, bool]:
        """Start a generation; the log, and whether it is a replay."""
        ...

    async def find(self, generation: str) -> EventLog:
        """The log of a generation, to observe."""
        ...

    async def stop(self, generation: str) -> EventLog:
        """Stop a generation."""
        ...

    def observe(self, log: EventLog, cursor: Cursor | None) -> Observation:
        """Attach an observer."""
        ...


class _Pumping(msgspec.Struct):
    observation: Observation
    task: "asyncio.Task[None]"


class Socket:
    """One WebSocket; an ASGI application for one call, after the handshake was allowed.

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
        self.quiet_since_s = 0.0
        self.sending_since_s: float | None = None
        self._actions = actions
        self._codec = codec
        self._echo = echo
        self._pulse = pulse
        self._bye = bye
        self._loop = asyncio.get_running_loop()
        self._pumps: dict[str, _Pumping] = {}
        self._asides: set[asyncio.Task[None]] = set()
        self._pending = 0
        self._closing: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._raw_send: Send | None = None

    async def __call__(self, receive: Receive, send: Send) -> None:
        self._raw_send = send
        self._task = asyncio.current_task()
        await receive()
        await send({"type": "websocket.accept", "subprotocol": self._echo})
        self.quiet_since_s = self._loop.time()
        self._pulse.join(self)
        try:
            await self._read(receive)
        except asyncio.CancelledError:
            if self._closing is None or self._task is None or self._task.uncancel():
                raise
        except OSError:
            return
        finally:
            self._pulse.leave(self)
            await self._end(send)

    async def _read(self, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return
            payload = message.get("bytes") if self._codec.binary else message.get("text")
            if payload is None:
                self._closing = CLOSE_WRONG_KIND
                return
            await self._answer(payload)

    async def _answer(self, payload: bytes | str) -> None:
        message = None
        try:
            message = self._codec.decode(payload)
            await self._obey(read_command(message))
        except RealtimeError as error:
            shown = msgspec.to_builtins(error.error)
            await self._write(self._codec.reply({"type": "error", "ref": ref_of(message), "error": shown}))
        except OSError:
            raise
        except Exception:
            _logger.exception("a command failed")
            shown = msgspec.to_builtins(RealtimeError("internal").error)
            await self._write(self._codec.reply({"type": "error", "ref": ref_of(message), "error": shown}))

    async def _obey(self, command: Command) -> None:
        match command:
            case StartCommand():
                await self._start(command)
            case ObserveCommand():
                await self._observe(command, await self._actions.find(command.generation))
            case UnobserveCommand():
                await self._drop(command.generation, "unobserved")
                await self._ok(command, generation=command.generation)
            case StopCommand():
                log = await self._actions.stop(command.generation)
                outcome = log.finished.outcome if log.finished is not None else None
                await self._ok(command, generation=command.generation, state=log.state, outcome=outcome)
            case PingCommand():
                await self._ok(command)

    async def _start(self, command: StartCommand) -> None:
        if command.observe:
            self._refuse_too_many(None)
        log, replayed = await self._actions.start(command.request, command.idempotency_key)
        generation = log.meta.generation
        observation = await self._attach(command, log) if command.observe else None
        await self._ok(command, generation=generation, state=log.state, cursor=log.cursor, replayed=replayed)
        self._pump(observation, command)

    async def _observe(self, command: ObserveCommand, log: EventLog) -> None:
        self._refuse_too_many(log.meta.generation)
        observation = await self._attach(command, log)
        # With the cursor a client that has it all knows that nothing will come.
        await self._ok(command, generation=log.meta.generation, state=log.state, cursor=log.cursor)
        self._pump(observation, command)

    async def _attach(self, options: ObserveOptions, log: EventLog) -> Observation | None:
        """An observer in its place, the earlier one of this generation gone; None when it has all there will be."""
        await self._drop(log.meta.generation, "unobserved")
        observation = self._actions.observe(log, options.cursor())
        if observation.done and observation.reset is None:
            observation.close("finished")
            return None
        return observation

    def _pump(self, observation: Observation | None, options: ObserveOptions) -> None:
        if observation is None:
            return
        pump = Pump(observation, self._codec, options, pulse=self._pulse, send=self._write, bye=self._bye)
        generation = observation.log.meta.generation
        task = self._loop.create_task(self._run_pump(pump, observation), name=f"pump {generation}")
        self._pumps[generation] = _Pumping(observation, task)

    async def _run_pump(self, pump: Pump, observation: Observation) -> None:
        why: Leaving = "disconnected"
        try:
            why = await pump.run()
        except OSError:
            return
        except asyncio.CancelledError:
            raise
        except Exception:
            _logger.exception("observing %s failed", observation.log.meta.generation)
            self._close_with(CLOSE_INTERNAL)
        finally:
            observation.close(why)
            pumping = self._pumps.get(observation.log.meta.generation)
            if pumping is not None and pumping.observation is observation:
                del self._pumps[observation.log.meta.generation]

    async def _drop(self, generation: str, why: Leaving) -> None:
        pumping = self._pumps.pop(generation, None)
        if pumping is not None:
            pumping.observation.close(why)
            pumping.task.cancel()
            await asyncio.wait({pumping.task})

    def _refuse_too_many(self, generation: str | None) -> None:
        if len(self._pumps) >= MAX_OBSERVATIONS and generation not in self._pumps:
            raise RealtimeError(
                "limit_observations", f"A socket has at most {MAX_OBSERVATIONS} observations.", limit=MAX_OBSERVATIONS
            )

    # Writing.

    async def _ok(self, command: Command, **fields: Any) -> None:
        shown = {key: value for key, value in fields.items() if value is not None}
        await self._write(self._codec.reply({"type": "ok", "ref": command.ref, **shown}))

    async def _write(self, data: bytes) -> None:
        assert self._raw_send is not None
        self._pending += 1
        if self._pending == 1:
            self.sending_since_s = self._loop.time()
        self.quiet_since_s = self._loop.time()
        kind: Literal["bytes", "text"] = "bytes" if self._codec.binary else "text"
        try:
            await self._raw_send({"type": "websocket.send", kind: data if self._codec.binary else data.decode()})
        finally:
            self._pending -= 1
            # Any write that gets through is a sign that the peer reads.
            self.sending_since_s = self._loop.time() if self._pending else None

    def beat(self) -> None:
        """A heartbeat is due: one for the socket, whatever it observes."""
        self.quiet_since_s = self._loop.time()
        self._aside(self._say(Heartbeat()))

    def too_slow(self) -> None:
        """The peer has not read for longer than the send deadline."""
        self._close_with(CLOSE_TOO_SLOW)

    def say_bye(self) -> None:
        """Tell the client to come back later, then close."""
        self._aside(self._leave())

    async def _say(self, frame: Control) -> None:
        await self._write(self._codec.control(frame))

    async def _leave(self) -> None:
        await self._say(self._bye())
        self._close_with(CLOSE_RESTART)

    def _aside(self, coro: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(_ignoring_disconnect(coro))
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    def _close_with(self, code: int) -> None:
        if self._closing is None:
            self._closing = code
            if self._task is not None:
                self._task.cancel()

    async def _end(self, send: Send) -> None:
        for generation in list(self._pumps):
            await self._drop(generation, _WHY.get(self._closing, "disconnected"))
        for task in list(self._asides):
            task.cancel()
        if self._closing is not None:
            closing = send({"type": "websocket.close", "code": self._closing})
            await _ignoring_disconnect(asyncio.wait_for(closing, _CLOSE_S))


async def _ignoring_disconnect(awaitable: Awaitable[None]) -> None:
    """Await what may find the peer gone; there is nobody left to tell."""
    try:
        await awaitable
    except (OSError, TimeoutError):
        return
