"""The providers' file: what it may say, and a sentence with the place for everything that it may not."""

import re
from pathlib import Path
from typing import Any, cast

import pytest

from realtime.server.offers import read_offers

GOOD = """
[providers.openai]
kind = "openai"
key_env = "KEY"
models = ["gpt-*"]
max_live = 20
timeouts = { first_event = 30 }
prices = { "gpt-5*" = { input = 1.25, output = 10, cached_input = 0.125 } }

[providers.azure]
kind = "responses"
models = { "gpt-5" = "our-gpt" }

[[providers.azure.deployments]]
name = "eu"
key_env = "KEY"
base_url = "https://eu.example/openai/v1"
max_live = 5

[[providers.azure.deployments]]
key_file = "KEYFILE"
base_url = "https://us.example/openai/v1"

[aliases]
smart = ["openai/gpt-5", "azure/gpt-5"]

[retries]
attempts = 5

[breaker]
failures = 2

[queue]
length = 7
"""


def written(tmp_path: Path, text: str) -> Path:
    path, key = tmp_path / "providers.toml", tmp_path / "key"
    key.write_text("sk-file\n")
    path.write_text(text.replace("KEYFILE", str(key)))
    return path


async def test_all_of_it_is_read(tmp_path: Path) -> None:
    """Deployments inherit what they do not say, and have names."""
    offers = read_offers(written(tmp_path, GOOD), {"KEY": "sk-env"}, demo=None)
    catalogue = offers.catalogue
    (openai,), (eu, us) = catalogue.deployments["openai"], catalogue.deployments["azure"]
    assert (openai.max_live, openai.deadlines and openai.deadlines.first_event_s) == (20, 30)
    assert (openai.own_name("gpt-5"), openai.own_name("o3")) == ("gpt-5", None)
    prices = openai.prices("gpt-5-mini")
    assert prices is not None
    assert prices.cached_input == 0.125
    assert [(one.name, one.max_live, one.own_name("gpt-5")) for one in (eu, us)] == [
        ("eu", 5, "our-gpt"),
        ("2", None, "our-gpt"),
    ]
    assert catalogue.aliases == {"smart": ("openai/gpt-5", "azure/gpt-5")}
    assert catalogue.places.max_waiting == 7
    assert offers.sources["openai"] == "openai with KEY"
    assert not any("sk-" in source for source in offers.sources.values())
    await catalogue.close()


async def test_the_clouds(tmp_path: Path) -> None:
    """A cloud needs to be told where, and a key of one's own is taken for what it is."""
    text = """
        [providers.bedrock]
        kind = "bedrock"
        region = "eu-west-1"
        key_env = "KEY"

        [providers.vertex]
        kind = "vertex"
        region = "global"
        project = "ours"
        key_file = "KEYFILE"
    """
    offers = read_offers(written(tmp_path, text), {"KEY": "sk-env"}, demo=None)
    clients = {alias: cast("Any", mine[0].provider)._client for alias, mine in offers.catalogue.deployments.items()}
    assert clients["bedrock"].api_key == "sk-env"
    assert clients["bedrock"].base_url.host == "bedrock-runtime.eu-west-1.amazonaws.com"
    assert (clients["vertex"].access_token, clients["vertex"].project_id) == ("sk-file", "ours")
    await offers.catalogue.close()


WRONG = {
    "no toml": ("[providers", "is not TOML"),
    "misspelt": (
        '[providers.a]\nkind = "openai"\nmax_lives = 3',
        "providers.a: Object contains unknown field `max_lives`",
    ),
    "no kind": ("[providers.a]", "kind"),
    "unknown kind": ('[providers.a]\nkind = "gopher"', "kind: Invalid enum value 'gopher'"),
    "not positive": ('[providers.a]\nkind = "openai"\nmax_live = 0', "max_live: Expected `int` >= 1"),
    "a key": ('[providers.a]\nkind = "openai"\napi_key = "sk-secret"', "providers.a.api_key"),
    "a key below": (
        '[providers.a]\nkind = "openai"\n[[providers.a.deployments]]\nkey = "sk-secret"',
        "providers.a.deployments[0].key",
    ),
    "no variable": ('[providers.a]\nkind = "openai"\nkey_env = "MISSING"', "providers.a.key_env: MISSING is not set"),
    "no file": ('[providers.a]\nkind = "openai"\nkey_file = "/nonexistent"', "providers.a.key_file: /nonexistent"),
    "two keys": ('[providers.a]\nkind = "openai"\nkey_file = "KEYFILE"\nkey_env = "KEY"', "not both"),
    "anthropic without a key": ('[providers.a]\nkind = "anthropic"', "providers.a.key_env"),
    "a cloud without its place": ('[providers.a]\nkind = "bedrock"\nkey_env = "KEY"', "providers.a.region"),
    "Google's without a project": ('[providers.a]\nkind = "vertex"\nregion = "eu"', "providers.a.project"),
    "a place that is none": ('[providers.a]\nkind = "vertex"\nregion = "e/u"\nproject = "x"', "region"),
    "no url": ('[providers.a]\nkind = "openai"\nbase_url = "example.com"', "base_url"),
    "alias of nobody": ('[providers]\n[aliases]\nsmart = ["a/b"]', "aliases.smart: 'a/b'"),
    "empty alias": ("[providers]\n[aliases]\nsmart = []", "aliases"),
    "alias and provider": ('[providers.a]\nkind = "demo"\n[aliases]\na = ["a/default"]', "aliases.a"),
    "same name": (
        '[providers.a]\nkind = "demo"\n' + 2 * '[[providers.a.deployments]]\nname = "x"\n',
        "providers.a.deployments",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, case: str) -> None:
    """And never with a secret."""
    text, words = WRONG[case]
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        read_offers(written(tmp_path, text), {"KEY": "sk-env"}, demo=None)
    assert "sk-" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is an error too, and not an empty offer."""
    with pytest.raises(ValueError, match="cannot be read"):
        read_offers(tmp_path / "none.toml", {}, demo=None)


async def test_the_documented_file_will_do(tmp_path: Path) -> None:
    """To the letter."""
    page = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()
    shown = re.search(r"<!-- test: providers file -->\n```toml\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    env = dict.fromkeys(re.findall(r'key_env = "(\w+)"', shown[1]), "sk-env")
    offers = read_offers(written(tmp_path, shown[1]), env, demo=None)
    assert set(offers.sources) == {"openai", "anthropic", "local", "azure", "bedrock", "vertex", "smart"}
    await offers.catalogue.close()
