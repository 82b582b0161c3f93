"""Anthropic's models on Amazon Bedrock and Google Vertex AI, by the SDK's own clients.

A cloud signs requests with what it finds where it runs: AWS's chain of credentials, Google's application defaults. That
is the one place where something is read that nobody named, because the role of a machine has no name to give.
"""

from importlib.util import find_spec

import anthropic
import httpx2

from ..policy import Deadlines
from ..prompt import Prompt
from .address import split_credentials
from .anthropic import MessagesProvider, client_options
from .aws_event_stream import AwsSplitter
from .faults import from_credentials
from .opened import Response


class _CloudProvider(MessagesProvider):
    async def _send(self, prompt: Prompt, deadlines: Deadlines) -> Response:
        try:
            return await super()._send(prompt, deadlines)
        except (anthropic.AnthropicError, httpx2.HTTPError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - what signs is optional, and so are the types of its errors.
            raise from_credentials(error) from None


class BedrockProvider(_CloudProvider):
    """See `Provider`; at Amazon Bedrock.

    Args:
        api_key: A Bedrock API key. When None, AWS's own: `AWS_BEARER_TOKEN_BEDROCK`, or its chain of credentials
            (environment, profile, role), which needs the extra `bedrock`.
        region: As `us-east-1`.
        base_url: Of a private endpoint; the region's own when None.
        max_connections: See `AnthropicProvider`.

    Raises:
        ValueError: It needs AWS's library, which is not there.
    """

    def __init__(
        self, api_key: str | None, region: str, base_url: str | None = None, *, max_connections: int = 1000
    ) -> None:
        url, credentials = split_credentials(base_url or f"https://bedrock-runtime.{region}.amazonaws.com")
        options = client_options(url, max_connections, headers=credentials)
        client = anthropic.AsyncAnthropicBedrock(api_key=api_key, aws_region=region, base_url=url, **options)
        if client.api_key is None and not _installed("boto3"):
            raise ValueError("AWS's credentials need its library: pip install 'realtime-llm[bedrock]'")
        super().__init__(client, AwsSplitter)


class VertexProvider(_CloudProvider):
    """See `Provider`; at Google's Vertex AI.

    Args:
        access_token: Sent as it is, and good for an hour. When None, Google's application default credentials, which
            need the extra `vertex`.
        region: As `us-east5`, or `global`, `us`, `eu`.
        project: Its id.
        base_url: Of a private endpoint, with its version; the region's own when None.
        max_connections: See `AnthropicProvider`.

    Raises:
        ValueError: It needs Google's library, which is not there.
    """

    def __init__(
        self,
        access_token: str | None,
        region: str,
        project: str,
        base_url: str | None = None,
        *,
        max_connections: int = 1000,
    ) -> None:
        if access_token is None and not _installed("google.auth"):
            raise ValueError("Google's credentials need its library: pip install 'realtime-llm[vertex]'")
        url = base_url or f"https://{_VERTEX_HOSTS.get(region, f'{region}-aiplatform.googleapis.com')}/v1"
        super().__init__(
            anthropic.AsyncAnthropicVertex(
                region=region,
                project_id=project,
                access_token=access_token,
                base_url=url,
                **client_options(url, max_connections),
            )
        )


# Of places that are no single region; as the SDK has them, which must be told the address for its proxies to be known.
_VERTEX_HOSTS = {
    "global": "aiplatform.googleapis.com",
    "us": "aiplatform.us.rep.googleapis.com",
    "eu": "aiplatform.eu.rep.googleapis.com",
}


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
