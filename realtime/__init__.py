"""Start an LLM generation once; watch it from anywhere, resume it, stop it from any client."""

from pathlib import Path

# Another distribution, Supabase's `realtime`, installs a package of this name too. pip merges the two silently, and
# what is imported is then a mixture of both; better one sentence now than a puzzle later.
if (Path(__file__).parent / "_async").exists():
    raise ImportError(
        "The packages of realtime-llm and of Supabase's realtime are installed over each other. "
        "Uninstall both, then install only one of them in this environment."
    )

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
