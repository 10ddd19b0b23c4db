"""Whom an instance admits: by namespace, its labels, or a list in the settings."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..api.instance import AllowedAdopters, AllowedNamespaces, From, LabelSelector

ReadLabels = Callable[[str], Awaitable[dict[str, str]]]
"""Name of a namespace -> its labels; none where it does not exist."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A rule about namespaces.

    Attributes:
        from_: which ones.
        home: namespace of the instance, for `Same`.
        selector: for `Selector`.
        names: instead of all that: these and no others; where it is empty, `from_` counts.
    """

    from_: From = From.SAME
    home: str = ""
    selector: LabelSelector | None = None
    names: frozenset[str] = frozenset()

    async def admits(self, namespace: str, read_labels: ReadLabels) -> bool:
        """Whether a resource in `namespace` is admitted."""
        if self.names:
            return namespace in self.names
        match self.from_:
            case From.ALL:
                return True
            case From.SAME:
                return namespace == self.home
            case From.SELECTOR:
                labels = await read_labels(namespace)
                return self.selector is not None and self.selector.matches(labels)
            case From.NONE:
                return False


def admission_of(rule: AllowedNamespaces | AllowedAdopters | None, home: str) -> Admission:
    """The rule of a GrafanaInstance in the namespace `home`; without one, `Same`."""
    if rule is None:
        return Admission(home=home)
    return Admission(From(rule.from_), home, rule.selector)
