"""Room for a connection, taken before there is one, so that nothing is started for somebody who is then refused."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self


class Leavable(Protocol):
    """An open connection that can be told to go."""

    def say_bye(self) -> None:
        """Say goodbye and close, soon."""
        ...


class Slot:
    """One place among the streams and sockets that may be open at once; free when its block is left, or later if kept.

    Args:
        released: Called when it is.
    """

    def __init__(self, released: Callable[["Slot"], None]) -> None:
        self._released = released
        self._connection: Leavable | None = None
        self._leaving = self._kept = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            self._released(self)

    def keep(self) -> Callable[[], None]:
        """Leave the block without freeing the place; what this returns frees it."""
        self._kept = True
        return lambda: self._released(self)

    def hold(self, connection: Leavable) -> None:
        """Take the place for this connection, instead of the one before; it hears a goodbye that was said already."""
        self._connection = connection
        if self._leaving:
            connection.say_bye()

    def say_bye(self) -> None:
        """Tell the connection to go, once there is one."""
        self._leaving = True
        if self._connection is not None:
            self._connection.say_bye()
