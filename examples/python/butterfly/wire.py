"""The frames between the processes, as docs/protocol.md draws them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

Key = Tuple[int, int, int]  # a job's: its front's instance, id, time

BEAT = b"BFLB"  # what the second frame of a beat begins with
STATUS = b"BFLS"  # what the status of a stage begins with
WITHDRAW, TELL, BEGUN = 1, 4, 8  # flags of a beat
HEAD = 2  # flag: the client asked with HEAD
STREAM, STREAM_END = 4, 8  # flags: a part of a stream, and its last
CREDIT = b"\xffBFLY"  # what credit begins with
ROLL_CALL = b"\xffBFLR"  # what a roll call begins with
CLAIM = b"BFLC"

# What the parts of a stream may cost unasked, what each costs beside its bytes,
# and how many it may have.
INITIAL_CREDIT, PART_OVERHEAD, MAX_PART = 64 << 10, 64, 32 << 10

FRONT_NAME, REQUEST_ID, PIECE = 1, 2, 7  # tags of optional fields

_KEY = struct.Struct("<II")
_PRIME = struct.Struct("<IIHH")
_EXTENSION = struct.Struct("<4sBBBBQqIIIHH")
_CREDIT = struct.Struct("<5sQBBBIIQQ")
_ROLL_CALL = struct.Struct("<5sBBBQII")
_CLAIM = struct.Struct("<4sBBHQIIII")
_BEAT = struct.Struct("<4sBBHQQII")
_STATUS = struct.Struct("<4sBBHIIII")
_OPTIONAL = 52  # where the optional fields begin
_CODE = 0x3FF << 5  # the bits of the status


@dataclass(frozen=True)
class Info:
    """The first frame of a job. It is handed on as it came, but for the status."""

    frame: bytes
    id: int
    time: int
    bits: int = 0
    flags: int = 0
    attempt: int = 0
    priority: int = 0
    instance: int = 0
    deadline: int = 0  # Unix microseconds, 0: none
    client: int = 0
    hops: int = 0
    part: int = 0
    slot: int = 0
    fields: Dict[int, bytes] = field(default_factory=dict)

    @staticmethod
    def parse(frame: bytes) -> Info:
        """Reads a frame; ValueError says what is wrong with it."""
        if len(frame) < 8:
            raise ValueError(f"an info frame of {len(frame)} bytes, want 8 at least")
        if len(frame) < 12:
            return Info(frame, *_KEY.unpack_from(frame))
        ident, stamp, bits, _ = _PRIME.unpack_from(frame)
        if frame[12:16] != b"BFLY":
            return Info(frame, ident, stamp, bits)
        if not _OPTIONAL <= len(frame) <= 255 or frame[16] != 1:
            raise ValueError("the extension of the info frame is cut off, too long, or of another version")
        _magic, _version, *values, _reserved = _EXTENSION.unpack_from(frame, 12)
        values.append(_fields(frame))
        return Info(frame, ident, stamp, bits, *values)

    @property
    def key(self) -> Key:
        """The job's name: an interrupt and the beat after the job bear it."""
        return self.instance, self.id, self.time

    def answered(self, status: int) -> bytes:
        """Returns the frame of an answer: the job's own, with the status."""
        if len(self.frame) < 12:
            return self.frame
        bits = self.bits & ~_CODE | status << 5 & _CODE
        return self.frame[:8] + struct.pack("<H", bits) + self.frame[10:]

    def streamed(self, flags: int, part: int, status: int) -> bytes:
        """Returns the frame of a part of a stream. There has to be an instance."""
        frame = bytearray(self.answered(status))
        frame[17] = self.flags & ~(STREAM | STREAM_END) | flags
        struct.pack_into("<I", frame, 44, part)
        return bytes(frame)


def _fields(frame: bytes) -> Dict[int, bytes]:
    """Returns the optional fields by tag, of several of a tag the first."""
    fields: Dict[int, bytes] = {}
    at = _OPTIONAL
    while at < len(frame):
        tag, size = frame[at], frame[at + 1] if at + 1 < len(frame) else 255
        end = at + 2 + size
        if tag == 0 or end > len(frame):
            raise ValueError(f"byte {at} of the info frame begins no field")
        fields.setdefault(tag, frame[at + 2 : end])
        at = end
    return fields


def beat_frame(instance: int, done: Key, flags: int) -> bytes:
    """Returns the second frame of a beat: a process is one slot, number 0."""
    return _BEAT.pack(BEAT, 1, flags, 0, instance, *done)


@dataclass(frozen=True)
class Status:
    """What a proxy tells of its stage, as far as it matters here."""

    draining: bool
    slots: int
    idle: int
    queued: int

    @staticmethod
    def parse(frame: bytes) -> Optional[Status]:
        """Reads a frame; None: it is none that is known."""
        if len(frame) < _STATUS.size or frame[:4] != STATUS or frame[4] != 1:
            return None
        _magic, _version, flags, _reserved, _workers, slots, idle, queued = _STATUS.unpack_from(frame)
        return Status(bool(flags & 2), slots, idle, queued)


def part_cost(size: int) -> int:
    """Returns what a part of so many bytes costs: an empty one nothing."""
    return size + PART_OVERHEAD if size else 0


def credit_prefix(instance: int) -> bytes:
    """Returns what a worker of that instance subscribes to for its credit."""
    return CREDIT + instance.to_bytes(8, "little")


def parse_credit(frame: bytes) -> Optional[Tuple[Key, int, bool]]:
    """Returns the key of a stream, what was granted to it in all, and whether it
    is to stop; None: the frame is none that is known."""
    if len(frame) < _CREDIT.size:
        return None
    mark, _worker, version, flags, _reserved, ident, stamp, instance, granted = _CREDIT.unpack_from(frame)
    if mark != CREDIT or version != 1:
        return None
    return (instance, ident, stamp), granted, bool(flags & 1)


def parse_roll_call(frame: bytes) -> Optional[Tuple[int, int, float]]:
    """Returns the instance of a front that asks, the number of its roll call, and
    for how many seconds it wants to hear of new jobs; None: the frame is none."""
    if len(frame) < _ROLL_CALL.size:
        return None
    mark, version, _flags, _reserved, front, number, window = _ROLL_CALL.unpack_from(frame)
    if mark != ROLL_CALL or version != 1:
        return None
    return front, number, window / 1000


def claim_frame(key: Key, number: int) -> bytes:
    """Returns the claim of one job, in answer to a roll call."""
    front, ident, stamp = key
    return _CLAIM.pack(CLAIM, 1, 0, 0, front, number, 1, ident, stamp)


def interrupt_key(frame: bytes) -> Optional[Key]:
    """Returns the key that an interrupt names; None: the frame is none."""
    if len(frame) < 8:
        return None
    ident, stamp = _KEY.unpack_from(frame)
    return (int.from_bytes(frame[8:16], "little") if len(frame) >= 16 else 0), ident, stamp
