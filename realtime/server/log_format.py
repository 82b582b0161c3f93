"""How log lines look: a readable line for a terminal, or one JSON object a line for a collector."""

import logging
import sys
from typing import Any, Literal

from transports.codec import json_line

LogFormat = Literal["text", "json"]


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        shown = " ".join(f"{key}={value}" for key, value in fields.items())
        return f"{super().format(record)} {shown}".rstrip()


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json_line(line).decode()


def _with_pid(record: logging.LogRecord) -> bool:
    """Say in its line which process a record is of."""
    record.fields = {**getattr(record, "fields", {}), "pid": record.process}
    return True


def configure_logging(form: LogFormat, level: str, *, pids: bool = False) -> None:
    """Send the loggers of this server and of uvicorn to stderr; access lines are off, queries would be in them.

    Args:
        pids: Say in each line which process it is of, for several that share one stderr.
    """
    handler = logging.StreamHandler(sys.stderr)
    text = _Text("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(_Json() if form == "json" else text)
    if pids:
        handler.addFilter(_with_pid)
    for name in ("realtime", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False
