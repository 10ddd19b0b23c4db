"""Two writes to one data source lie far enough apart."""

from grafana_datasource_operator.grafana.pace import WRITE_GAP_SECONDS, WriteSpacing


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _spacing() -> tuple[WriteSpacing, Clock]:
    clock = Clock()
    return WriteSpacing(clock), clock


def test_the_gap_is_longer_than_the_second_in_which_grafana_keeps_old_credentials() -> None:
    assert WRITE_GAP_SECONDS >= 1.1


def test_the_first_write_is_immediate() -> None:
    spacing, _ = _spacing()
    assert spacing.delay("a") == 0


def test_the_next_write_waits_for_the_rest_of_the_gap() -> None:
    spacing, clock = _spacing()
    spacing.note("a")
    waits = []
    for _ in range(5):
        waits.append(round(spacing.delay("a"), 6))
        clock.now += 0.4
    assert waits == [1.1, 0.7, 0.3, 0, 0]


def test_each_data_source_has_its_own_gap() -> None:
    spacing, clock = _spacing()
    spacing.note("a")
    clock.now += 0.5
    spacing.note("b")
    assert (round(spacing.delay("a"), 6), round(spacing.delay("b"), 6)) == (0.6, 1.1)
    assert spacing.delay("c") == 0


def test_the_gap_counts_from_the_last_write() -> None:
    spacing, clock = _spacing()
    spacing.note("a")
    clock.now += 1.0
    spacing.note("a")
    assert round(spacing.delay("a"), 6) == 1.1


def test_after_a_start_an_update_waits_for_what_the_process_before_may_have_written() -> None:
    spacing, clock = _spacing()
    assert round(spacing.delay_after_start("a"), 6) == 1.1
    clock.now += 0.6
    assert round(spacing.delay_after_start("a"), 6) == 0.5
    clock.now += 0.6
    assert spacing.delay_after_start("a") == 0
    spacing.note("a")
    assert round(spacing.delay_after_start("a"), 6) == 1.1


def test_very_many_writes_do_not_shorten_a_gap() -> None:
    spacing, clock = _spacing()
    for number in range(1500):
        spacing.note(f"ds-{number}")
        clock.now += 0.0001
    assert 0 < spacing.delay("ds-1499") <= WRITE_GAP_SECONDS
    assert 0 < spacing.delay("ds-0") < WRITE_GAP_SECONDS
