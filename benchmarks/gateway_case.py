"""Each way between a fake model and the observers of many generations, one observer each, in fresh processes."""

import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from .authority import identity
from .clients import idle
from .environments import need_nginx, python_of
from .load import Job, Observed
from .machine import CLIENT_CORE
from .processes import Server, observe
from .requests import http_request

RATE = 50
_SPARE_S = 5.0
_CHAT = {"model": "benchmark", "messages": [{"role": "user", "content": "Say it."}], "stream": True}
_ASK = ("/v1/generations", {"model": "openai/benchmark", "prompt": "Say it.", "stream": True})


class _Upstream(NamedTuple):
    """Where the fake model is, and what a client's environment must hold to believe it."""

    server: Server
    url: str
    env: Mapping[str, str]


class GatewayCase:
    """See the module.

    Args:
        generations: All of them live in the window.
        spread_s: The starts are spread over so long.
        tls: Whether the model is reached by TLS.
        rate: Tokens a second of each; the first comes at once.
        env: Variables of our server, beside those by which it finds the model.
        look: See `observe`.
    """

    def __init__(
        self,
        generations: int,
        *,
        spread_s: float,
        warm_s: float,
        window_s: float,
        tls: bool = False,
        rate: float = RATE,
        env: Mapping[str, str] | None = None,
        look: Callable[[], None] | None = None,
    ) -> None:
        self._generations = generations
        self._spread_s = spread_s
        self._warm_s = warm_s
        self._window_s = window_s
        self._tls = tls
        self._rate = rate
        self._env = env or {}
        self._look = look
        self._tokens = math.ceil(rate * (spread_s + warm_s + window_s + _SPARE_S))

    def named(self, names: Sequence[str]) -> dict[str, Callable[[], Observed]]:
        """Those of the cases."""
        known = {
            "no server": self._direct,
            "nginx": self._nginx,
            "ours": self._ours,
            "LiteLLM": self._litellm,
            "tutorial": self._tutorial,
        }
        return {name: known[name] for name in names}

    def _upstream(self, stack: ExitStack) -> _Upstream:
        command, scheme, env = ["{port}", str(self._rate), str(self._tokens)], "http", {}
        if self._tls:
            files = stack.enter_context(identity())
            command.append(files.certificate)
            scheme, env = "https", {"SSL_CERT_FILE": files.authority}
        server = stack.enter_context(Server("benchmarks.servers.upstream", *command, core=CLIENT_CORE))
        return _Upstream(server, f"{scheme}://127.0.0.1:{server.port}", env)

    def _direct(self) -> Observed:
        with ExitStack() as stack:
            return self._observe(self._upstream(stack).server, "/v1/chat/completions", {})

    def _nginx(self) -> Observed:
        need_nginx()
        with ExitStack() as stack:
            upstream = self._upstream(stack)
            server = stack.enter_context(Server("benchmarks.servers.nginx", "{port}", upstream.url))
            return self._observe(server, "/v1/chat/completions", _CHAT)

    def _ours(self) -> Observed:
        with ExitStack() as stack:
            return self._observe(self._our_server(stack), *_ASK)

    @contextmanager
    def kept(self) -> Iterator[idle.Job]:
        """Ours, with a client that keeps as many generations as it sees begin."""
        with ExitStack() as stack:
            server = self._our_server(stack)
            request = http_request("POST", _ASK[0], server.port, _ASK[1])
            yield idle.Job(server.port, server.pid, self._generations, request, b'"text"', self._window_s)

    def _our_server(self, stack: ExitStack) -> Server:
        upstream = self._upstream(stack)
        env = {"OPENAI_BASE_URL": f"{upstream.url}/v1", "OPENAI_API_KEY": "unused", **upstream.env, **self._env}
        command = ("realtime", "serve", "--port", "{port}", "--log-level", "warning")
        return stack.enter_context(Server(*command, env=env))

    def _litellm(self) -> Observed:
        python = python_of("litellm")
        with ExitStack() as stack:
            upstream = self._upstream(stack)
            key = f"sk-{secrets.token_hex(32)}"
            env = {"LITELLM_MASTER_KEY": key, **upstream.env}
            command = ("benchmarks.servers.litellm_proxy", "{port}", f"{upstream.url}/v1")
            server = stack.enter_context(Server(*command, env=env, python=python))
            return self._observe(server, "/v1/chat/completions", _CHAT, {"Authorization": f"Bearer {key}"})

    def _tutorial(self) -> Observed:
        with ExitStack() as stack:
            upstream = self._upstream(stack)
            command = ("benchmarks.servers.tutorial", "gateway", "{port}", f"{upstream.url}/v1")
            server = stack.enter_context(Server(*command, env=upstream.env))
            return self._observe(server, "/chat", {"prompt": "Say it."})

    def _observe(
        self, server: Server, path: str, body: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> Observed:
        return observe(
            Job(
                port=server.port,
                pid=server.pid,
                connections=self._generations,
                request=http_request("POST", path, server.port, body, headers),
                spread_s=self._spread_s,
                warm_s=self._warm_s,
                window_s=self._window_s,
            ),
            self._look,
        )
