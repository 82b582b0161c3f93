"""The first thing a request meets: is it for us, and does it come from a page we allow?

A server on loopback is reachable from every web page its user opens: by DNS rebinding, where the page's own name is
made to point here, and by WebSocket, which no same-origin policy protects. Both are told by headers a page cannot
forge. Pure ASGI, because Starlette's own middleware classes pass WebSockets by, and `BaseHTTPMiddleware` costs a task
and two queues on every stream.
"""

from collections.abc import Awaitable, Callable, Iterable

from realtime.errors import RealtimeError
from transports.asgi import Receive, Scope, Send, problem, respond

from .sockets import refuse_handshake

App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Probes and scrapers ask by address, a pod's or a container's, which nobody can list beforehand; what these answer says
# nothing of anyone.
PROBES = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """Refuses foreign Hosts with 421, but for probes, and foreign Origins with 403, over HTTP and WebSocket.

    Args:
        hosts: Host names that are ours, without ports; `*` for any.
        origins: Origins beside the request's own host, such as `https://app.example.com`; `*` for any.
    """

    def __init__(self, app: App, *, hosts: Iterable[str] = LOOPBACK_HOSTS, origins: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await refuse_handshake(refused, receive, send)
        else:
            await respond(send, *problem(refused))

    def _refusal(self, scope: Scope) -> RealtimeError | None:
        hosts = [host.lower() for host in _values(scope, b"host")]
        is_probe = scope["type"] == "http" and scope["path"] in PROBES
        if not is_probe and (len(hosts) != 1 or not self._is_ours(hosts[0])):
            return RealtimeError("misdirected", "This server does not answer for that Host.", field="Host")
        origins = _values(scope, b"origin")
        if len(origins) <= 1 and all(self._is_welcome(origin, hosts) for origin in origins):
            return None
        return RealtimeError("forbidden", "Pages of that Origin may not use this server.", field="Origin")

    def _is_welcome(self, origin: str, hosts: list[str]) -> bool:
        if origin in self._origins or "*" in self._origins:
            return True
        # A browser writes exactly scheme, host and port, so comparing text is enough, and safer than parsing.
        scheme, _, rest = origin.partition("://")
        return scheme in ("http", "https") and [rest.lower()] == hosts

    def _is_ours(self, host: str) -> bool:
        if "*" in self._hosts:
            return True
        name, _, port = host.rpartition(":")
        bare = name if name and port.isdecimal() and not host.endswith("]") else host
        return bare in self._hosts


def _values(scope: Scope, name: bytes) -> list[str]:
    """All headers of that (lower-case) name: a second one must not hide behind the first."""
    return [bytes(value).decode("latin-1") for key, value in scope["headers"] if key == name]
