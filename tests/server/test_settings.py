"""Settings: each a variable and a flag, wrong ones refused in a sentence, nothing unsafe by default."""

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner, Result

from realtime.bus.retention import Retention
from realtime.policy import Policy
from realtime.server import cli
from realtime.server import process as process_module
from realtime.server import serve as serve_module
from realtime.server.app import Application
from realtime.server.service import HttpLimits
from realtime.server.settings import SECRETS, Settings, split_list

FLAGS = [name for name in Settings.model_fields if name not in SECRETS]

# A value of every setting that is not its default, as one writes it and as it is understood.
SAMPLES: dict[str, tuple[str, Any]] = {
    "host": ("127.0.0.2", "127.0.0.2"),
    "port": ("0", 0),
    "workers": ("1", 1),
    "insecure": ("true", True),
    "api_key_file": ("/dev/null", Path("/dev/null")),
    "allowed_hosts": ("a.example", "a.example"),
    "cors_origins": ("https://a.example", "https://a.example"),
    "playground": ("false", False),
    "providers_file": ("/dev/null", Path("/dev/null")),
    "demo": ("true", True),
    "body_bytes": ("2048", 2048),
    "body_deadline_s": ("1.5", 1.5),
    "header_deadline_s": ("1.5", 1.5),
    "frame_bytes": ("2048", 2048),
    "heartbeat_s": ("1.5", 1.5),
    "send_deadline_s": ("1.5", 1.5),
    "send_buffer_bytes": ("8192", 8192),
    "user_timeout_s": ("1.5", 1.5),
    "retry_ms": ("7", 7),
    "max_streams": ("7", 7),
    "max_live": ("7", 7),
    "max_prompt_chars": ("7", 7),
    "max_media_bytes": ("7", 7),
    "provider_tools": ("web_search*", "web_search*"),
    "on_disconnect": ("continue", "continue"),
    "grace_s": ("1.5", 1.5),
    "connect_s": ("1.5", 1.5),
    "first_event_s": ("1.5", 1.5),
    "idle_s": ("1.5", 1.5),
    "total_s": ("1.5", 1.5),
    "log_limit_bytes": ("2048", 2048),
    "window_events": ("7", 7),
    "ended_s": ("1.5", 1.5),
    "ended_bytes": ("7", 7),
    "drain_timeout_s": ("1.5", 1.5),
    "log_format": ("json", "json"),
    "log_level": ("debug", "debug"),
}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Application]:
    """The applications that `realtime serve` would have served, instead of serving them."""
    applications: list[Application] = []

    class Server:
        def run(self, sockets: list[socket.socket]) -> None:
            for sock in sockets:
                sock.close()

    def create(application: Application) -> Server:
        applications.append(application)
        return Server()

    monkeypatch.setattr(process_module, "create_server", create)
    monkeypatch.setattr(serve_module, "configure_logging", lambda *_, **__: None)
    return applications


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, built: list[Application]) -> Iterator[Callable[..., Result]]:
    """Runs `realtime serve` with flags and variables, on a free port unless told otherwise."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*flags: str, **variables: str) -> Result:
        for name, value in {"REALTIME_PORT": "0", **variables}.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(cli.cli, ["serve", *flags], terminal_width=500)

    yield run
    assert len(built) <= 1


def assert_refused(result: Result, *words: str) -> None:
    """Check that it ended with one line of sense."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr


def test_every_setting_has_a_sample() -> None:
    """A setting that is added must be added to this test too."""
    assert SAMPLES.keys() == set(FLAGS)


@pytest.mark.parametrize("name", FLAGS)
def test_flag(serve: Callable[..., Result], built: list[Application], name: str) -> None:
    """Every setting is a flag, and what is given there is what the server has."""
    text, value = SAMPLES[name]
    switch = f"--{name.replace('_', '-')}" if text != "false" else f"--no-{name.replace('_', '-')}"
    flags = [switch] if text in {"true", "false"} else [switch, text]
    if name == "api_key_file":
        assert_refused(serve(*flags), "api_key_file", "holds no key")
        return
    result = serve(*flags)
    assert result.exit_code == 0, result.output
    assert getattr(built[0].settings, name) == value


@pytest.mark.parametrize("name", FLAGS)
def test_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Every setting is a variable."""
    text, value = SAMPLES[name]
    monkeypatch.setenv(f"REALTIME_{name.upper()}", text)
    assert getattr(_settings(), name) == value


def _settings() -> Settings:
    given: dict[str, Any] = {}
    return Settings(**given)


def test_flags_win(serve: Callable[..., Result], built: list[Application]) -> None:
    """A flag wins over a variable."""
    assert serve("--max-live", "7", REALTIME_MAX_LIVE="8", REALTIME_MAX_STREAMS="9").exit_code == 0
    assert (built[0].settings.max_live, built[0].settings.max_streams) == (7, 9)


@pytest.mark.parametrize("name", FLAGS)
def test_help(name: str) -> None:
    """A flag's help says what it is, which variable it is too, and its default."""
    command = typer.main.get_command(cli.cli)
    (option,) = [param for param in command.commands["serve"].params if param.name == name]  # type: ignore[attr-defined]
    field = Settings.model_fields[name]
    assert field.description
    assert option.help.startswith(field.description)
    assert f"REALTIME_{name.upper()}; default: {field.default}" in option.help


def test_secrets_are_no_flags(serve: Callable[..., Result]) -> None:
    """A key on a command line could be read by every user of the machine, so there is no flag for one."""
    command = typer.main.get_command(cli.cli)
    flags = {flag for param in command.commands["serve"].params for flag in param.opts}  # type: ignore[attr-defined]
    assert {flag for flag in flags if re.search("key|secret|token|password", flag)} == {"--api-key-file"}
    assert serve("--api-key", "k").exit_code == 2


WRONG = [
    ("port", "seven"),
    ("port", "65536"),
    ("port", "-1"),
    ("workers", "0"),
    ("host", " "),
    ("insecure", "perhaps"),
    ("on_disconnect", "abort"),
    ("log_level", "loud"),
    ("log_format", "xml"),
    ("frame_bytes", "10"),
    ("grace_s", "-1"),
    ("idle_s", "0"),
    ("max_live", "1e3x"),
    ("body_deadline_s", ""),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_variable(serve: Callable[..., Result], name: str, value: str) -> None:
    """A variable that is wrong is refused in one sentence that names the setting."""
    assert_refused(serve(**{f"REALTIME_{name.upper()}": value}), name)


@pytest.mark.parametrize(("name", "value"), [pair for pair in WRONG if pair[0] != "insecure"])
def test_wrong_flag(serve: Callable[..., Result], name: str, value: str) -> None:
    """A flag that is wrong is refused by name, by us or by the parser of the command line."""
    result = serve(f"--{name.replace('_', '-')}={value}")
    assert result.exit_code == 2
    assert name in result.stderr.replace("-", "_")
    assert "Traceback" not in result.stderr


def test_wrong_value_is_not_repeated(serve: Callable[..., Result]) -> None:
    """What was given may be a secret in the wrong place."""
    assert "s3cret" not in serve(REALTIME_PORT="s3cret").output


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", "127.0.0.1.example.com"])
def test_beyond_loopback(serve: Callable[..., Result], host: str) -> None:
    """Beyond loopback a server without a key would let anyone spend its money."""
    assert_refused(serve("--host", host), host, "REALTIME_API_KEY", "--insecure")


@pytest.mark.parametrize("key", ["", " "])
def test_beyond_loopback_with_an_empty_key(serve: Callable[..., Result], key: str) -> None:
    """An empty key is none."""
    assert_refused(serve("--host", "0.0.0.0", REALTIME_API_KEY=key), "REALTIME_API_KEY")


@pytest.mark.parametrize(("flags", "key"), [(["--insecure"], None), ([], "k")])
def test_beyond_loopback_on_purpose(serve: Callable[..., Result], flags: list[str], key: str | None) -> None:
    """With a key, or on demand, it listens anywhere."""
    variables = {} if key is None else {"REALTIME_API_KEY": key}
    assert serve("--host", "0.0.0.0", *flags, **variables).exit_code == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "localhost", "::1"])
def test_loopback(serve: Callable[..., Result], host: str) -> None:
    """Loopback needs no key."""
    result = serve("--host", host)
    assert result.exit_code == 0 or "Cannot listen on ::1" in result.stderr, "not every machine has IPv6"


def test_workers(serve: Callable[..., Result]) -> None:
    """A bus of one process cannot serve several."""
    assert_refused(serve("--workers", "2"), "--workers", "REALTIME_REDIS_URL")


def test_a_redis_that_is_none(serve: Callable[..., Result]) -> None:
    """An address of another kind is refused by what it begins with, and is not repeated."""
    result = serve(REALTIME_REDIS_URL="http://user:sk-secret@127.0.0.1")
    assert_refused(result, "redis_url", "redis://")
    assert "sk-secret" not in result.output


def test_a_database_of_a_cluster(serve: Callable[..., Result]) -> None:
    """There is only one, and an address that names another is refused and not repeated."""
    result = serve(REALTIME_REDIS_URL="rediss+cluster://user:sk-secret@127.0.0.1:7000,127.0.0.1:7001/2")
    assert_refused(result, "redis_url", "no database")
    assert "sk-secret" not in result.output


def test_key_file(serve: Callable[..., Result], built: list[Application], tmp_path: Path) -> None:
    """A key may be in a file; it opens the way beyond loopback and is not shown."""
    (tmp_path / "key").write_text("file-k3y\n")
    result = serve("--host", "0.0.0.0", "--api-key-file", str(tmp_path / "key"))
    assert result.exit_code == 0
    assert "file-k3y" not in result.output
    assert built[0].settings.key() == "file-k3y"


def test_key_wins_over_key_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable wins, and the file is not even read."""
    monkeypatch.setenv("REALTIME_API_KEY", "variable-k3y")
    monkeypatch.setenv("REALTIME_API_KEY_FILE", str(tmp_path / "absent"))
    assert _settings().key() == "variable-k3y"


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_key_does_not_hide_the_key_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blank: str) -> None:
    """A variable that is set to nothing, as compose files do, is as good as absent."""
    (tmp_path / "key").write_text("file-k3y\n")
    monkeypatch.setenv("REALTIME_API_KEY", blank)
    monkeypatch.setenv("REALTIME_API_KEY_FILE", str(tmp_path / "key"))
    assert _settings().key() == "file-k3y"


@pytest.mark.parametrize("key", ["tw0 words", "tw0\twords", "tw0\nlines"])
def test_a_key_with_whitespace(serve: Callable[..., Result], tmp_path: Path, key: str) -> None:
    """No caller could send it; it is refused from the variable and from the file, and not repeated."""
    (tmp_path / "key").write_text(key)
    for result in (serve(REALTIME_API_KEY=key), serve("--api-key-file", str(tmp_path / "key"))):
        assert_refused(result, "api_key", "whitespace")
        assert "tw0" not in result.output


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\x00"])
def test_unusable_key_file(serve: Callable[..., Result], tmp_path: Path, content: bytes) -> None:
    """A file without a key must not open the server to everyone."""
    (tmp_path / "key").write_bytes(content)
    assert_refused(serve("--api-key-file", str(tmp_path / "key")), "api_key_file: The file")


def test_absent_key_file(serve: Callable[..., Result], tmp_path: Path) -> None:
    """A file that is not there, or is a folder, is refused as what it is."""
    assert_refused(serve("--api-key-file", str(tmp_path / "absent")), "api_key_file: No such file")
    assert_refused(serve("--api-key-file", str(tmp_path)), "api_key_file: Is a directory")


def test_port_in_use(serve: Callable[..., Result]) -> None:
    """A port that is taken is named."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(serve("--port", str(port)), f"Cannot listen on 127.0.0.1:{port}")


def test_unknown_host(serve: Callable[..., Result]) -> None:
    """A host that does not resolve is named."""
    assert_refused(serve("--host", "no-such-host.invalid", "--insecure"), "Cannot listen on no-such-host.invalid")


def test_greeting(serve: Callable[..., Result]) -> None:
    """It says which providers were found, from where, and where it listens; never a key."""
    result = serve(OPENAI_API_KEY="sk-s3cret", ANTHROPIC_API_KEY="sk-ant-s3cret")
    assert result.exit_code == 0
    assert "provider openai  OPENAI_API_KEY" in result.stderr
    assert "provider anthropic  ANTHROPIC_API_KEY" in result.stderr
    assert re.search(r"listening on http://127\.0\.0\.1:[1-9][0-9]+ ", result.stderr)
    assert "s3cret" not in result.output
    assert "demo" not in result.stderr


@pytest.mark.parametrize("name", ["OPENAI", "ANTHROPIC"])
def test_greeting_with_credentials_in_a_url(serve: Callable[..., Result], name: str) -> None:
    """Of a provider's URL neither the password nor the query is shown, and however long, it stays on its line."""
    path = "/".join(["long"] * 60)
    variables = {f"{name}_API_KEY": "k", f"{name}_BASE_URL": f"http://us3r:s3cret@[::1]:1/{path}?key=s3cret"}
    result = serve(**variables)
    assert result.exit_code == 0
    assert f" at http://[::1]:1/{path}\n" in result.stderr
    assert "s3cret" not in result.output
    assert "us3r" not in result.output


def test_defaults() -> None:
    """What nobody sets is what the library does by itself, and the two cannot drift apart."""
    settings = _settings()
    assert settings.policy() == Policy()
    assert settings.retention() == Retention()
    assert settings.http() == HttpLimits()
    assert settings.key() is None


def test_frozen() -> None:
    """Settings are read once."""
    with pytest.raises(ValueError, match="frozen"):
        _settings().port = 1


@pytest.mark.parametrize(("text", "items"), [("", ()), (" , ", ()), ("a", ("a",)), (" a ,b,, c", ("a", "b", "c"))])
def test_lists(text: str, items: tuple[str, ...]) -> None:
    """A list is separated by commas, however it is spaced."""
    assert split_list(text) == items
