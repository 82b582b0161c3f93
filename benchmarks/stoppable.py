"""What `stop` stops: our server on an upstream that notes when its streams were closed."""

from .machine import CLIENT_CORE
from .processes import Server

RATE = 50
SERVE = ("realtime", "serve", "--port", "{port}", "--log-level", "warning")


def closing_upstream(rate: float) -> Server:
    """The fake OpenAI, beside the client."""
    return Server("benchmarks.servers.closing", "{port}", str(rate), core=CLIENT_CORE)


def provider(upstream: Server) -> dict[str, str]:
    """The variables with which our server finds it."""
    return {"OPENAI_BASE_URL": f"http://127.0.0.1:{upstream.port}/v1", "OPENAI_API_KEY": "unused"}
