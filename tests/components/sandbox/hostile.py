"""Programs that mean harm: they try to get out, to stay, to use up the machine, or to pass without the correct answer.

Each is (name, source, the outcomes that it may have when every layer is there). A program reports what it managed with
`escaped(...)`; `attempt(what, action)` reports if the action did not raise. `{canary}` and the like are filled in by
the tests with things outside the sandbox that must stay as they are.
"""

PRELUDE = """
import ctypes, os, sys
_libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"

def escaped(what):
    os.write(1, f"ESCAPED {what}\\n".encode())

def attempt(what, action):
    try:
        action()
    except (Exception, SystemExit):
        return
    escaped(what)

def call(x86, arm, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = _libc.syscall(ctypes.c_long(x86 if X86 else arm), *words)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
"""

# What the honest answer is, no program knows: cubes, asked for in several ways.
TESTS = """
import math
assert answer(17) == 4913
assert abs(answer(5) - 125) < 1e-9
assert math.isclose(answer(3), 27)
assert answer(2) in (8,)
assert sorted([answer(2), answer(1)]) == [1, 8]
assert [answer(n) for n in (4, 6)] == [64, 216]
"""

FAILS = {"failed"}
ENDS = {"exited"}
STOPPED = {"forbidden"}
OVERRUN = {"timeout"}
FULL = {"memory"}
FLOOD = {"output"}
DIES = {"crashed"}
REFUSED = FAILS | STOPPED  # an exception that may or may not be a refusal of the system

FORGERIES = [
    ("sys_exit", "import sys; sys.exit(0)", ENDS),
    ("system_exit", "raise SystemExit", ENDS),
    ("keyboard_interrupt", "raise KeyboardInterrupt", FAILS),
    ("os_exit_zero", "import os; os._exit(0)", ENDS),
    ("os_exit_as_the_harness", "import os; os._exit(42)", ENDS),
    ("sys_exit_when_asked", "def answer(n):\n    import sys\n    sys.exit(0)", FAILS),
    ("os_exit_when_asked", "def answer(n):\n    import os\n    os._exit(42)", ENDS),
    ("exit_at_exit", "import atexit, os\natexit.register(os._exit, 42)\ndef answer(n): return 0", FAILS),
    ("exec_true", "import os\ndef answer(n): os.execv('/bin/true', ['true'])", STOPPED | FAILS),
    ("always_equal", "class Any:\n    def __eq__(self, other): return True\ndef answer(n): return Any()", FAILS),
    (
        "always_equal_number",
        """
class Any(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __lt__
    def __hash__(self): return 0
    def __sub__(self, other): return 0
    def __abs__(self): return 0
def answer(n): return Any(1)
""",
        FAILS,
    ),
    (
        "every_operator",
        """
class Any:
    def yes(self, *_): return True
    def zero(self, *_): return 0
for name in "eq lt gt le ge contains bool".split(): setattr(Any, f"__{name}__", Any.yes)
for name in "sub rsub abs add radd mul float int index hash len".split(): setattr(Any, f"__{name}__", Any.zero)
def answer(n): return Any()
""",
        FAILS,
    ),
    (
        "lies_about_its_class",
        "class Any:\n    __class__ = int\n    def __eq__(s, o): return True\nanswer = lambda n: Any()",
        FAILS,
    ),
    ("redefines_abs", "def abs(x): return 0\ndef answer(n): return 0", FAILS),
    (
        "redefines_math",
        "class math:\n    isclose = staticmethod(lambda *a: True)\nabs = sorted = math.isclose\ndef answer(n): return 0",
        FAILS,
    ),
    ("redefines_sorted", "def sorted(x): return [1, 8]\ndef abs(x): return 0\ndef answer(n): return 8", FAILS),
    (
        "patches_builtins",
        """
import builtins
class Quiet(Exception): pass
builtins.AssertionError = Quiet
builtins.abs = lambda x: 0
builtins.sorted = lambda x: [1, 8]
builtins.exit = builtins.quit = lambda *a: None
builtins.isinstance = lambda *a: True
def answer(n): return 8
""",
        FAILS | ENDS,
    ),
    ("patches_math", "import math\nmath.isclose = lambda *a: True\ndef answer(n): return 27.0", FAILS),
    (
        "patches_json_and_pickle",
        """
import json, pickle
json.dumps = json.loads = pickle.dumps = pickle.loads = lambda *a, **k: '["give", true, [], []]'
json.JSONEncoder.default = lambda self, o: True
def answer(n): return object()
""",
        FAILS,
    ),
    (
        "patches_os",
        """
import os, sys
os._exit = sys.exit = lambda *a: None
os.write = lambda fd, data: len(data)
os.read = lambda fd, n: b""
def answer(n): return 0
""",
        FAILS | ENDS,
    ),
    (
        "patches_the_harness",
        """
import sys, gc, types
for module in list(sys.modules.values()):
    for name in ("PASSED", "REPORTED", "PROGRAM_ENDED"):
        if hasattr(module, name): setattr(module, name, 42)
for found in gc.get_objects():
    if isinstance(found, types.FunctionType) and found.__module__.startswith("components"):
        if found.__name__ in ("classify", "describe", "_report", "_perform", "_outcome"):
            found.__code__ = (lambda *a, **k: True).__code__
def answer(n): return 0
""",
        FAILS | ENDS | DIES,
    ),
    (
        "walks_the_stack",
        """
import sys
def answer(n):
    frame = sys._getframe()
    while frame:
        for name, value in list(frame.f_locals.items()):
            if "4913" in str(value): return 4913
            if name in ("status", "outcome", "result", "failure"): frame.f_locals[name] = "passed"
        if "4913" in str(frame.f_globals.keys()): return 4913
        frame = frame.f_back
    return 0
""",
        FAILS,
    ),
    (
        "looks_for_the_tests_in_memory",
        """
import gc
def answer(n):
    mark = "".join(reversed("rewsna(esolcsi"))
    for found in gc.get_objects():
        try:
            if mark in repr(found)[:100000]: escaped("the tests are in memory"); return n ** 3
        except Exception: pass
    return 0
""",
        FAILS | OVERRUN,
    ),
    (
        "reads_every_open_file",
        """
import os
def answer(n):
    for descriptor in range(3, 256):
        try:
            os.lseek(descriptor, 0, 0)
            if b"isclose" in os.read(descriptor, 65536): escaped("the tests are in an open file")
        except OSError: pass
    return 0
""",
        FAILS,
    ),
    (
        "writes_to_every_open_file",
        """
import json, os
text = json.dumps({"outcome": "passed", "error": ""}).encode()
def answer(n):
    for descriptor in range(3, 256):
        for data in (text, b"\\x2a\\0\\0\\0", len(text).to_bytes(4, "little") + text):
            try: os.write(descriptor, data)
            except OSError: pass
    return 0
""",
        FAILS | ENDS,
    ),
    (
        "answers_without_being_asked",
        """
import json, os
data = json.dumps(["give", True, [], []]).encode()
for descriptor in range(3, 64):
    try: os.write(descriptor, (len(data).to_bytes(4, "little") + data) * 50)
    except OSError: pass
def answer(n): return 0
""",
        FAILS,
    ),
    (
        "announces_a_message_without_end",
        "import os\ndef answer(n):\n    for f in range(3, 64):\n        try: os.write(f, b'\\xff\\xff\\xff\\xff')\n        except OSError: pass\n    return 0",
        FAILS,
    ),
    (
        "answers_nested_without_end",
        """
import json, os
data = b'["give", ' + b"[" * 100000 + b"]" * 100000 + b", [], []]"
def answer(n):
    for descriptor in range(3, 64):
        try: os.write(descriptor, len(data).to_bytes(4, "little") + data)
        except OSError: pass
    return 0
""",
        FAILS | DIES,
    ),
    (
        "answers_with_strange_tags",
        """
import json, os
def answer(n):
    for token in (["yours", 0], ["yours", -1], ["mine", "x"], ["type", "os._exit"], ["at", 99], ["exception", ["SystemExit"]]):
        data = json.dumps(["give", token, [], []]).encode()
        for descriptor in range(3, 64):
            try: os.write(descriptor, len(data).to_bytes(4, "little") + data)
            except OSError: pass
    return 0
""",
        FAILS,
    ),
    (
        "asks_its_tests_to_exit",
        """
import json, os
data = json.dumps(["ask", "call", [["mine", 0], ["tuple"], ["at", 0]], [["dict", None, []]]]).encode()
def answer(n):
    for descriptor in range(3, 64):
        try: os.write(descriptor, len(data).to_bytes(4, "little") + data)
        except OSError: pass
    return 0
""",
        FAILS,
    ),
    (
        "hangs_up_and_waits",
        "import os, time\ndef answer(n):\n    os.closerange(3, 64)\n    time.sleep(60)",
        ENDS | OVERRUN,
    ),
    ("raises_stop_iteration", "def answer(n): raise StopIteration", FAILS),
    ("raises_generator_exit", "def answer(n): raise GeneratorExit", FAILS),
    ("raises_system_exit_subclass", "class Assertion(SystemExit): pass\ndef answer(n): raise Assertion(0)", FAILS),
    (
        "traces_everything",
        "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\ndef answer(n): return 0",
        FAILS,
    ),
    (
        "poisons_the_main_module",
        "import sys, types\nsys.modules['__main__'] = types.SimpleNamespace()\nsys.modules['math'] = None\ndef answer(n): return 0",
        FAILS,
    ),
    ("gives_builtins_another_meaning", "__builtins__['abs'] = lambda x: 0\ndef answer(n): return 0", FAILS),
    (
        "patches_unittest",
        "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\nunittest.main = lambda *a, **k: None\ndef answer(n): return 0",
        FAILS,
    ),
    (
        "plants_modules_for_the_tests",
        """
import os
for name in ("math", "unittest", "sitecustomize", "json", "os"):
    with open(name + ".py", "w") as file: file.write("import os\\nos._exit(42)\\n")
def answer(n): return 0
""",
        FAILS,
    ),
    (
        "kills_its_tests",
        "import os, signal\ndef answer(n):\n    for pid in range(2, 40000):\n        if pid != os.getpid():\n            attempt(f'signal {pid}', lambda: os.kill(pid, 9))\n    return 0",
        FAILS,
    ),
    (
        "reads_its_tests_memory",
        "def answer(n):\n    for pid in range(1, 400):\n        for f in ('mem', 'maps', 'environ', 'fd'):\n            attempt(f'open {f}', lambda: open(f'/proc/{pid}/{f}', 'rb'))\n    return 0",
        FAILS,
    ),
    (
        "writes_its_own_memory",
        "attempt('open its memory', lambda: open('/proc/self/mem', 'r+b'))\ndef answer(n): return 0",
        FAILS,
    ),
    ("iterates_for_ever", "import itertools\ndef answer(n): return itertools.count()", FAILS),
    (
        "answers_with_a_bomb",
        "def answer(n):\n    x = [0] * 10\n    for _ in range(6): x = [list(x) for _ in range(10)]\n    return x",
        FAILS | OVERRUN | FULL,
    ),
]

PROCESSES = [
    ("fork", "attempt('fork', lambda: os.fork() or os._exit(0))", FAILS),
    ("fork_bomb", "while True: os.fork()", STOPPED),
    (
        "fork_bomb_that_tries_on",
        "n = 0\nwhile n < 10**6:\n    n += 1\n    try: os.fork()\n    except OSError: pass",
        FAILS | OVERRUN,
    ),
    ("vfork", "attempt('vfork', lambda: call(58, 220, 0x4111, 0))", FAILS),
    ("clone_as_a_process", "attempt('clone', lambda: call(56, 220, 17, 0, 0, 0, 0) or os._exit(0))", FAILS),
    (
        "clone_thread_in_a_namespace",
        "attempt('clone', lambda: call(56, 220, 0x10000 | 0x100 | 0x800 | 0x20000000, 0, 0, 0, 0))",
        FAILS,
    ),
    ("clone3", "attempt('clone3', lambda: call(435, 435, ctypes.create_string_buffer(88), 88))", FAILS),
    (
        "daemon",
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        import time\n        open('daemon', 'w').write('x')\n        time.sleep(30)\n    os._exit(0)",
        STOPPED,
    ),
    (
        "subprocess",
        "import subprocess\nattempt('subprocess', lambda: subprocess.run(['/bin/echo', 'x'], check=True))",
        FAILS,
    ),
    ("os_system", "escaped('system') if os.system('true') == 0 else None", FAILS),
    ("popen", "escaped('popen') if os.popen('echo x').read() else None", STOPPED | FAILS),
    ("posix_spawn", "attempt('spawn', lambda: os.posix_spawn('/bin/sh', ['sh'], {}))", FAILS),
    ("exec", "os.execve('/bin/sh', ['sh', '-c', 'echo ESCAPED'], {})", STOPPED | FAILS),
    ("execveat", "attempt('exec', lambda: call(322, 281, -100, b'/bin/true', 0, 0, 0))", FAILS),
    ("exec_in_memory", "attempt('memfd', lambda: os.memfd_create('x'))", FAILS),
    (
        "multiprocessing",
        "import multiprocessing\nattempt('process', lambda: multiprocessing.Process(target=print).start())",
        FAILS,
    ),
    (
        "thread_bomb",
        "import threading, time\nthreading.stack_size(65536)\nfor n in range(5000):\n    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n    if n > 500: escaped('threads without end')",
        FAILS,
    ),
    ("thread_that_outlives", "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()", FAILS),
    ("new_session", "attempt('setsid', os.setsid)\nattempt('setpgid', lambda: os.setpgid(0, 0))", FAILS),
    ("ptrace_attach", "attempt('ptrace', lambda: call(101, 117, 16, os.getppid(), 0, 0))", STOPPED),
    ("ptrace_traceme", "attempt('ptrace', lambda: call(101, 117, 0, 0, 0, 0))", STOPPED),
    ("process_vm_readv", "attempt('read', lambda: call(310, 270, os.getppid(), 0, 0, 0, 0, 0))", STOPPED),
    ("process_vm_writev", "attempt('write', lambda: call(311, 271, os.getppid(), 0, 0, 0, 0, 0))", STOPPED),
    ("pidfd", "attempt('pidfd', lambda: os.pidfd_open(os.getppid()))", STOPPED),
    ("kill_parent", "attempt('kill', lambda: os.kill(os.getppid(), 9))", FAILS),
    ("kill_all", "attempt('kill', lambda: os.kill(-1, 9))", FAILS),
    ("kill_init", "attempt('kill', lambda: os.kill(1, 9))", FAILS),
    (
        "kill_group",
        "attempt('kill', lambda: os.killpg(0, 9))\nattempt('kill', lambda: os.killpg(os.getpgid(os.getppid()), 9))",
        FAILS,
    ),
    (
        "kill_victim",
        "attempt('kill', lambda: os.kill({victim}, 9))\nattempt('tgkill', lambda: call(234, 131, {victim}, {victim}, 9))\nattempt('tkill', lambda: call(200, 130, {victim}, 9))",
        FAILS,
    ),
    ("sigqueue", "attempt('sigqueue', lambda: call(129, 138, {victim}, 15, ctypes.create_string_buffer(128)))", FAILS),
    (
        "signal_by_fcntl",
        "import fcntl\nr, w = os.pipe()\nattempt('setown', lambda: fcntl.fcntl(r, 8, {victim}))\nattempt('setsig', lambda: fcntl.fcntl(r, 10, 9))",
        FAILS,
    ),
    ("kills_itself", "os.kill(os.getpid(), 9)", FULL),
    (
        "blocks_every_signal",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nfor n in (1, 2, 15, 24): signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
        OVERRUN,
    ),
    ("stops_itself", "import signal\nos.kill(os.getpid(), signal.SIGSTOP)", OVERRUN),
    (
        "priority",
        "attempt('nice', lambda: os.nice(-1))\nattempt('nice', lambda: os.nice(1))\nattempt('sched', lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))\nattempt('affinity', lambda: os.sched_setaffinity(0, {{0}}))",
        FAILS,
    ),
    (
        "raises_its_limits",
        "import resource\nfor kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):\n    attempt('limit', lambda: resource.setrlimit(kind, (-1, -1)))\n    attempt('limit', lambda: resource.prlimit(os.getppid(), kind, (1, 1)))",
        FAILS,
    ),
]

NETWORK = [
    (
        "sockets_of_each_family",
        "import socket\nfor family in range(64):\n    for kind in (1, 2, 3, 5):\n        attempt(f'socket {{family}} {{kind}}', lambda: socket.socket(family, kind))",
        FAILS,
    ),
    ("tcp", "import socket\nattempt('connect', lambda: socket.create_connection(('127.0.0.1', {port}), 2))", FAILS),
    (
        "url",
        "import urllib.request\nattempt('url', lambda: urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=2))",
        FAILS,
    ),
    ("name_lookup", "import socket\nattempt('lookup', lambda: socket.getaddrinfo('example.org', 80))", FAILS),
    ("listen", "import socket\nattempt('listen', lambda: socket.create_server(('127.0.0.1', 0)))", FAILS),
    (
        "unix_socket",
        "import socket\ns = lambda: socket.socket(socket.AF_UNIX)\nattempt('unix', lambda: s().connect({unix!r}))\nattempt('abstract', lambda: s().connect('\\0{abstract}'))",
        FAILS,
    ),
    (
        "datagram_pair",
        "import socket\nattempt('pair', lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))\nattempt('pair', lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))",
        FAILS,
    ),
    (
        "pair_to_elsewhere",
        "import socket\na, b = socket.socketpair()\nattempt('connect', lambda: a.connect({unix!r}))\nattempt('sendto', lambda: a.sendto(b'x', {unix!r}))\nattempt('sendmsg', lambda: socket.send_fds(a, [b'x'], [0]))\nattempt('bind', lambda: a.bind('here'))",
        FAILS,
    ),
    ("io_uring", "attempt('io_uring', lambda: call(425, 425, 8, ctypes.create_string_buffer(120)))", STOPPED),
    (
        "netlink_and_packet",
        "import socket\nattempt('netlink', lambda: socket.socket(16, 3, 0))\nattempt('packet', lambda: socket.socket(17, 3, 768))\nattempt('vsock', lambda: socket.socket(40, 1))",
        FAILS,
    ),
]

FILES = [
    (
        "read_passwd",
        "attempt('read', lambda: open('/etc/passwd').read())\nattempt('read', lambda: open('/etc/shadow').read())",
        FAILS,
    ),
    (
        "read_the_projects_files",
        "attempt('read', lambda: open({project!r} + '/params.yaml').read())\nattempt('list', lambda: os.listdir({project!r}))",
        FAILS,
    ),
    ("read_the_canary", "attempt('read', lambda: open({canary!r}).read())", FAILS),
    (
        "write_the_canary",
        "for mode in ('w', 'a', 'r+'): attempt(mode, lambda: open({canary!r}, mode).write('x'))",
        FAILS,
    ),
    (
        "truncate_the_canary",
        "attempt('truncate', lambda: os.truncate({canary!r}, 0))\nattempt('open', lambda: os.open({canary!r}, os.O_TRUNC))\nattempt('creat', lambda: os.open({canary!r}, os.O_CREAT | os.O_WRONLY))",
        FAILS,
    ),
    (
        "delete_the_canary",
        "attempt('unlink', lambda: os.unlink({canary!r}))\nattempt('rename', lambda: os.rename({canary!r}, 'mine'))\nattempt('replace', lambda: (open('mine', 'w').close(), os.replace('mine', {canary!r})))",
        FAILS,
    ),
    (
        "change_the_canary",
        "for f in (lambda: os.chmod({canary!r}, 0o777), lambda: os.chown({canary!r}, -1, -1), lambda: os.utime({canary!r}, (1, 1)), lambda: os.setxattr({canary!r}, 'user.x', b'x')): attempt('change', f)",
        FAILS,
    ),
    (
        "symlink_to_the_canary",
        "os.symlink({canary!r}, 'link')\nattempt('read', lambda: open('link').read())\nattempt('write', lambda: open('link', 'w').write('x'))\nattempt('chmod', lambda: os.chmod('link', 0o777))",
        FAILS,
    ),
    ("hard_link_to_the_canary", "attempt('link', lambda: os.link({canary!r}, 'mine'))", FAILS),
    (
        "path_descriptor",
        "attempt('open', lambda: open(os.open({canary!r}, os.O_PATH)).read())\nd = os.open('/', os.O_PATH)\nattempt('openat', lambda: os.open({canary!r}[1:], os.O_RDONLY, dir_fd=d))\nos.fchdir(d)\nattempt('relative', lambda: open({canary!r}[1:]).read())",
        FAILS,
    ),
    (
        "write_outside",
        "for place in ('/etc/x', '/root/x', '/home/x', '/usr/lib/x', '/dev/shm/x', '/var/tmp/x', '/x', {outside!r} + '/x', sys.prefix + '/lib/x'):\n    attempt(place, lambda: open(place, 'w').write('x'))\n    attempt(place, lambda: os.mkdir(place + 'd'))",
        FAILS,
    ),
    (
        "patches_the_library",
        "import this, os\nattempt('write', lambda: open(os.__file__, 'a').write('x'))\nattempt('bytecode', lambda: open(os.path.dirname(os.__file__) + '/__pycache__/x.pyc', 'wb'))",
        FAILS,
    ),
    (
        "climb_out",
        "for n in range(20): os.chdir('..')\nattempt('list', lambda: os.listdir('etc'))\nattempt('open', lambda: open('etc/passwd'))",
        FAILS,
    ),
    (
        "proc",
        "import glob\nfor path in ('/proc/1/environ', '/proc/self/environ', '/proc/self/maps', '/proc/self/status', '/proc/net/tcp', '/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/proc/self/root/etc/passwd'):\n    attempt(path, lambda: open(path).read(1))\nfor path in glob.glob('/proc/[0-9]*/root'): attempt(path, lambda: os.listdir(path))",
        FAILS,
    ),
    (
        "sys",
        "attempt('cgroup', lambda: open('/sys/fs/cgroup/x', 'w'))\nattempt('sys', lambda: os.listdir('/sys/kernel'))",
        FAILS,
    ),
    (
        "devices",
        "for name in ('mem', 'kmsg', 'sda', 'vda', 'kvm', 'fuse', 'tty', 'ptmx', 'shm/x', 'net/tun'):\n    attempt(name, lambda: open('/dev/' + name, 'rb').read(1))\nattempt('mknod', lambda: os.mknod('device', 0o20666, os.makedev(1, 1)))\nattempt('fifo', lambda: os.mkfifo('fifo'))",
        FAILS,
    ),
    (
        "shared_memory",
        "from multiprocessing import shared_memory\nattempt('posix', lambda: shared_memory.SharedMemory('x', True, 10))\nattempt('shmget', lambda: call(29, 194, 1234, 100, 0o1600))\nattempt('msgget', lambda: call(68, 186, 1234, 0o1600))\nattempt('semget', lambda: call(64, 190, 1234, 1, 0o1600))\nattempt('mq_open', lambda: call(240, 180, b'x', 0o101, 0o600, 0))",
        FAILS,
    ),
    ("inotify", "attempt('inotify', lambda: call(294, 26, 0))", FAILS),
    ("fanotify", "attempt('fanotify', lambda: call(300, 262, 0, 0))", STOPPED),
    ("open_by_handle", "attempt('handle', lambda: call(304, 265, 3, ctypes.create_string_buffer(64), 0))", STOPPED),
    (
        "fills_its_folder",
        "n = 0\nwhile True:\n    n += 1\n    with open(str(n), 'wb') as file: file.write(bytes(1 << 19))",
        FLOOD,
    ),
    ("fills_its_folder_with_names", "n = 0\nwhile True:\n    n += 1\n    open(str(n), 'w').close()", FLOOD),
    ("huge_file", "with open('x', 'wb') as file: file.write(bytes(2 << 20))", FLOOD),
    ("sparse_file", "with open('x', 'wb') as file: file.truncate(1 << 40)", FLOOD),
    ("deep_folders", "while True:\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)", FLOOD),
    (
        "locked_folders",
        "os.mkdir('a', 0)\nos.mkdir('b')\nopen('b/x', 'w').close()\nos.mkdir('b/c', 0o100)\nos.symlink('/', 'b/root')\nos.symlink('b', 'loop')",
        FAILS,
    ),
    (
        "strange_names",
        "for name in (b'\\xff\\xfe', b'-rf', b'new\\nline', ' ', '*', '\\u202e'): open(name, 'w').close()",
        FAILS,
    ),
    ("many_open_files", "files = []\nfor n in range(1000): files.append(open('/dev/null'))", FAILS),
]

PRIVILEGES = [
    ("become_root", "for f in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.seteuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])): attempt('root', f)", FAILS),
    ("capabilities", "attempt('capset', lambda: call(126, 91, (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)))", FAILS),
    ("prctl", "for option, value in ((4, 1), (23, 0), (24, 21), (36, 1), (28, 0), (22, 1), (1, 0)): attempt(f'prctl {{option}}', lambda: call(157, 167, option, value, 0, 0, 0))", FAILS),
    ("another_filter", "attempt('seccomp', lambda: call(317, 277, 1, 0, ctypes.create_string_buffer(16)))\nattempt('landlock', lambda: call(444, 444, 0, 0, 1))", FAILS),
    ("unshare_user", "attempt('unshare', lambda: call(272, 97, 0x10000000))", STOPPED),
    ("unshare_network", "attempt('unshare', lambda: call(272, 97, 0x40000000))", STOPPED),
    ("setns", "attempt('setns', lambda: call(308, 268, 0, 0))", STOPPED),
    ("mount", "attempt('mount', lambda: call(165, 40, b'none', b'/tmp', b'tmpfs', 0, 0))", STOPPED),
    ("umount", "attempt('umount', lambda: call(166, 39, b'/tmp', 2))", STOPPED),
    ("new_mount_calls", "attempt('fsopen', lambda: call(430, 430, b'tmpfs', 0))", STOPPED),
    ("pivot_root", "attempt('pivot_root', lambda: call(155, 41, b'.', b'.'))", STOPPED),
    ("chroot", "attempt('chroot', lambda: os.chroot('/'))", STOPPED),
    ("bpf", "attempt('bpf', lambda: call(321, 280, 0, 0, 0))", STOPPED),
    ("perf", "attempt('perf', lambda: call(298, 241, ctypes.create_string_buffer(128), 0, -1, -1, 0))", STOPPED),
    ("userfaultfd", "attempt('userfaultfd', lambda: call(323, 282, 1))", STOPPED),
    ("keyctl", "attempt('keyctl', lambda: call(250, 219, 0, -3, 1))", STOPPED),
    ("add_key", "attempt('add_key', lambda: call(248, 217, b'user', b'x', b'y', 1, -3))", STOPPED),
    ("module", "attempt('module', lambda: call(175, 105, 0, 0, b''))", STOPPED),
    ("kexec", "attempt('kexec', lambda: call(246, 104, 0, 0, 0, 0))", STOPPED),
    ("reboot", "attempt('reboot', lambda: call(169, 142, 0xfee1dead, 672274793, 0, 0))", STOPPED),
    ("clock", "import time\nattempt('clock', lambda: time.clock_settime(time.CLOCK_REALTIME, 0))", STOPPED),
    ("host_name", "attempt('name', lambda: call(170, 161, b'x', 1))", FAILS),
    ("personality", "attempt('personality', lambda: call(135, 92, 0x40000))", STOPPED),
    ("foreign_calls", "attempt('x32', lambda: call(0x40000000 | 39, 9999))\nattempt('unknown', lambda: call(600, 600))", STOPPED | FAILS),
    ("foreign_processor", """
import mmap, platform
if X86:
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("53b81400000089c3cd805bc3"))  # getpid by int 0x80
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    escaped(f"32-bit call {{ctypes.CFUNCTYPE(ctypes.c_int)(address)()}}")
else:
    raise SystemExit
""", STOPPED | ENDS | DIES),
]  # fmt: skip

RESOURCES = [
    ("loop", "while True: pass", OVERRUN),
    ("loop_in_c", "sum(range(10 ** 14))", OVERRUN),
    ("big_power", "x = 10 ** 10 ** 9", OVERRUN | FULL),
    ("regular_expression", "import re\nre.match('(a+)+$', 'a' * 60 + 'b')", OVERRUN),
    ("sleep", "import time\ntime.sleep(10 ** 6)", OVERRUN),
    ("sleep_when_asked", "import time\ndef answer(n): time.sleep(10 ** 6)", OVERRUN),
    ("dead_lock", "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()", OVERRUN),
    ("spins_threads", "import threading\ndef spin():\n    while True: pass\nfor _ in range(4): threading.Thread(target=spin).start()", OVERRUN | FAILS),
    ("memory", "x = bytearray(1 << 40)", FULL),
    ("memory_by_doubling", "x = [0]\nwhile True: x = x + x", FULL),
    ("memory_by_small_pieces", "x = []\nwhile True: x.append(bytearray(1 << 20))", FULL),
    ("memory_by_mapping", "import mmap\nx = []\nwhile True: x.append(mmap.mmap(-1, 1 << 26))", FULL | FAILS),
    ("memory_locked", "attempt('mlockall', lambda: call(151, 230, 3))", FAILS),
    ("recursion", "def f(): f()\nf()", FAILS),
    ("recursion_without_limit", "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(x): return [f(x)]\nclass A:\n    def __repr__(self): return repr(self)\nrepr(A())", DIES | FAILS | FULL),
    ("nested_source", "exec('(' * 10 ** 6)", FAILS | FULL | DIES),
    ("nested_data", "import json\nx = []\nfor _ in range(10 ** 6): x = [x]\nprint(len(repr(x)))", FAILS | DIES | OVERRUN),
    ("segmentation_fault", "ctypes.string_at(1)", DIES),
    ("abort", "os.abort()", DIES),
    ("frees_none", "for _ in range(10 ** 6): ctypes.pythonapi.Py_DecRef(ctypes.py_object(None))\nx = [None] * 100\ndel x", DIES | FAILS | OVERRUN),
    ("stdout_flood", "while True: print('x' * 1000)", FLOOD),
    ("stdout_flood_by_descriptor", "while True: os.write(1, b'x' * 100000)", FLOOD),
    ("stderr_flood", "while True: os.write(2, b'x' * 100000)", OVERRUN),
    ("pipe_flood", "r, w = os.pipe()\nwhile True: os.write(w, b'x' * 100000)", OVERRUN),
    ("reads_for_ever", "while True: sys.stdin.read()", OVERRUN),
    ("binary_output", "os.write(1, bytes(range(256)) * 10)", FAILS),
    ("unicode_output", "print('\\u202e\\U0001f600\\x1b[2J' * 10)", FAILS),
    ("surrogate_output", "print('\\ud800')", FAILS),
    ("nul_in_source", "x = 1\0", FAILS),
    ("not_python", "def f(:", FAILS),
    ("surrogate_in_source", "x = '\ud800'", FAILS),
    ("error_that_cannot_be_shown", "class E(Exception):\n    def __str__(self): raise self\nraise E", FAILS),
    ("error_without_end", "raise Exception('x' * 10 ** 7)", FAILS),
    ("empty", "", FAILS),
]  # fmt: skip

PROGRAMS = FORGERIES + PROCESSES + NETWORK + FILES + PRIVILEGES + RESOURCES
