"""The system calls a candidate may not make, as a classic BPF program for seccomp(2), for x86-64 and aarch64.

Three answers: what no honest program needs (ptrace, mounts, new namespaces, bpf, io_uring, …) kills the process with
SIGSYS, which the verdict shows as a sandbox violation; what honest libraries probe for (sockets, memfd, System V
shared memory) gets EPERM; clone3, whose flags a filter can't read, gets ENOSYS so that libc falls back to clone.
A call of another architecture or of the x32 table kills. All else is allowed: files, threads, processes and sockets
are bounded by the namespaces and the resource limits.
"""

from __future__ import annotations

import ctypes
import struct

KILLED = [
    "ptrace",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "bpf",
    "keyctl",
    "add_key",
    "request_key",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "perf_event_open",
    "userfaultfd",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "pidfd_getfd",
    "kcmp",
    "open_by_handle_at",
    "name_to_handle_at",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "lookup_dcookie",
    "vhangup",
    "nfsservctl",
    "personality",
    "iopl",
    "ioperm",
    "modify_ldt",
]
DENIED = [
    "socket",
    "connect",
    "bind",
    "listen",
    "accept",
    "accept4",
    "memfd_create",
    "memfd_secret",
    "shmget",
    "shmat",
    "shmctl",
    "msgget",
    "msgsnd",
    "semget",
    "semop",
    "mq_open",
    "mknod",
    "mknodat",
    "setpriority",
    "sched_setscheduler",
    "sched_setattr",
    "sched_setparam",
    "ioprio_set",
    "mlock",
    "mlock2",
    "mlockall",
    "landlock_create_ruleset",
    "pidfd_send_signal",
    "inotify_init",
    "inotify_init1",
    "fanotify_init",
    "fanotify_mark",
]

# Numbers from the kernel's own tables: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
_COMMON = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "clone3": 435,
    "pidfd_send_signal": 424,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "landlock_create_ruleset": 444,
    "memfd_secret": 447,
}
TABLES: dict[str, dict[str, int]] = {
    "x86_64": {
        **_COMMON,
        "clone": 56,
        "socketpair": 53,
        "ptrace": 101,
        "mount": 165,
        "umount2": 166,
        "pivot_root": 155,
        "chroot": 161,
        "unshare": 272,
        "setns": 308,
        "bpf": 321,
        "keyctl": 250,
        "add_key": 248,
        "request_key": 249,
        "kexec_load": 246,
        "kexec_file_load": 320,
        "init_module": 175,
        "finit_module": 313,
        "delete_module": 176,
        "reboot": 169,
        "swapon": 167,
        "swapoff": 168,
        "acct": 163,
        "perf_event_open": 298,
        "userfaultfd": 323,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "kcmp": 312,
        "open_by_handle_at": 304,
        "name_to_handle_at": 303,
        "fanotify_init": 300,
        "quotactl": 179,
        "syslog": 103,
        "settimeofday": 164,
        "clock_settime": 227,
        "clock_adjtime": 305,
        "adjtimex": 159,
        "sethostname": 170,
        "setdomainname": 171,
        "lookup_dcookie": 212,
        "vhangup": 153,
        "nfsservctl": 180,
        "personality": 135,
        "iopl": 172,
        "ioperm": 173,
        "modify_ldt": 154,
        "socket": 41,
        "connect": 42,
        "bind": 49,
        "listen": 50,
        "accept": 43,
        "accept4": 288,
        "memfd_create": 319,
        "shmget": 29,
        "shmat": 30,
        "shmctl": 31,
        "msgget": 68,
        "msgsnd": 69,
        "semget": 64,
        "semop": 65,
        "mq_open": 240,
        "mknod": 133,
        "mknodat": 259,
        "setpriority": 141,
        "sched_setscheduler": 144,
        "sched_setattr": 314,
        "sched_setparam": 142,
        "ioprio_set": 251,
        "mlock": 149,
        "mlock2": 325,
        "mlockall": 151,
        "inotify_init": 253,
        "inotify_init1": 294,
        "fanotify_mark": 301,
    },
    "aarch64": {
        **_COMMON,
        "clone": 220,
        "socketpair": 199,
        "ptrace": 117,
        "mount": 40,
        "umount2": 39,
        "pivot_root": 41,
        "chroot": 51,
        "unshare": 97,
        "setns": 268,
        "bpf": 280,
        "keyctl": 219,
        "add_key": 217,
        "request_key": 218,
        "kexec_load": 104,
        "kexec_file_load": 294,
        "init_module": 105,
        "finit_module": 273,
        "delete_module": 106,
        "reboot": 142,
        "swapon": 224,
        "swapoff": 225,
        "acct": 89,
        "perf_event_open": 241,
        "userfaultfd": 282,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "kcmp": 272,
        "open_by_handle_at": 265,
        "name_to_handle_at": 264,
        "fanotify_init": 262,
        "quotactl": 60,
        "syslog": 116,
        "settimeofday": 170,
        "clock_settime": 112,
        "clock_adjtime": 266,
        "adjtimex": 171,
        "sethostname": 161,
        "setdomainname": 162,
        "lookup_dcookie": 18,
        "vhangup": 58,
        "nfsservctl": 42,
        "personality": 92,
        "socket": 198,
        "connect": 203,
        "bind": 200,
        "listen": 201,
        "accept": 202,
        "accept4": 242,
        "memfd_create": 279,
        "shmget": 194,
        "shmat": 196,
        "shmctl": 195,
        "msgget": 186,
        "msgsnd": 189,
        "semget": 190,
        "semop": 193,
        "mq_open": 180,
        "mknodat": 33,
        "setpriority": 140,
        "sched_setscheduler": 119,
        "sched_setattr": 274,
        "sched_setparam": 118,
        "ioprio_set": 30,
        "mlock": 228,
        "mlock2": 284,
        "mlockall": 230,
        "inotify_init1": 26,
        "fanotify_mark": 263,
    },
}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* that clone(2) can take
AF_UNIX = 1
EPERM, ENOSYS = 1, 38
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _ARG0 = 0, 4, 16  # offsets into struct seccomp_data; arguments are little-endian
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2

Instruction = tuple[int, int, int, int]


def program(machine: str) -> list[Instruction]:
    """The filter as (code, jump if true, jump if false, operand), for `x86_64` or `aarch64`.

    Straight-line: each test is followed by its own answer, so all jumps are a few instructions long.
    """
    table = TABLES[machine]
    lines: list[Instruction] = [(_LOAD, 0, 0, _ARCH), (_JEQ, 1, 0, AUDIT_ARCH[machine]), (_RET, 0, 0, KILL)]
    lines += [(_LOAD, 0, 0, _NUMBER)]
    if machine == "x86_64":
        lines += [(_JGE, 0, 1, 0x40000000), (_RET, 0, 0, KILL)]
    for names, answer in ((KILLED, KILL), (DENIED, ERRNO | EPERM), (["clone3"], ERRNO | ENOSYS)):
        for name in names:
            if name in table:
                lines += [(_JEQ, 0, 1, table[name]), (_RET, 0, 0, answer)]
    lines += [(_JEQ, 0, 3, table["clone"]), (_LOAD, 0, 0, _ARG0), (_JSET, 0, 5, NEW_NAMESPACES), (_RET, 0, 0, KILL)]
    refuse = (_RET, 0, 0, ERRNO | EPERM)
    lines += [(_JEQ, 0, 3, table["socketpair"]), (_LOAD, 0, 0, _ARG0), (_JEQ, 1, 0, AF_UNIX), refuse]
    return [*lines, (_RET, 0, 0, ALLOW)]


class Filter:
    """A program ready for the kernel; building it once keeps the cost of a job down."""

    def __init__(self, machine: str) -> None:
        code = b"".join(struct.pack("=HBBI", *line) for line in program(machine))
        self._code = ctypes.create_string_buffer(code, len(code))
        self._header = ctypes.create_string_buffer(
            struct.pack("@HxxxxxxP", len(code) // 8, ctypes.addressof(self._code)), 16
        )

    def install(self) -> None:
        """Put the filter on this process and its children for good; NO_NEW_PRIVS must be set."""
        libc = ctypes.PyDLL(None, use_errno=True)
        address = ctypes.c_ulong(ctypes.addressof(self._header))
        if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), address, 0, 0) < 0:
            raise OSError(ctypes.get_errno(), "seccomp")
