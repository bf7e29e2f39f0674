"""System calls that a sandboxed program may make, by name, and their numbers on both processors.

Each entry is `name:x86_64:aarch64`, `-` if the processor does not have the call. The numbers are the kernel's stable
interface (asm/unistd_64.h and asm-generic/unistd.h of the Linux headers).

Allowed are the calls that CPython and the C library need for computation, files (confined by Landlock and the new root),
timers, signals to the process itself, pipes, threads and event loops. All others are refused.
"""

_ALLOWED = """
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 preadv:295:69 pwritev:296:70 close:3:57
close_range:436:436 lseek:8:62 fstat:5:80 newfstatat:262:79 statx:332:291 stat:4:- lstat:6:- access:21:-
faccessat:269:48 faccessat2:439:439 open:2:- openat:257:56 creat:85:- getdents:78:- getdents64:217:61 readlink:89:-
readlinkat:267:78 getcwd:79:17 chdir:80:49 fchdir:81:50 mkdir:83:- mkdirat:258:34 rmdir:84:- unlink:87:-
unlinkat:263:35 rename:82:- renameat:264:38 renameat2:316:276 symlink:88:- symlinkat:266:36 truncate:76:45
ftruncate:77:46 fallocate:285:47 fsync:74:82 fdatasync:75:83 umask:95:166 statfs:137:43 fstatfs:138:44 dup:32:23
dup2:33:- dup3:292:24 flock:73:32 sendfile:40:71 copy_file_range:326:285 fadvise64:221:223 pipe:22:- pipe2:293:59
poll:7:- ppoll:271:73 select:23:- pselect6:270:72 epoll_create:213:- epoll_create1:291:20 epoll_ctl:233:21
epoll_wait:232:- epoll_pwait:281:22 eventfd:284:- eventfd2:290:19 shutdown:48:210 recvfrom:45:207 getsockname:51:204
getpeername:52:205 getsockopt:55:209 mmap:9:222 munmap:11:215 mremap:25:216 mprotect:10:226 madvise:28:233 brk:12:214
msync:26:227 membarrier:324:283 rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigsuspend:130:133
rt_sigpending:127:136 rt_sigtimedwait:128:137 sigaltstack:131:132 pause:34:- alarm:37:- setitimer:38:103
getitimer:36:102 nanosleep:35:101 clock_nanosleep:230:115 clock_gettime:228:113 clock_getres:229:114
gettimeofday:96:169 time:201:- times:100:153 getpid:39:172 getppid:110:173 gettid:186:178 getuid:102:174
geteuid:107:175 getgid:104:176 getegid:108:177 getresuid:118:148 getresgid:120:150 getgroups:115:158 getpgrp:111:-
getpgid:121:155 getsid:124:156 uname:63:160 sysinfo:99:179 getrusage:98:165 getrlimit:97:163 getpriority:140:141
capget:125:90 sched_yield:24:124 sched_getaffinity:204:123 getcpu:309:168 futex:202:98 set_robust_list:273:99
set_tid_address:218:96 rseq:334:293 restart_syscall:219:128 exit:60:93 exit_group:231:94 wait4:61:260 waitid:247:95
getrandom:318:278
"""

# Allowed only with the arguments in components.sandbox.seccomp.
_FILTERED = """
clone:56:220 socketpair:53:199 sendto:44:206 ioctl:16:29 fcntl:72:25 prctl:157:167 kill:62:129 tgkill:234:131
prlimit64:302:261
"""

# Programs that only compute never make these calls: the process ends immediately, with a clear verdict.
_FATAL = """
ptrace:101:117 process_vm_readv:310:270 process_vm_writev:311:271 kcmp:312:272 pidfd_getfd:438:438 pidfd_open:434:434
pidfd_send_signal:424:424 io_uring_setup:425:425 io_uring_enter:426:426 io_uring_register:427:427 bpf:321:280
userfaultfd:323:282 perf_event_open:298:241 keyctl:250:219 add_key:248:217 request_key:249:218 mount:165:40
umount2:166:39 pivot_root:155:41 chroot:161:51 unshare:272:97 setns:308:268 open_tree:428:428 move_mount:429:429
fsopen:430:430 fsconfig:431:431 fsmount:432:432 fspick:433:433 mount_setattr:442:442 init_module:175:105
finit_module:313:273 delete_module:176:106 kexec_load:246:104 kexec_file_load:320:294 reboot:169:142 swapon:167:224
swapoff:168:225 acct:163:89 quotactl:179:60 syslog:103:116 settimeofday:164:170 clock_settime:227:112 adjtimex:159:171
clock_adjtime:305:266 iopl:172:- ioperm:173:- modify_ldt:154:- open_by_handle_at:304:265 name_to_handle_at:303:264
process_madvise:440:440 process_mrelease:448:448 fanotify_init:300:262 personality:135:92 lookup_dcookie:212:18
vhangup:153:58 migrate_pages:256:238 move_pages:279:239
"""

# The C library tries these first, and uses an older call if the kernel does not know them.
_UNKNOWN = """
clone3:435:435 openat2:437:437 epoll_pwait2:441:441
"""

NEWEST = 451  # higher numbers are answered as by an older kernel


def _numbers(table: str) -> dict[str, dict[str, int]]:
    """Call numbers by machine and name."""
    numbers: dict[str, dict[str, int]] = {"x86_64": {}, "aarch64": {}}
    for entry in table.split():
        name, *both = entry.split(":")
        for machine, number in zip(numbers, both, strict=True):
            if number != "-":
                numbers[machine][name] = int(number)
    return numbers


ALLOWED, FILTERED, FATAL, UNKNOWN = map(_numbers, (_ALLOWED, _FILTERED, _FATAL, _UNKNOWN))
