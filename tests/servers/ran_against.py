"""What the tests of a run really ran against, carried with each test's report."""

from collections import Counter
from collections.abc import Iterable

import pytest

PROPERTY = "ran against"


def note(item: pytest.Item, server: str) -> None:
    """Say that this test ran against `server`; travels to the controller of pytest-xdist."""
    if (PROPERTY, server) not in item.user_properties:
        item.user_properties.append((PROPERTY, server))


def summary_lines(reports: Iterable[pytest.TestReport]) -> list[str]:
    """One line per server, with the number of tests."""
    tests = Counter(
        str(server)
        for report in reports
        for name, server in report.user_properties
        if name == PROPERTY
    )
    return [
        f"{server}: {count} {'test' if count == 1 else 'tests'}"
        for server, count in sorted(tests.items())
    ]
