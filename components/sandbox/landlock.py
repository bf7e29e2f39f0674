"""Landlock: which files a process may touch, whoever it is (kernel's userspace-api/landlock.rst).

One ruleset is made once and applied by every child: one system call per program. What no rule names is refused:
opening, making, moving, removing, truncating files; TCP connections (ABI 4); ioctl on devices (5); signals and abstract
sockets to processes outside (6). Landlock does not know chmod, chown, utime, extended attributes and stat: seccomp
refuses the first four, the new root hides what the last could see.
"""

import errno
import os
import struct
from collections.abc import Iterable

from components.sandbox import kernel

_CREATE, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
LEAST_ABI = 3  # older ones let a file be truncated

READ_FILE, READ_DIR = 1 << 2, 1 << 3
_WRITE_FILE, _REMOVE_DIR, _REMOVE_FILE = 1 << 1, 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG, _MAKE_SYM, _REFER, _TRUNCATE = 1 << 7, 1 << 8, 1 << 12, 1 << 13, 1 << 14
_FILE_RIGHTS = 1 | _WRITE_FILE | READ_FILE | _TRUNCATE | 1 << 15  # those that make sense on a file
_READ = READ_FILE | READ_DIR
_WRITE = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER | _TRUNCATE
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many bits of file rights an ABI knows


def abi() -> int:
    """Version of Landlock in this kernel, 0 without it."""
    version_flag = 1
    try:
        return kernel.syscall(_CREATE, 0, 0, version_flag)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return 0
        raise


def ruleset(version: int, readable: Iterable[str], writable: Iterable[str]) -> int:
    """A ruleset's file descriptor: reading below `readable`, files and folders below `writable`, nothing else.

    Paths that do not exist are skipped. `version` is what `abi()` said.
    """
    handled = (1 << _RIGHTS_BY_ABI.get(version, 16)) - 1
    tcp_bind_and_connect = 3 if version >= 4 else 0
    abstract_sockets_and_signals = 3 if version >= 6 else 0
    attributes = struct.pack("QQQ", handled, tcp_bind_and_connect, abstract_sockets_and_signals)
    attributes = attributes[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = kernel.syscall(_CREATE, attributes, len(attributes), 0)
    for paths, rights in ((readable, _READ), (writable, _WRITE)):
        for path in paths:
            _allow(rules, path, rights & handled)
    return rules


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _FILE_RIGHTS  # a right of folders on a file is refused with EINVAL
        path_beneath = 1
        kernel.syscall(_ADD_RULE, rules, path_beneath, struct.pack("=Qi", rights, beneath), 0)
    finally:
        os.close(beneath)


def restrict(rules: int) -> None:
    """Apply the ruleset permanently. Needs no_new_privs."""
    kernel.syscall(_RESTRICT_SELF, rules, 0)
