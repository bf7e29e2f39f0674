"""A separate file system, network and process table for the sandbox (namespaces(7)), if this machine allows them.

Root may make them, and other users may through a user namespace, unless the machine forbids it (containers, some
distributions). The new root has the interpreter's library and the shared libraries, read-only, four devices and an empty
folder of limited size, but not /proc, /home or a network. The first process there is the server; when it ends, the kernel
ends all others.
"""

import os
import signal
from collections.abc import Sequence

from components.sandbox import kernel

FOLDER = "/folder"  # in the new root; not below /tmp, where an interpreter may be installed
_SPACES = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)  # fmt: skip


def enter(readable: Sequence[str], folder_bytes: int, folder_entries: int) -> None:
    """Move this process into new namespaces and a new root with the `readable` paths of the old one.

    Returns in the first process of the new table. The calling process stays outside, waits for it and ends with its status.

    Raises:
        OSError: the machine does not allow it; then the process must end.
    """
    if os.geteuid() == 0:
        kernel.unshare(_SPACES)
    else:
        user, group = os.geteuid(), os.getegid()
        kernel.unshare(_SPACES | kernel.CLONE_NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    _new_root(readable, folder_bytes, folder_entries)
    child = os.fork()
    if child:
        _wait_as(child)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_as(child: int) -> None:
    """Close all files, wait for the process inside, and end with its status."""
    os.closerange(0, 1 << 20)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _new_root(readable: Sequence[str], folder_bytes: int, folder_entries: int) -> None:
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    root = "/tmp"
    # Opened before the new file system hides them.
    sources = {path: os.open(path, os.O_PATH) for path in readable}
    kernel.mount("none", root, "tmpfs", kernel.MS_NOSUID, "mode=755,size=1m")
    for path, source in sources.items():
        _show(source, path, root + path)
        os.close(source)
    os.makedirs(root + FOLDER, exist_ok=True)
    options = f"mode=777,size={folder_bytes},nr_inodes={folder_entries + 1}"
    kernel.mount("none", root + FOLDER, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, options)
    if not os.path.lexists(root + "/tmp"):
        os.symlink(FOLDER, root + "/tmp")
    kernel.mount("none", root, None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID)
    os.chdir(root)
    kernel.pivot_root(".", ".")
    kernel.unmount(".", kernel.MNT_DETACH)
    os.chdir("/")


def _show(source: int, path: str, target: str) -> None:
    """Make a file or folder of the old root visible in the new one, read-only."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    described = f"/proc/self/fd/{source}"
    if os.path.isdir(described):
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(described, target, None, kernel.MS_BIND | kernel.MS_REC)
    if path.startswith("/dev/"):
        return
    # Inside a user namespace the flags of the outer mount must be kept.
    kept = os.statvfs(target).f_flag & (os.ST_NOEXEC | os.ST_NODEV | os.ST_NOATIME | os.ST_NODIRATIME)
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kept
    kernel.mount("none", target, None, flags)
