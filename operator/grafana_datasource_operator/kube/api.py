"""Raw JSON requests to the apiserver over the kubernetes package's asyncio client."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import cast

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTResponse

from ..api.model import Json
from .errors import BY_STATUS, KubeError

MERGE_PATCH = "application/merge-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_LARGEST_WATCH_EVENT = 8 * 2**20


class KubeApi:
    """One connection pool to the apiserver; every call raises `KubeError` or returns JSON."""

    def __init__(self, configuration: Configuration, user_agent: str) -> None:
        self._client = ApiClient(configuration)
        self._client.user_agent = user_agent

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,  # noqa: ASYNC109 - handed to the client, which enforces it
    ) -> Json:
        """Send one request.

        Raises:
            KubeError: no answer, or an error; never with the apiserver's text.
        """
        what = f"{method} {path}"
        try:
            response = await self._send(method, path, body, query, content_type, accept, timeout)
            content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise KubeError(what, 0) from None
        if response.status >= 400:
            raise BY_STATUS.get(response.status, KubeError)(what, response.status)
        return cast("Json", json.loads(content))

    async def watch(
        self, path: str, *, query: dict[str, str], accept: str, idle_timeout: float
    ) -> AsyncIterator[Json]:
        """Yield the events of one watch request until the server ends it, or falls silent.

        Args:
            path: of the collection.
            query: resourceVersion, selectors, timeoutSeconds.
            accept: representation of the objects.
            idle_timeout: seconds without a byte after which the stream may be dead, and the caller
                does well to watch anew from where it is.

        Raises:
            KubeError: no answer, an error, or a stream that broke.
        """
        what = f"WATCH {path}"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=idle_timeout, sock_connect=10)
        try:
            response = await self._send(
                "GET", path, None, {**query, "watch": "true"}, "application/json", accept, timeout
            )
            if response.status >= 400:
                response.response.release()
                raise BY_STATUS.get(response.status, KubeError)(what, response.status)
            try:
                async for line in _read_lines(response.response.content):
                    yield json.loads(line)
            finally:
                response.response.close()
        except aiohttp.SocketTimeoutError:
            return
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            raise KubeError(what, 0) from None

    async def _send(
        self,
        method: str,
        path: str,
        body: Json | None,
        query: dict[str, str] | None,
        content_type: str,
        accept: str,
        timeout: float | aiohttp.ClientTimeout,  # noqa: ASYNC109 - handed on
    ) -> RESTResponse:
        parameters = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self._client.call_api(*parameters, _request_timeout=timeout)


async def _read_lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length up to the largest event; aiohttp's own line limit is smaller."""
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > _LARGEST_WATCH_EVENT:
            raise ValueError("watch event too large")
        await asyncio.sleep(0)
