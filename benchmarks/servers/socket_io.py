"""python-socketio: one publisher that emits to all who are connected. Runs in an environment of its own."""

import asyncio
import sys

import socketio
import uvicorn

from benchmarks.stamps import paced, until


def application(observers: int, rate: float, seconds: float) -> socketio.ASGIApp:
    """An application that emits once enough observers are there."""
    server = socketio.AsyncServer(async_mode="asgi")
    connected: set[str] = set()
    publishing: list[asyncio.Task[None]] = []

    @server.event  # type: ignore[untyped-decorator]
    async def connect(sid: str, _environ: object) -> None:
        connected.add(sid)

    @server.event  # type: ignore[untyped-decorator]
    async def disconnect(sid: str, _reason: object) -> None:
        connected.discard(sid)

    async def publish() -> None:
        await until(lambda: len(connected) >= observers)
        seq = 0
        async for token in paced(rate, seconds):
            seq += 1
            await server.emit("event", {"id": f"mfw8j3k2-{seq}", "type": "text", "at": seq, "text": token})

    async def start() -> None:
        publishing.append(asyncio.create_task(publish()))

    return socketio.ASGIApp(server, on_startup=start)


def main() -> None:
    """Serve until killed."""
    app = application(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
