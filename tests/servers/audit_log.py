"""Read a kube-apiserver's audit log: who did what to which object, and how often."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
UNCOUNTED_RESOURCES = frozenset({"events", "leases"})


@dataclass(frozen=True)
class AuditedObject:
    """What a request was about; parts that a request does not have are empty."""

    group: str
    resource: str
    namespace: str
    name: str


@dataclass(frozen=True)
class AuditRecord:
    """One request and its answer."""

    verb: str
    user: str
    user_agent: str
    object: AuditedObject
    subresource: str
    code: int
    stage: str
    uri: str
    received: str
    """RFC 3339 with microseconds."""

    @property
    def resource(self) -> str:
        return self.object.resource

    @property
    def namespace(self) -> str:
        return self.object.namespace

    @property
    def name(self) -> str:
        return self.object.name

    @property
    def is_write(self) -> bool:
        return self.verb in WRITE_VERBS

    @property
    def is_complete(self) -> bool:
        return self.stage == "ResponseComplete"


class AuditLog:
    """The file at `path`; a mark is a place in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mark(self) -> int:
        """Everything that was answered before this call lies before the mark."""
        return self.path.stat().st_size if self.path.exists() else 0

    def read_since(self, mark: int = 0) -> list[AuditRecord]:
        """Also the beginnings of watches that go on (stage ResponseStarted)."""
        return list(self._records(mark))

    def requests(self, of_user_agent_prefix: str = "", since: int = 0) -> list[AuditRecord]:
        """Answered requests."""
        return [
            record
            for record in self._records(since)
            if record.is_complete and record.user_agent.startswith(of_user_agent_prefix)
        ]

    def write_records(self, of_user_agent_prefix: str = "", since: int = 0) -> list[AuditRecord]:
        """Answered writes, refused ones included; events and leases are not counted."""
        return [
            record
            for record in self.requests(of_user_agent_prefix, since)
            if record.is_write and record.resource not in UNCOUNTED_RESOURCES
        ]

    def writes(self, of_user_agent_prefix: str = "", since: int = 0) -> Counter[AuditedObject]:
        """How many writes each object received, writes to its subresources included."""
        return Counter(record.object for record in self.write_records(of_user_agent_prefix, since))

    def _records(self, mark: int) -> Iterator[AuditRecord]:
        if not self.path.exists():
            return
        with self.path.open("rb") as log:
            log.seek(mark)
            for line in log:
                if line.endswith(b"\n"):  # else it is being written
                    yield _record(json.loads(line))


def _record(event: dict[str, Any]) -> AuditRecord:
    reference = event.get("objectRef") or {}
    return AuditRecord(
        verb=event["verb"],
        user=event["user"].get("username", ""),
        user_agent=event.get("userAgent", ""),
        object=AuditedObject(
            group=reference.get("apiGroup", ""),
            resource=reference.get("resource", ""),
            namespace=reference.get("namespace", ""),
            name=reference.get("name", ""),
        ),
        subresource=reference.get("subresource", ""),
        code=(event.get("responseStatus") or {}).get("code", 0),
        stage=event["stage"],
        uri=event["requestURI"],
        received=event["requestReceivedTimestamp"],
    )
