"""Start an LLM generation once; watch it from anywhere, resume it, stop it from any client."""

from .cursor import Cursor
from .errors import ErrorObject, RealtimeError
from .events import Data, Event, Finished, Source, Summary, Text, ToolCall, Usage
from .log import EventLog
from .manager import SessionManager
from .message import Message
from .observation import Observation
from .policy import Deadlines, Policy
from .principal import ANONYMOUS, Principal
from .prompt import Prompt
from .request import StartRequest

__all__ = [
    "ANONYMOUS",
    "Cursor",
    "Data",
    "Deadlines",
    "ErrorObject",
    "Event",
    "EventLog",
    "Finished",
    "Message",
    "Observation",
    "Policy",
    "Principal",
    "Prompt",
    "RealtimeError",
    "SessionManager",
    "Source",
    "StartRequest",
    "Summary",
    "Text",
    "ToolCall",
    "Usage",
]
