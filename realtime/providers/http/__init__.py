"""HTTP/1.1 under the SDKs, at the price of the bytes: a transport for `httpx2` whose bodies can be pushed.

httpx2's own spends most of a paced token in h11, anyio's cancel scopes and nested generators, twice as much under TLS.
Here one asyncio protocol and httptools' parser do it, and `Body.push` gives its consumer a read without waking a task.
"""

from .answer import EarlyEndError
from .body import Body, Feed, body_of
from .proxies import proxied
from .transport import KEEPALIVE_S, Transport

__all__ = ["KEEPALIVE_S", "Body", "EarlyEndError", "Feed", "Transport", "body_of", "proxied"]
