"""Every setting of the server, with its default: read once, frozen, unpacked at the composition root.

Each is a `REALTIME_…` variable and a flag of `realtime serve`. Secrets are variables or files, never flags: a command
line is visible to every user of the machine.
"""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from realtime.bus.retention import Retention
from realtime.policy import Deadlines, Policy

from .key_file import read_key_file, refuse_whitespace
from .service import HttpLimits

_deadlines, _policy, _retention, _http = Deadlines(), Policy(), Retention(), HttpLimits()


# A command line is visible to every user of the machine, so these are variables and no flags.
SECRETS = frozenset({"api_key", "redis_url"})
_REDIS_SCHEMES = tuple(f"{scheme}{way}://" for way in ("", "+sentinel", "+cluster") for scheme in ("redis", "rediss"))


class Settings(BaseSettings):
    """See the module; a field's description is the flag's help."""

    model_config = SettingsConfigDict(env_prefix="REALTIME_", frozen=True, extra="ignore", hide_input_in_errors=True)

    # Where it listens, and whom it answers.
    host: str = Field("127.0.0.1", description="Address to listen on; beyond loopback needs a key or --insecure")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 for any free one")
    workers: int = Field(1, ge=1, description="Processes; more than one needs a bus that spans them")
    insecure: bool = Field(False, description="Listen beyond loopback without a key")
    api_key: SecretStr | None = Field(None, description="Key that callers send as Authorization: Bearer")
    api_key_file: Path | None = Field(None, description="File that holds the key")
    allowed_hosts: str = Field("", description="Further Host names to answer for, comma separated; * for any")
    cors_origins: str = Field("", description="Origins whose pages may call, comma separated; * for any")
    playground: bool | None = Field(None, description="Serve the playground at /; by default while no key is set")

    # Providers; the keys are read from the providers' own variables too.
    providers_file: Path | None = Field(None, description="TOML file of providers; read again on SIGHUP")
    demo: bool | None = Field(None, description="Offer the demo provider; by default while no other was found")

    # Where logs live.
    redis_url: SecretStr | None = Field(None, description="Redis that all processes share; without it, this process")

    # What a connection may cost.
    body_bytes: int = Field(_http.body_bytes, ge=1024, description="Bytes of a request body")
    body_deadline_s: float = Field(_http.body_deadline_s, gt=0, description="Seconds for a body to arrive")
    header_deadline_s: float = Field(10.0, gt=0, description="Seconds for a request's headers to arrive")
    frame_bytes: int = Field(64 * 1024, ge=1024, description="Bytes of a WebSocket message from a client")
    heartbeat_s: float = Field(_http.heartbeat_s, gt=0, description="Seconds of silence before a heartbeat")
    send_deadline_s: float = Field(_http.send_deadline_s, gt=0, description="Seconds a write waits for a slow peer")
    send_buffer_bytes: int = Field(48 * 1024, ge=4096, description="Kernel send buffer of one connection")
    user_timeout_s: float = Field(20.0, gt=0, description="Seconds until a peer that acknowledges nothing is cut")
    retry_ms: int = Field(_http.retry_ms, ge=0, description="Milliseconds an EventSource waits to reconnect")
    max_streams: int = Field(_http.max_streams, ge=1, description="Streams and sockets open at once")

    # What a generation may cost.
    max_live: int = Field(_policy.max_live, ge=1, description="Generations at once, those in line among them")
    max_prompt_chars: int = Field(_policy.max_prompt_chars, ge=1, description="Characters of a prompt")
    max_media_bytes: int = Field(_policy.max_media_bytes, ge=0, description="Bytes of a prompt's images and files")
    provider_tools: str = Field(
        ",".join(_policy.provider_tools),
        description="Types of tools that callers may have a provider run, comma separated patterns; "
        "* for all that call no address of theirs, empty for none",
    )
    on_disconnect: Literal["stop", "continue"] = Field(
        _policy.on_disconnect, description="When the last observer has gone"
    )
    grace_s: float = Field(_policy.grace_s, ge=0, description="Seconds without an observer before that stop")
    connect_s: float = Field(_deadlines.connect_s, gt=0, description="Deadline to connect to a provider")
    first_event_s: float = Field(_deadlines.first_event_s, gt=0, description="Deadline for the first content")
    idle_s: float = Field(_deadlines.idle_s, gt=0, description="Deadline between two reads from a provider")
    total_s: float = Field(_deadlines.total_s, gt=0, description="Deadline for a whole generation")
    log_limit_bytes: int = Field(_retention.log_limit_bytes, ge=1024, description="Payload of one log")
    window_events: int = Field(_retention.window_events, ge=1, description="Events that a windowed log keeps")
    ended_s: float = Field(_retention.ended_s, ge=0, description="Seconds an ended log is kept")
    ended_bytes: int = Field(_retention.ended_bytes, ge=0, description="Memory of all ended logs; oldest go first")

    # The process.
    drain_timeout_s: float = Field(600.0, ge=0, description="Seconds for what runs to finish after SIGTERM")
    log_format: Literal["text", "json"] = Field("text", description="How log lines look")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged")

    @field_validator("redis_url")
    @classmethod
    def _known_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(_REDIS_SCHEMES):
            raise ValueError(f"It does not begin with {', '.join(_REDIS_SCHEMES)}.")
        if url is not None and _names_database_of_cluster(url.get_secret_value()):
            raise ValueError("A cluster has no database but 0.")
        return url

    @field_validator("host")
    @classmethod
    def _no_blank_host(cls, host: str) -> str:
        if not host.strip():
            raise ValueError("host is empty")
        return host

    @field_validator("api_key")
    @classmethod
    def _one_word(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            refuse_whitespace(key.get_secret_value().strip(), "It")
        return key

    def key(self) -> str | None:
        """The key callers must send, from the variable or the file; a blank variable is none.

        Raises:
            OSError: The file cannot be read.
            ValueError: It holds no key, or one that no header can carry: neither may open the server to everyone.
        """
        given = self.api_key.get_secret_value().strip() if self.api_key is not None else ""
        if given:
            return given
        if self.api_key_file is None:
            return None
        return read_key_file(self.api_key_file)

    def policy(self) -> Policy:
        """The rules for generations."""
        deadlines = Deadlines(self.connect_s, self.first_event_s, self.idle_s, self.total_s)
        return Policy(
            deadlines,
            self.on_disconnect,
            self.grace_s,
            self.max_live,
            self.max_prompt_chars,
            self.max_media_bytes,
            split_list(self.provider_tools),
        )

    def retention(self) -> Retention:
        """What the memory bus keeps."""
        return Retention(self.log_limit_bytes, self.window_events, self.ended_s, self.ended_bytes)

    def http(self) -> HttpLimits:
        """What a connection may cost."""
        return HttpLimits(
            body_bytes=self.body_bytes,
            body_deadline_s=self.body_deadline_s,
            heartbeat_s=self.heartbeat_s,
            send_deadline_s=self.send_deadline_s,
            retry_ms=self.retry_ms,
            max_streams=self.max_streams,
        )


def _names_database_of_cluster(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme.endswith("+cluster") and parts.path.strip("/") not in {"", "0"}


def split_list(text: str) -> tuple[str, ...]:
    """A comma-separated setting."""
    return tuple(item.strip() for item in text.split(",") if item.strip())
