"""May this start, and as what: the checks between a request and a log, all before anything is made.

Pure functions of the request and the rules; the manager calls them in order.
"""

import secrets
import time

import msgspec

from .errors import RealtimeError
from .log import Meta
from .policy import Policy
from .principal import Principal
from .prompt import Prompt
from .request import MAX_METADATA_BYTES, StartRequest


def checked_prompt(request: StartRequest, policy: Policy) -> Prompt:
    """The prompt of a request, within its bounds.

    Raises:
        RealtimeError: `bad_request` or `too_large`, naming the field.
    """
    prompt = request.to_prompt(allowed_tools=policy.provider_tools, max_media_bytes=policy.max_media_bytes)
    limit = policy.max_prompt_chars
    if prompt.text_length() > limit:
        field = "messages" if request.prompt is None else "prompt"
        raise RealtimeError("too_large", f"The prompt is over {limit} characters.", field=field, limit=limit)
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
