"""A test of the sandbox before it runs foreign code: a program tries forbidden actions, and each success is a fault.

It detects layers without effect, as on an emulated system or under a container's own filter.
"""

import json

from components.sandbox import client
from components.sandbox.types import Job, Outcome

# It prints the actions that succeeded. None of them does harm.
_PROGRAM = """
import json, os, resource, socket
done = []

def attempt(name, action):
    try:
        action()
    except Exception:
        return
    done.append(name)

def start():
    if os.fork() == 0:
        os._exit(0)
    os.wait()

attempt("start a process", start)
attempt("open a socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
attempt("read /etc/passwd", lambda: open("/etc/passwd").read())
attempt("read a process' memory map", lambda: open("/proc/self/maps").read())
attempt("list /etc", lambda: os.listdir("/etc"))
attempt("signal its parent", lambda: os.kill(os.getppid(), 0))
attempt("change a file's permissions", lambda: os.chmod(".", 0o700))
if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
    done.append("take all memory")
if os.getuid() == 0:
    done.append("be root")
try:
    import colorsys
    open("written", "w").write("x")
except Exception as error:
    print(json.dumps([done, repr(error)]))
else:
    print(json.dumps([done, ""]))
"""


def faults(server: client.Server) -> list[str]:
    """Forbidden actions that a program can do in this sandbox, as sentences; empty if it is isolated.

    It is also a fault if a program cannot import the standard library or write into its folder.
    """
    missing = server.report["missing"]
    verdict = server.run(Job(_PROGRAM))
    if verdict.outcome is not Outcome.PASSED:
        return [f"a harmless program does not run: {verdict.outcome}: {verdict.error}"]
    managed, broken = json.loads(verdict.stdout)
    found = [f"a program can {action}" for action in managed]
    if found:
        found += [f"{layer}: {reason}" for layer, reason in sorted(missing.items())]
    if broken:
        found.append(f"a program cannot use the standard library or its folder: {broken}")
    return found
