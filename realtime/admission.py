"""May this start, and as what: the checks between a request and a log, all before anything is made.

Pure functions of the request and the rules; the manager calls them in order.
"""

import secrets
import time
from collections.abc import Mapping

import msgspec

from .errors import RealtimeError
from .log import Meta
from .policy import Policy
from .principal import Principal
from .prompt import Prompt
from .providers.base import Provider
from .request import MAX_METADATA_BYTES, StartRequest


def choose_provider(providers: Mapping[str, Provider], request: StartRequest) -> Provider:
    """The provider that the request's model names.

    Raises:
        RealtimeError: `bad_request`, naming those that are configured.
    """
    provider = providers.get(request.provider)
    if provider is None:
        known = ", ".join(sorted(providers)) or "none"
        sentence = f"Provider {request.provider!r} is not configured here; configured: {known}."
        raise RealtimeError("bad_request", sentence, field="model")
    return provider


def checked_prompt(request: StartRequest, provider: Provider, policy: Policy) -> Prompt:
    """The prompt of a request, within its bound and with nothing that the provider cannot honour.

    Raises:
        RealtimeError: `bad_request` or `too_large`, naming the field.
    """
    prompt = request.to_prompt()
    limit = policy.max_prompt_chars
    if prompt.text_length() > limit:
        field = "messages" if request.prompt is None else "prompt"
        raise RealtimeError("too_large", f"The prompt is over {limit} characters.", field=field, limit=limit)
    provider.check(prompt)
    return prompt


def new_meta(principal: Principal, request: StartRequest) -> Meta:
    """What a new log is of, under an id that cannot be guessed.

    Raises:
        RealtimeError: `too_large` for metadata.
    """
    limit = MAX_METADATA_BYTES
    if request.metadata is not None and len(msgspec.json.encode(request.metadata)) > limit:
        raise RealtimeError("too_large", f"metadata is over {limit} bytes.", field="metadata", limit=limit)
    return Meta(
        generation=secrets.token_hex(16),
        tenant=principal.tenant,
        subject=principal.subject,
        provider=request.provider,
        model=request.model,
        created_ms=int(time.time() * 1000),
        conversation=request.conversation,
        metadata=request.metadata,
        retain=request.retain,
    )
