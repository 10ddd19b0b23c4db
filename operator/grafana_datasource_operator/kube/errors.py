"""What can go wrong at the apiserver. Its own texts are dropped: a 422 quotes the whole object."""


class KubeError(Exception):
    """A call failed; `status` is the HTTP status, 0 without an answer."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(f"{what}: {'no answer' if status == 0 else f'HTTP {status}'}")
        self.status = status


class NotFoundError(KubeError):
    """404: the object, or its kind, does not exist."""


class ConflictError(KubeError):
    """409: the object has changed since we read it, or exists already."""


class GoneError(KubeError):
    """410: the resource version is too old to go on from."""


BY_STATUS: dict[int, type[KubeError]] = {404: NotFoundError, 409: ConflictError, 410: GoneError}
