"""A filter in the kernel for what a worker may ask of it.

No network sockets, no other programs or processes, no new namespaces; no memory or messages shared with other
processes, no signals to them and no limits set on them; and no file's mode, owner, times or attributes changed, which
Landlock leaves free everywhere: a worker could otherwise open a node's folder to all users of the machine.

Written as a classic BPF program for `prctl(PR_SET_SECCOMP)` (Linux: seccomp(2), Documentation/userspace-api/seccomp_filter.rst).
It survives everything the worker does afterwards and needs no privilege once no_new_privs is set. Denied calls fail with EPERM
rather than killing, so that libraries which probe for something go on. Must be installed while the process has one thread.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_IF_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | 1  # SECCOMP_RET_ERRNO | EPERM
_UNKNOWN = 0x00050000 | 38  # SECCOMP_RET_ERRNO | ENOSYS: libraries then fall back to the call before it
_NUMBER, _ARCHITECTURE, _FIRST = 0, 4, 16  # offsets in struct seccomp_data; the first argument's lower half
_CLONE_THREAD = 0x10000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

# socket, execve, execveat, ptrace, process_vm_readv and _writev, mount, setns, unshare, bpf, perf_event_open, userfaultfd,
# keyctl, add_key, request_key, init_module, finit_module, kexec_load, io_uring_setup, pidfd_getfd, open_by_handle_at, chroot.
_CALLS = {
    "x86_64": (
        0xC000003E,
        (
            41,
            59,
            322,
            101,
            310,
            311,
            165,
            308,
            272,
            321,
            298,
            323,
            250,
            248,
            249,
            175,
            313,
            246,
            425,
            438,
            304,
            161,
            *(57, 58, 109, 112),  # fork, vfork, setpgid, setsid
            *(
                29,
                30,
                31,
                64,
                65,
                66,
                68,
                69,
                70,
                71,
                220,
                240,
                241,
            ),  # System V and POSIX shared memory and messages
            *(90, 91, 92, 93, 94, 260, 268, 452),  # chmod, chown
            *(188, 189, 190, 197, 198, 199, 463, 466),  # extended attributes
            *(132, 235, 261, 280),  # times
            *(129, 200, 297, 424, 434),  # signals: rt_sigqueueinfo, tkill, rt_tgsigqueueinfo, pidfd
            300,  # fanotify_init
        ),
    ),
    "aarch64": (
        0xC00000B7,
        (
            198,
            221,
            281,
            117,
            270,
            271,
            40,
            268,
            97,
            280,
            241,
            282,
            219,
            217,
            218,
            105,
            273,
            104,
            425,
            438,
            265,
            51,
            *(154, 157),  # setpgid, setsid
            *(180, 181, 186, 187, 188, 189, 190, 191, 192, 193, 194, 195, 196),  # shared memory and messages
            *(52, 53, 54, 55, 452),  # chmod, chown
            *(5, 6, 7, 14, 15, 16, 463, 466),  # extended attributes
            88,  # utimensat
            *(138, 130, 240, 424, 434),  # signals
            262,  # fanotify_init
        ),
    ),
}
_OWN_ONLY = {"x86_64": (62, 234), "aarch64": (129, 131)}
"""kill, tgkill: to this process itself, which is how it aborts."""
_LIMITS = {"x86_64": 302, "aarch64": 261}
"""prlimit64: of this process itself (0, or its number)."""
_CLONE = {"x86_64": 56, "aarch64": 220}
"""clone: threads only. clone3 keeps its flags in memory, where no filter can look: it does not exist here."""
_CLONE3 = 435


def program(machine: str, process: int) -> bytes:
    """The filter for a processor family and the process of that number. Raises `OSError` where there is none."""
    if machine not in _CALLS:
        raise OSError("no filter for this processor")
    architecture, denied = _CALLS[machine]
    lines = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _DENY),
        (_LOAD_WORD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        # The x32 calling convention reaches the same calls by other numbers.
        lines += [(_JUMP_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _DENY)]
    for number in denied:
        lines += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _DENY)]
    lines += [(_JUMP_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _UNKNOWN)]
    for number in _OWN_ONLY[machine]:
        lines += _if_first(number, (_JUMP_EQUAL, 0, 1, process))
    lines += _if_first(_LIMITS[machine], (_JUMP_EQUAL, 1, 0, process), (_JUMP_EQUAL, 0, 1, 0))
    lines += _if_first(_CLONE[machine], (_JUMP_IF_SET, 0, 1, _CLONE_THREAD))
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def _if_first(number: int, *tests: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Allows a call only if a test of its first argument, the last of which skips one line if it fails, holds."""
    return [
        (_JUMP_EQUAL, 0, len(tests) + 3, number),
        (_LOAD_WORD, 0, 0, _FIRST),
        *tests,
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DENY),
    ]


def install() -> None:
    """Installs the filter for this process. Raises `OSError` where the system does not offer it."""
    code = program(platform.machine(), os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_void_p)]

    wrapped = Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(wrapped), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
