"""Landlock: the files that a process may use, for any user (kernel's userspace-api/landlock.rst).

One ruleset is made once and applied by every child with one system call. Without a rule, these are refused: opening,
making, moving, removing, truncating files; TCP connections (ABI 4); ioctl on devices (5); signals and abstract sockets to
processes outside (6). Landlock does not cover chmod, chown, utime, extended attributes and stat: seccomp refuses the first
four, and the new root hides files from stat.
"""

import errno
import os
import struct
from collections.abc import Iterable

from components.sandbox import kernel

_CREATE, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
LEAST_ABI = 3  # older versions allow truncation of files

READ_FILE, READ_DIR = 1 << 2, 1 << 3
_WRITE_FILE, _REMOVE_DIR, _REMOVE_FILE = 1 << 1, 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG, _MAKE_SYM, _REFER, _TRUNCATE = 1 << 7, 1 << 8, 1 << 12, 1 << 13, 1 << 14
_FILE_RIGHTS = 1 | _WRITE_FILE | READ_FILE | _TRUNCATE | 1 << 15  # the rights that apply to a file
_READ = READ_FILE | READ_DIR
_WRITE = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER | _TRUNCATE
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # number of bits of file rights, by ABI


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
    """The file descriptor of a ruleset that allows only reading below `readable`, and files and folders below `writable`.

    Paths that do not exist are skipped. `version` is the result of `abi()`.
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
            rights &= _FILE_RIGHTS  # rights of folders on a file are refused with EINVAL
        path_beneath = 1
        kernel.syscall(_ADD_RULE, rules, path_beneath, struct.pack("=Qi", rights, beneath), 0)
    finally:
        os.close(beneath)


def restrict(rules: int) -> None:
    """Apply the ruleset permanently. Needs no_new_privs."""
    kernel.syscall(_RESTRICT_SELF, rules, 0)
