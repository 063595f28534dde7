"""What struck is added up over the whole suite and printed at its end; `CHAOS=full` (`make chaos`) takes all of it."""

import os
from collections import Counter
from collections.abc import Mapping

import pytest


class Struck:
    """How often each fault has struck, and what else should be told."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.notes: list[str] = []

    def add(self, of: str, faults: Mapping[str, int]) -> None:
        """Count faults of workers, of the store, or of processes."""
        self.faults.update({f"{of}: {fault}": times for fault, times in faults.items()})

    def note(self, text: str) -> None:
        """Tell something in a line of its own."""
        self.notes.append(text)


STRUCK = pytest.StashKey[Struck]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STRUCK] = Struck()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    struck = config.stash[STRUCK]
    if struck.faults:
        terminalreporter.section("faults that have struck")
        for fault, times in sorted(struck.faults.items()):
            terminalreporter.write_line(f"{fault:<36}{times:>6}")
        terminalreporter.write_line(f"{'all':<36}{struck.faults.total():>6}")
    for note in struck.notes:
        terminalreporter.write_line(note)


@pytest.fixture(scope="session")
def struck(pytestconfig: pytest.Config) -> Struck:
    """Where tests tell what struck."""
    return pytestconfig.stash[STRUCK]


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the whole suite is wanted, and not only the part that every landing runs."""
    return os.environ.get("CHAOS") == "full"
