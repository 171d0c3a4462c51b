"""A filter in the kernel for what a worker may ask of it: no network sockets, no other programs, no new namespaces.

Written as a classic BPF program for `prctl(PR_SET_SECCOMP)` (Linux: seccomp(2), Documentation/userspace-api/seccomp_filter.rst).
It survives everything the worker does afterwards and needs no privilege once no_new_privs is set. Denied calls fail with EPERM
rather than killing, so that libraries which probe for something go on. Must be installed while the process has one thread.
"""

from __future__ import annotations

import ctypes
import platform
import struct

_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | 1  # SECCOMP_RET_ERRNO | EPERM
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
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
        ),
    ),
}


def program(machine: str) -> bytes:
    """The filter for a processor family. Raises `OSError` where there is none."""
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
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def install() -> None:
    """Installs the filter for this process. Raises `OSError` where the system does not offer it."""
    code = program(platform.machine())
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_void_p)]

    wrapped = Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(wrapped), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
