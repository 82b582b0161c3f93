"""What can be asked for, by which name, and who is asked then."""

import asyncio
from collections.abc import Mapping

import pytest

from realtime.attempts import Attempts
from realtime.catalogue import Catalogue
from realtime.deployments import Deployment
from realtime.errors import RealtimeError
from realtime.prompt import Message, Prompt
from tests.unit.scripted import ScriptedProvider

PROMPT = Prompt("", (Message("user", "x"),))


def deployment(alias: str, name: str = "default", models: Mapping[str, str] | None = None) -> Deployment:
    return Deployment(ScriptedProvider(), alias=alias, name=name, models=models)


async def first(attempts: Attempts) -> tuple[str, str, str]:
    """Who is asked first, and for what."""
    target = await attempts.next(lambda _: None)
    return target.deployment.alias, target.deployment.name, target.prompt.model


async def test_a_model_is_asked_for_by_its_provider_s_alias() -> None:
    """What comes after the first slash is the provider's own name for it."""
    catalogue = Catalogue.of({"one": ScriptedProvider(), "two": ScriptedProvider()})
    assert await first(catalogue.attempts("two/some/model:8b", PROMPT)) == ("two", "default", "some/model:8b")


async def test_a_deployment_may_have_a_name_of_its_own_for_a_model() -> None:
    """As Azure has; and it serves only what is listed."""
    mine = deployment("azure", models={"gpt-*-mini": "", "gpt-5": "our-gpt"})
    catalogue = Catalogue({"azure": [mine]})
    assert (await first(catalogue.attempts("azure/gpt-5", PROMPT)))[2] == "our-gpt"
    assert (await first(catalogue.attempts("azure/gpt-5-mini", PROMPT)))[2] == "gpt-5-mini"
    with pytest.raises(RealtimeError) as refused:
        catalogue.attempts("azure/other", PROMPT)
    assert (refused.value.code, refused.value.error.field) == ("bad_request", "model")
    assert "gpt-*-mini, gpt-5" in refused.value.error.message


async def test_only_deployments_that_have_a_model_are_asked_for_it() -> None:
    """Keys of one alias need not open the same doors."""
    some, others = deployment("p", "some", {"a": ""}), deployment("p", "others", {"b": ""})
    catalogue = Catalogue({"p": [some, others]})
    assert (await first(catalogue.attempts("p/b", PROMPT)))[1] == "others"


async def test_an_alias_stands_for_its_models() -> None:
    """The first of them is preferred."""
    catalogue = Catalogue({"one": [deployment("one")], "two": [deployment("two")]}, {"smart": ["two/x", "one/y"]})
    attempts = catalogue.attempts("smart", PROMPT)
    target = await attempts.next(lambda _: None)
    assert (target.deployment.alias, target.prompt.model) == ("two", "x")
    failure = RealtimeError("upstream_overloaded")
    attempts.over(target, failure, said=False)
    assert attempts.may_follow(target, failure)
    assert (await first(attempts))[::2] == ("one", "y")


async def test_who_cannot_honour_a_prompt_is_not_asked() -> None:
    """And when nobody can, the caller is told why."""

    class Picky(ScriptedProvider):
        def check(self, prompt: Prompt) -> None:
            raise RealtimeError("bad_request", "It has no images.", field="messages[0]")

    picky, other = Deployment(Picky(), alias="picky"), deployment("other")
    catalogue = Catalogue({"picky": [picky], "other": [other]}, {"both": ["picky/a", "other/a"]})
    assert (await first(catalogue.attempts("both", PROMPT)))[0] == "other"
    with pytest.raises(RealtimeError) as refused:
        catalogue.attempts("picky/a", PROMPT)
    assert refused.value.error.field == "messages[0]"


async def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    """Aliases among them."""
    catalogue = Catalogue({"one": [deployment("one")]}, {"smart": ["one/x"]})
    with pytest.raises(RealtimeError) as refused:
        catalogue.attempts("nobody/x", PROMPT)
    assert "configured: one, smart." in refused.value.error.message


async def test_every_model_is_listed() -> None:
    """The aliases, what is listed by name, and what providers tell of themselves where that is offered."""
    listed, open_ = deployment("listed", models={"a": "", "b-*": ""}), deployment("open")
    models = await Catalogue({"listed": [listed], "open": [open_]}, {"smart": ["open/x"]}).models()
    assert [model["id"] for model in models] == ["smart", "listed/a", "open/default"]


async def test_it_closes_after_its_last_generation() -> None:
    """Not before, and at once when there is none."""
    catalogue = Catalogue({"one": [deployment("one")]})
    catalogue.begin()
    closing = asyncio.create_task(catalogue.close_when_idle())
    await asyncio.sleep(0)
    assert not closing.done()
    catalogue.end()
    await asyncio.wait_for(closing, 20)
    await asyncio.wait_for(catalogue.close_when_idle(), 20)
