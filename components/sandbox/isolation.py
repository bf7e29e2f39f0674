"""Permanently remove from a process all rights that a program does not need. Called in each child before it runs foreign
code.

The order matters: identifiers and capabilities change while the process still has the privilege, no_new_privs is set
before Landlock and seccomp, which need it, and seccomp is last, because it refuses the calls of all the others.
"""

import os
import resource
from typing import NamedTuple

from components.sandbox import kernel, landlock
from components.sandbox.seccomp import Template, install


class Confinement(NamedTuple):
    """The layers of this machine. None or False: the layer is missing or left out.

    Attributes:
        users: user and group ids of the program and of the tests, for a server that may change them.
        threads_beside: allowed threads of the same user outside of the program, because the kernel counts them by user. 0
            if the user belongs to the sandbox.
        rules: Landlock's ruleset, an open file.
        capabilities: whether there are capabilities to drop (of root, or of the namespace's root).
    """

    folder: str
    users: tuple[int, int] | None = None
    threads_beside: int = 0
    rules: int | None = None
    filter: Template | None = None
    limits: bool = True
    capabilities: bool = False


def confine(given: Confinement, limits: dict[str, float], keep: tuple[int, ...], tests: bool) -> None:
    """Confine this process; `keep` are the files that stay open besides 0, 1 and 2."""
    os.setsid()
    os.chdir(given.folder)
    os.umask(0)  # the program's and the tests' process have different users and share the folder
    if given.limits:
        _limit(limits, given.threads_beside)
    if given.users is not None:
        user = given.users[1 if tests else 0]
        os.setgroups([])
        os.setresgid(given.users[0], given.users[0], given.users[0])
        os.setresuid(user, user, user)
    if given.capabilities:
        kernel.drop_capabilities()
    if kernel.LINUX:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if given.rules is not None:
        landlock.restrict(given.rules)
    close_all_but({0, 1, 2, *keep})
    if given.filter is not None:
        install(given.filter.of(os.getpid()))


def _limit(limits: dict[str, float], threads_beside: int) -> None:
    cpu = int(limits["cpu_seconds"]) + 2  # a fallback; the server checks more precisely
    wanted = {
        "AS": limits["memory_bytes"],
        "CPU": cpu,
        "FSIZE": limits["file_bytes"],
        "NOFILE": limits["open_files"],
        "STACK": 8 << 20,
        "NPROC": limits["threads"] + threads_beside,
        **dict.fromkeys(("CORE", "MEMLOCK", "MSGQUEUE", "RTPRIO", "NICE"), 0),
    }
    for name, value in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            least = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
            resource.setrlimit(kind, (least, least))


def close_all_but(keep: set[int]) -> None:
    """Close every other open file of the server and its parent."""
    last = -1
    for descriptor in [*sorted(keep), 1 << 20]:
        if last + 1 < descriptor:  # an empty range would close all files
            os.closerange(last + 1, descriptor)
        last = descriptor
