"""Bodies that are too large for a message, and come by a file of the front's."""

from __future__ import annotations

import io
import os
import re
import stat
from contextlib import ExitStack
from typing import BinaryIO, Sequence

_NAME = re.compile(r"([0-9a-f]{16})-[0-9a-f]{32}", re.ASCII)


class Spooled(Exception):
    """The body is in a file: it is to be read by request.open()."""


class Gone(OSError):
    """The file is not there: the request has ended, or its front spools to another
    directory than the worker was told of."""


class Body:
    """Where the body of a job's request is to be found. With it end all files that
    were opened."""

    def __init__(self, directories: Sequence[str], instance: int) -> None:
        self._directories, self._instance = directories, instance
        self._files = ExitStack()

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def open(self, name: str, size: int) -> BinaryIO:
        """Opens the file of a body. It follows no links, and leaves no directory."""
        match = _NAME.fullmatch(name)
        if not match or not self._instance or int(match[1], 16) != self._instance:
            raise ValueError(f"{name[:64]!r} does not name a body of the job's front")
        for directory in self._directories:
            try:
                return self._files.enter_context(_open(os.path.join(directory, name), size))
            except FileNotFoundError:
                pass
        raise Gone(f"there is no {name} in {', '.join(self._directories) or 'any directory: set BUTTERFLY_SPOOL'}")


def _open(path: str, size: int) -> BinaryIO:
    """Opens a plain file of that size."""
    at = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        info = os.fstat(at)
        if not stat.S_ISREG(info.st_mode):
            raise ValueError(f"{path} is no file")
        if info.st_size != size:
            raise ValueError(f"{path} has {info.st_size} bytes, want {size}")
        return io.open(at, "rb")
    except BaseException:
        os.close(at)
        raise
