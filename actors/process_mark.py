"""Which process this is, in words that another process can check: is it still there?

A number alone tells little: numbers are given anew, containers have numbers of their own, and hosts have names alike.
So with it go what the number means (this boot of this kernel, this namespace of process numbers) and when the process
was started. Where the system doesn't tell these (it is no Linux), nothing is said of the process either way.
"""

import getpass
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROC = Path("/proc")
_STATE, _STARTED = 0, 19
"""Places in `/proc/<number>/stat`, counted from behind the name (proc_pid_stat(5), fields 3 and 22)."""


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process.

    Attributes
    ----------
    host, process
        For people.
    machine
        Where the number means this process: boot id and namespace; empty where the system doesn't tell.
    started
        When it was started, in ticks since the boot.
    """

    host: str
    process: int
    machine: str
    started: int

    @classmethod
    def here(cls) -> "ProcessMark":
        """Describe this process."""
        number = os.getpid()
        stat = _stat(number)
        return cls(platform.node(), number, "" if stat is None else _machine(), 0 if stat is None else int(stat[1]))

    def state(self) -> Literal["alive", "gone", "unknown"]:
        """Tell what can be told from here for certain, which of another machine is nothing."""
        # The host too: machines that were copied while they ran have the same boot.
        if not self.machine or (self.host, self.machine) != (platform.node(), _machine()) or self.process < 1:
            return "unknown"
        try:
            os.kill(self.process, 0)  # sends nothing
        except (ProcessLookupError, OverflowError):
            return "gone"
        except PermissionError:  # somebody else's; it may be hidden from us in /proc too
            return "unknown"
        stat = _stat(self.process)
        if stat is None or stat[0] in "ZX" or int(stat[1]) != self.started:  # it only waits to be reaped, or is another
            return "gone"
        return "alive"


def user_name() -> str:
    """Return who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that nobody has named
        return str(os.getuid())


def _machine() -> str:
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _stat(number: int) -> tuple[str, str] | None:
    """Return the state of a process and when it was started; None if there is none."""
    try:
        # The name may hold blanks and brackets.
        fields = (PROC / str(number) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[_STATE], fields[_STARTED]
