"""Ways in and out: pure codecs, the ASGI shells that carry them, and a client that speaks them all."""

import importlib.util

# See `realtime/__init__.py`: here for the case that the other distribution was installed last and won.
if importlib.util.find_spec("realtime.observation") is None:
    raise ImportError(
        "The `realtime` package that is installed is not realtime-llm's but another distribution's. "
        "Uninstall both, then install only one of them in this environment."
    )
