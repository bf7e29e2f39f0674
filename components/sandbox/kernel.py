"""Calls of Linux that are not in Python's library, through ctypes, so without compiler or package at run time.

Every function raises OSError with the kernel's errno; ENOSYS means that the call does not exist. Numbers of new calls (424
and above) are the same on all processors.
"""

import ctypes
import errno
import os
import sys

LINUX = sys.platform == "linux"

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def syscall(number: int, *arguments: object) -> int:
    """A system call by number. Integers are passed as 64 bits, bytes and ctypes objects as pointers."""
    if not LINUX:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_LIBC.syscall(ctypes.c_long(number), *words))


def prctl(option: int, *arguments: object) -> int:
    """prctl(2); missing arguments are zero."""
    if not LINUX:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    words = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    words += [ctypes.c_ulong(0)] * (4 - len(words))
    return _checked(_LIBC.prctl(ctypes.c_int(option), *words))


def unshare(flags: int) -> None:
    _checked(_LIBC.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    _checked(
        _LIBC.mount(
            source.encode(),
            target.encode(),
            kind and kind.encode(),
            ctypes.c_ulong(flags),
            options and options.encode(),
        )
    )


def unmount(target: str, flags: int = 0) -> None:
    _checked(_LIBC.umount2(target.encode(), ctypes.c_int(flags)))


def pivot_root(new: str, old: str) -> None:
    syscall(_PIVOT_ROOT[os.uname().machine], new.encode(), old.encode())


def drop_capabilities() -> None:
    """Drop all effective, permitted and inheritable capabilities of this process."""
    version_3 = 0x20080522
    header = (ctypes.c_uint32 * 2)(version_3, 0)
    syscall(_CAPSET[os.uname().machine], header, (ctypes.c_uint32 * 6)())


def has_seccomp() -> bool:
    """Whether this kernel filters system calls; then a filter at an invalid address is refused with EFAULT."""
    try:
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 0)
    except OSError as error:
        return error.errno in (errno.EFAULT, errno.EACCES)
    return False


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads so far; 0 after its end.

    The clock's id is that of clock_getcpuclockid in the C library, without /proc.
    """
    import time

    cpuclock_sched = 2
    try:
        return time.clock_gettime((~pid << 3) | cpuclock_sched)
    except OSError:
        return 0.0
