"""The command line of a worker program."""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import re
import sys
from datetime import datetime
from typing import Callable, Dict, Iterable, List, NoReturn, Optional, Sequence, TypeVar, Union, overload

from .process import Handler, Process
from .sockets import Endpoints

F = TypeVar("F", bound=Handler)

_workers: Dict[str, Handler] = {}


@overload
def worker(function: F) -> F: ...


@overload
def worker(function: str) -> Callable[[F], F]: ...


def worker(function: Union[F, str]) -> Union[F, Callable[[F], F]]:
    """Makes a function a worker, under its own name or, as @worker("name"),
    under another. The function itself stays as it is."""
    if isinstance(function, str):
        name = function
        return lambda f: _register(name, f)
    return _register(function.__name__, function)


def _register(name: str, function: F) -> F:
    if name in _workers:
        raise ValueError(f"there is a worker {name!r} already")
    _workers[name] = function
    return function


def main(args: Optional[Sequence[str]] = None) -> NoReturn:
    """Runs the worker of this program, or of several the one that is named by
    the first argument or else by the stage. Exits with 0 when it was told to
    stop, with 2 if it was called wrongly."""
    parser = _parser()
    options = parser.parse_args(args)
    try:
        name = _chosen(options)
        at = _endpoints(options, name)
        log_to_stderr(options.log_level, at.stage)
        process = Process(_workers[name], at)
    except ValueError as e:
        parser.error(str(e))
    faulthandler.enable()  # at SIGABRT a process that hangs says where
    process.listen()
    logging.info("working", extra={"worker": name, "upstream_proxy": ",".join(at.upstream)})
    process.run()
    sys.exit(0)


def _parser() -> argparse.ArgumentParser:
    env = os.environ.get
    parser = argparse.ArgumentParser(description="A worker of a butterfly pipeline.", allow_abbrev=False)
    add = parser.add_argument
    add("worker", nargs="?", help="one of: " + ", ".join(_workers))
    add("--stage", default=env("BUTTERFLY_STAGE", ""), help="name of the stage")
    add("--upstream-proxy", action="append", help="endpoint of the stage's own proxy; of several repeatable")
    add("--downstream-proxy", action="append", help="[stage=]endpoint of a next stage's proxy; repeatable")
    add("--loopback", action="append", help="[front=]endpoint of a front's loopback; repeatable")
    add("--interrupt", action="append", help="interrupt endpoint of a front; repeatable")
    add("--spool", action="append", help="directory in which a front puts large bodies; repeatable")
    add("--log-level", default=env("BUTTERFLY_LOG_LEVEL") or "info", help="debug, info, warn or error")
    return parser


def _chosen(options: argparse.Namespace) -> str:
    """Returns the name of the worker to run."""
    name: str = options.worker or (next(iter(_workers)) if len(_workers) == 1 else options.stage)
    if name not in _workers:
        raise ValueError(f"there is no worker {name!r}, want one of: {', '.join(_workers)}")
    return name


def _endpoints(options: argparse.Namespace, name: str) -> Endpoints:
    at = Endpoints(
        options.stage or name,
        _split(_listed(options.upstream_proxy, "BUTTERFLY_UPSTREAM_PROXY")),
        _stages(options.downstream_proxy, "BUTTERFLY_DOWNSTREAM_PROXY"),
        _named(options.loopback, "BUTTERFLY_LOOPBACK"),
        _listed(options.interrupt, "BUTTERFLY_INTERRUPT"),
        _listed(options.spool, "BUTTERFLY_SPOOL"),
    )
    if not at.upstream:
        raise ValueError("--upstream-proxy is missing, and BUTTERFLY_UPSTREAM_PROXY too")
    if not at.fronts:
        raise ValueError("--loopback is missing, and BUTTERFLY_LOOPBACK too: want one at least")
    if not at.interrupts:
        raise ValueError("--interrupt is missing, and BUTTERFLY_INTERRUPT too: want one at least")
    return at


def _listed(flags: Optional[List[str]], variable: str) -> List[str]:
    """Returns what the flags say, else the parts of an environment variable."""
    parts = os.environ.get(variable, "").split(",") if flags is None else flags
    return [part.strip() for part in parts if part.strip()]


def _split(parts: Iterable[str]) -> List[str]:
    """Returns the endpoints of values that may hold several, with commas between."""
    return [e.strip() for part in parts for e in part.split(",") if e.strip()]


def _stages(flags: Optional[List[str]], variable: str) -> Dict[str, List[str]]:
    """Returns endpoints by stage, each of them given as [STAGE=]ENDPOINT; a flag
    may name several, with commas between."""
    stages: Dict[str, List[str]] = {}
    for part in _listed(flags, variable):
        name, equals, endpoints = part.partition("=")
        if not equals or "://" in name:
            name, endpoints = "", part
        stages.setdefault(name, []).extend(_split([endpoints]))
    return stages


def _named(flags: Optional[List[str]], variable: str) -> Dict[str, str]:
    """Returns endpoints by name, each of them given as [NAME=]ENDPOINT."""
    named: Dict[str, str] = {}
    for part in _listed(flags, variable):
        name, equals, endpoint = part.partition("=")
        if not equals or "://" in name:
            name, endpoint = "", part
        if name in named:
            raise ValueError(f"the name {name!r} is there twice: write NAME={endpoint} with another name")
        named[name] = endpoint
    return named


def log_to_stderr(level: str, stage: str) -> None:
    """Sets up logging, for the worker's own lines too, and lets out line by line
    what it prints."""
    levels = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
    if level not in levels:
        raise ValueError(f"--log-level {level!r}: want {', '.join(levels)}")
    handler = logging.StreamHandler()
    handler.setFormatter(Line(stage))
    logging.addLevelName(logging.WARNING, "WARN")
    logging.basicConfig(level=levels[level], handlers=[handler])
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:
        reconfigure(line_buffering=True)


class Line(logging.Formatter):
    """Log lines as all of butterfly's processes write them: key=value."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.always = {"stage": stage, "slot": os.environ.get("BUTTERFLY_SLOT", "0")}

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, and behind it the lines of a traceback."""
        at = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        pairs = {"time": at, "level": record.levelname, "msg": record.getMessage(), **self.always}
        for key in ("worker", "upstream_proxy", "request_id", "err"):
            if hasattr(record, key):
                pairs[key] = str(getattr(record, key))
        line = " ".join(f"{key}={quoted(value)}" for key, value in pairs.items())
        return line + "\n" + self.formatException(record.exc_info) if record.exc_info else line


def quoted(text: str) -> str:
    """Returns text as the value of a key: in quotes where that is needed."""
    return text if re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text, ensure_ascii=False)
