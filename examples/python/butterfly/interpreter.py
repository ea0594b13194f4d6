"""Which Python runs a worker program.

Debian's pyzmq belongs to Debian's own Python. Where another one comes first in
PATH, as in containers and with version managers, the program goes on in
Debian's.
"""

from __future__ import annotations

import importlib.util
import os
import sys

DEBIAN = "/usr/bin/python3"
TRIED = "BUTTERFLY_PYTHON_TRIED"


def ensure_zmq() -> None:
    """Returns if there is pyzmq; otherwise starts the program anew in Debian's
    Python, or raises ImportError with what to do."""
    if importlib.util.find_spec("zmq") is not None:
        return
    program = sys.argv[0]
    if TRIED not in os.environ and os.path.isfile(program) and os.access(DEBIAN, os.X_OK):
        os.environ[TRIED] = sys.executable
        os.execv(DEBIAN, [DEBIAN, *sys.argv])
    raise ImportError(f"{sys.executable} has no pyzmq: apt-get install python3-zmq, and run the program with {DEBIAN}")
