"""Which files a worker may reach, enforced by the kernel (Linux Landlock, landlock(7), since 5.13), without privileges.

Reading is allowed below the folders named, writing below others; everything else on the disk, a node's keys for example, does
not exist for the worker from then on.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every processor family
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_ALL_OF_VERSION_1 = (1 << 13) - 1
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_WRITE = _READ_FILE | _READ_DIR | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG
_FILE_ONLY = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE


def restrict(readable: Iterable[str], writable: Iterable[str]) -> int:
    """Confines this process. Paths that don't exist are left out. Returns the kernel's Landlock version.

    Raises:
        OSError: the system does not offer it; nothing is confined then.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    if version < 1:
        raise OSError(ctypes.get_errno(), "landlock")
    handled = _ALL_OF_VERSION_1 | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attribute = struct.pack("Q", handled)
    rules = int(libc.syscall(_CREATE, attribute, ctypes.c_size_t(8), ctypes.c_uint32(0)))
    if rules < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    try:
        write = (_WRITE | (_TRUNCATE if version >= 3 else 0)) & handled
        for paths, access in ((readable, _READ), (writable, write)):
            for path in paths:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                    _allow(libc, rules, path, access)
        if libc.syscall(_RESTRICT, rules, ctypes.c_uint32(0)) != 0:
            raise OSError(ctypes.get_errno(), "landlock")
    finally:
        os.close(rules)
    return version


def _allow(libc: ctypes.CDLL, rules: int, path: str, access: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        import stat

        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _FILE_ONLY
        rule = struct.pack("=Qi", access, descriptor)
        if libc.syscall(_ADD, rules, ctypes.c_int(1), rule, ctypes.c_uint32(0)) != 0:
            raise OSError(ctypes.get_errno(), "landlock")
    finally:
        os.close(descriptor)
