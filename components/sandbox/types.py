"""Jobs, limits and verdicts of the sandbox."""

from dataclasses import dataclass, field
from enum import StrEnum

LAYERS = ("namespaces", "user", "landlock", "seccomp", "limits")


class Outcome(StrEnum):
    """How a program ended."""

    PASSED = "passed"  # its tests passed; without tests: it ran to its end
    FAILED = "failed"  # an exception, a failed assertion, code that does not compile
    EXITED = "exited"  # ended itself before the tests were done: sys.exit, os._exit
    TIMEOUT = "timeout"  # reached the limit of CPU time or wall time
    MEMORY = "memory"  # needed more memory than allowed
    OUTPUT = "output"  # wrote more than allowed
    FORBIDDEN = "forbidden"  # made a forbidden system call
    CRASHED = "crashed"  # ended by a signal


@dataclass(frozen=True)
class Limits:
    """Resources of one program. CPU time decides, so that verdicts do not depend on load; wall time is for programs that
    sleep.

    A program's tests have the same limits for themselves. The slowest reference solution of MBPP takes 2.5 to 3 CPU
    seconds on a core of 2.5 GHz, so 8 leaves room for slower machines.
    """

    cpu_seconds: float = 8.0
    wall_seconds: float = 40.0
    memory_bytes: int = 512 << 20  # address space
    file_bytes: int = 1 << 20  # maximum size of a file and of standard output
    folder_bytes: int = 16 << 20  # total size of the temporary folder
    folder_entries: int = 1000
    threads: int = 32
    open_files: int = 64


@dataclass(frozen=True)
class Job:
    """One program with its tests.

    Attributes:
        program: untrusted Python source.
        tests: Python source that decides; it runs in another process with access to the program's names. None: a program
            passes if it runs to its end as a script, which a hostile program can feign.
        stdin: standard input of the program.
        names: names that the tests use from the program although Python has such a builtin or standard module (`sum`,
            `statistics`). Otherwise the builtin is used, so that a program cannot redefine `abs` for its tests.
    """

    program: str
    tests: str | None = None
    stdin: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The verdict on one program. `error` is one line, empty for a pass. Times do not count in comparisons.

    Attributes:
        stdout: standard output of the program, UTF-8 with other bytes escaped, at most `Limits.file_bytes`.
        seconds: wall time.
        cpu_seconds: CPU time of the program and its tests.
    """

    outcome: Outcome
    stdout: str = ""
    error: str = ""
    seconds: float = field(default=0.0, compare=False)
    cpu_seconds: float = field(default=0.0, compare=False)

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED
