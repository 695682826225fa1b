"""What is being written: in a hidden folder beside its place, locked while its writer lives, and swept once the writer is dead.

Where a path may be written to is decided here, too, for every file and folder that the library and its commands make.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

PARTIAL = ".partial"
"""How the name of the folder ends in which something is being written."""

OLD = ".old"
"""How the name of a folder ends for the moment in which another takes its place."""

_OURS = re.compile(r"\..*\.(?:[0-9a-f]{32}|(?=[a-z]*[0-9_])[0-9a-z_]{8})\.partial", re.DOTALL)
"""Names of this module, and those of earlier versions, if they are no words; what else ends in .partial is somebody else's."""
_MOVED_AWAY = re.compile(r"\.(.*)\.[0-9a-f]{32}\.old", re.DOTALL)
_NAME_BYTES = 180  # file systems have 255 for the whole name
_TRIES = 100


def output_of(path: str | Path, *, folder: bool = False) -> Path:
    """Where what is written to a path lies in the end: the path itself, or what a link points at, which is written while the link stays.

    Nothing is made or changed; call it before long work, too.

    Args:
        folder: whether a folder is to be made there rather than a file.

    Raises:
        FileNotFoundError: when the folder it is to lie in is not there.
        NotADirectoryError, IsADirectoryError: when a file stands where a folder must be, or a folder where the file must be.
        PermissionError: when the folder cannot be written, or what lies there is somebody else's in a folder where all may write.
        OSError: when it is a device, a pipe or a socket, links go in a circle, or no file can have the name.
    """
    path = Path(path)
    try:
        target = _followed(path)
        mode = _mode(target)
    except NotADirectoryError as error:
        raise NotADirectoryError(f"cannot write {path}: {_nearest_file(path)} is a file, not a folder") from error
    except ValueError as error:  # a zero byte
        raise OSError(f"cannot write {str(path)!r}: {error}") from error
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        if error.strerror is None:
            raise
        raise type(error)(f"cannot write {str(path)[:200]!r}: {error.strerror}") from error
    if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(f"cannot write {path}: it is {_KINDS.get(stat.S_IFMT(mode), 'no file')}, not a file; give the name of a file")
    if mode is not None and stat.S_ISDIR(mode) != folder:
        if folder:
            raise NotADirectoryError(f"cannot write {path}: it is a file, and a folder is made there; give another name")
        raise IsADirectoryError(f"cannot write {path}: it is a folder; give the name of a file")
    _check_parent(path, target.parent)
    if mode is not None and not _may_replace(target):
        raise PermissionError(f"cannot write {path}: it belongs to another user, and nobody else may replace it; give another name")
    return target


_KINDS = {stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _followed(path: Path) -> Path:
    """What a chain of links ends at; names of this process's open files (/dev/stdout, /proc/self/fd/1) are no files to write."""
    target = path
    for _ in range(40):
        if os.path.join(os.path.realpath(target.parent), "").startswith("/proc/"):
            raise OSError(f"cannot write {path}: it is an open file of a process, not a file; give the name of a file")
        if not target.is_symlink():
            return target
        target = target.parent / os.readlink(target)
    raise OSError(f"cannot write {path}: its links go in a circle; give the name of a file")


def _nearest_file(path: Path) -> Path:
    return next((parent for parent in path.parents if parent.is_file()), path.parent)


def _check_parent(path: Path, parent: Path) -> None:
    if not parent.exists():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {parent} (it does not exist); make it first")
    if not parent.is_dir():
        raise NotADirectoryError(f"cannot write {path}: {parent} is a file, not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write {path}: the folder {parent} cannot be written by you")


def _may_replace(target: Path) -> bool:
    """Whether what lies in a folder like /tmp, in which all may write, is one's own."""
    folder = target.parent.stat()
    if not folder.st_mode & stat.S_ISVTX or sys.platform == "win32":
        return True
    return os.geteuid() in (0, folder.st_uid, target.lstat().st_uid)


@contextlib.contextmanager
def partial_beside(target: Path) -> Iterator[Path]:
    """A new folder beside a target, to write it in for the length of a block; what dead writers left in that place is swept first.

    The lock is the folder's: libraries that write a file may put another in its place, or leave files of their own beside it.

    Raises:
        OSError: when the place cannot be written.
    """
    sweep(target.parent)
    partial, handle = _claimed(target)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _claimed(target: Path) -> tuple[Path, int | None]:
    """A new partial folder, and the open handle whose lock says that its writer lives."""
    for _ in range(_TRIES):
        partial = _beside(target, PARTIAL)
        partial.mkdir()
        # Somebody may have swept it between its making and its lock, or be about to.
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            handle = _lock(partial)
            if handle is None or partial.is_dir():
                return partial, handle
            os.close(handle)
    raise OSError(f"cannot write {target}: what is written there is removed at once by another process")


def _beside(target: Path, ending: str) -> Path:
    """A new hidden name beside a target."""
    name = target.name.encode(errors="surrogateescape")[:_NAME_BYTES].decode(errors="ignore")
    return target.with_name(f".{name}.{uuid4().hex}{ending}")


def replace_folder(partial: Path, target: Path) -> None:
    """Move a folder into its place; one that was there before is removed, and comes back if its successor cannot take the place.

    Raises:
        OSError: when it cannot be moved.
    """
    for left in reversed(range(_TRIES)):
        try:
            _replace_folder(partial, target)
            return
        except OSError as error:
            if not left or error.errno not in _CROSSED:
                raise


_CROSSED = (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST)
"""What it comes to when another process puts a folder into the same place at the same time."""


def _replace_folder(partial: Path, target: Path) -> None:
    if not target.exists():
        os.replace(partial, target)
        return
    old, handle = _beside(target, OLD), None
    with contextlib.suppress(BlockingIOError):  # another replaces it too, and its lock serves both
        handle = _lock(target)
    try:
        os.replace(target, old)
        try:
            os.replace(partial, target)
        finally:
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(old, target)
    finally:
        if handle is not None:
            os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder; what a living process is writing stays."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.endswith((PARTIAL, OLD))]
    except OSError:
        return
    for name in names:
        moved = _MOVED_AWAY.fullmatch(name)
        if moved or _OURS.fullmatch(name):
            with contextlib.suppress(OSError):
                _sweep_one(folder / name, None if moved is None else folder / moved[1])


def _sweep_one(leftover: Path, home: Path | None) -> None:
    handle = _lock(leftover)
    if handle is None:
        return
    try:
        if home is not None and not home.exists():  # killed between two moves: it is whole, and the only one
            os.replace(leftover, home)
        elif leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink()
    finally:
        os.close(handle)


def _lock(path: Path) -> int | None:
    """An open handle with the lock on a file or folder; ``None`` where the system has no such locks.

    The system takes the lock back however a process ends.

    Raises:
        BlockingIOError: when another has it.
        OSError: when there is no such file or folder, or it is a link.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return handle
