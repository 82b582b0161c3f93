"""The Python client: start a generation, follow it over any wire through any number of drops, stop it."""

from .backoff import Backoff
from .client import Client
from .errors import ClientError, ProtocolError, RefusedError, UnreachableError
from .observation import Observation
from .place import JsonView, Observed, Reset, Unknown
from .records import Conversation, Generation, Model, Page, Resource, Result, StopAnswer

__all__ = [
    "Backoff",
    "Client",
    "ClientError",
    "Conversation",
    "Generation",
    "JsonView",
    "Model",
    "Observation",
    "Observed",
    "Page",
    "ProtocolError",
    "RefusedError",
    "Reset",
    "Resource",
    "Result",
    "StopAnswer",
    "Unknown",
    "UnreachableError",
]
