"""What goes into the sandbox and what comes out."""

from dataclasses import dataclass, field
from enum import StrEnum

LAYERS = ("namespaces", "user", "landlock", "seccomp", "limits")


class Outcome(StrEnum):
    """How a program ended."""

    PASSED = "passed"  # its tests passed; without tests: it ran to its end
    FAILED = "failed"  # an exception, a failed assertion, code that does not compile
    EXITED = "exited"  # ended itself before the tests were done: sys.exit, os._exit
    TIMEOUT = "timeout"  # used up its CPU time or its wall time
    MEMORY = "memory"  # asked for more memory than it may have
    OUTPUT = "output"  # wrote more than it may
    FORBIDDEN = "forbidden"  # asked the system for what it may not have
    CRASHED = "crashed"  # died of a signal


@dataclass(frozen=True)
class Limits:
    """What one program may use. CPU time decides, so that a busy machine changes no verdict; wall time is for sleepers.

    A program's tests have the same limits on their own. The slowest reference solution of MBPP takes 2.5 to 3 CPU
    seconds on a core of 2.5 GHz, so 8 leaves room for slower machines.
    """

    cpu_seconds: float = 8.0
    wall_seconds: float = 40.0
    memory_bytes: int = 512 << 20  # address space
    file_bytes: int = 1 << 20  # the largest file, and the most that is kept of standard output
    folder_bytes: int = 16 << 20  # the temporary folder in all
    folder_entries: int = 1000
    threads: int = 32
    open_files: int = 64


@dataclass(frozen=True)
class Job:
    """One program with its tests.

    Attributes:
        program: untrusted Python source.
        tests: Python source that decides, run in another process, where the program's names are at hand. None: a
            program passes when it runs to its end as a script, which is not proof against a program that means to cheat.
        stdin: what the program reads.
        names: names that the tests take from the program although Python has a builtin or a standard module of that
            name (`sum`, `statistics`). Without it the builtin is meant, lest a program redefine `abs` to please
            its tests.
    """

    program: str
    tests: str | None = None
    stdin: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The verdict on one program. `error` is one line, empty when it passed; two verdicts are equal whatever
    time they took.

    Attributes:
        stdout: what the program wrote, UTF-8 with other bytes escaped, at most `Limits.file_bytes`.
        seconds: wall time; `cpu_seconds`: of the program and its tests.
    """

    outcome: Outcome
    stdout: str = ""
    error: str = ""
    seconds: float = field(default=0.0, compare=False)
    cpu_seconds: float = field(default=0.0, compare=False)

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED
