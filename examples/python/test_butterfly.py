"""Tests of what needs no pipeline: python3 -m unittest, in this folder.

Workers as processes in a pipeline are tested with the daemon, in internal/e2e.
"""

import os
import tempfile
import unittest
from pathlib import Path
from typing import Any, Dict
from unittest.mock import patch

import butterfly
import echo_worker
import primes_worker
from butterfly import Fail, Forward, Job, Reply, Request, forward, reply
from butterfly.command import _endpoints, _parser, quoted
from butterfly.links import where
from butterfly.sockets import Endpoints, new_instance
from butterfly.text import plain_target, render
from butterfly.wire import (
    HEAD,
    STREAM,
    STREAM_END,
    Info,
    Status,
    beat_frame,
    claim_frame,
    credit_prefix,
    interrupt_key,
    parse_credit,
    parse_roll_call,
    part_cost,
)

GOLDEN = Path(__file__).parents[2] / "internal" / "wire" / "testdata" / "golden"
KEY = (0x1122334455667788, 7, 0x6543210F)


def golden(name: str) -> bytes:
    return bytes.fromhex((GOLDEN / f"{name}.hex").read_text())


def ask(text: str) -> Job:
    return Job([text.encode("latin-1")])


class GoldenFrames(unittest.TestCase):
    def test_prime_info(self) -> None:
        info = Info.parse(golden("info-prime"))
        self.assertEqual(info.key, (0, 7, 0x6543210F))
        self.assertEqual(info.bits, 9)
        self.assertEqual(info.fields, {})
        closed = Info.parse(golden("info-prime")[:8] + b"\x11\0\0\0")
        self.assertEqual(closed.answered(200), golden("info-prime-200"))

    def test_extended_info(self) -> None:
        info = Info.parse(golden("info-extended"))
        self.assertEqual(info.key, KEY)
        self.assertEqual(info.deadline, 0)
        self.assertEqual(Job([b""], info).request_id, "1122334455667788-00000007-6543210f")

    def test_full_info(self) -> None:
        info = Info.parse(golden("info-full"))
        self.assertEqual((info.key, info.flags, info.attempt, info.priority), (KEY, 3, 2, 1))
        self.assertEqual((info.deadline, info.client, info.hops), (1700000000123456, 0xDEADBEEF, 70000))
        self.assertEqual((info.part, info.slot), (5, 4095))
        self.assertEqual(info.fields, {1: b"f" * 28, 2: b"r" * 40, 3: bytes(26), 4: bytes(64), 5: bytes(32)})
        job = Job([b""], info)
        self.assertEqual((job.request_id, job.attempt, job.hops), ("r" * 40, 2, 70000))
        self.assertEqual(job.deadline, 1700000000.123456)
        self.assertTrue(job.interrupted, "its deadline is long over")

    def test_parts_of_a_stream(self) -> None:
        info = Info.parse(golden("info-extended"))
        self.assertEqual(info.streamed(STREAM, 0, 200), golden("info-stream"))
        self.assertEqual(info.streamed(STREAM | STREAM_END, 3, 0), golden("info-stream-end"))
        self.assertEqual(info.streamed(STREAM | STREAM_END, 3, 500), golden("info-stream-cut"))
        self.assertEqual((part_cost(0), part_cost(1)), (0, 65))

    def test_credit(self) -> None:
        self.assertEqual(parse_credit(golden("credit")), (KEY, 3 << 15, False))
        self.assertEqual(parse_credit(golden("credit-stop") + b"more"), (KEY, 0, True))
        self.assertTrue(golden("credit").startswith(credit_prefix(0x99AABBCCDDEEFF00)))
        for bad in (b"", golden("credit")[:-1], b"x" + golden("credit")[1:], golden("credit").replace(b"\1", b"\2", 1)):
            self.assertIsNone(parse_credit(bad))

    def test_roll_call_and_claim(self) -> None:
        self.assertEqual(parse_roll_call(golden("roll-call") + b"more"), (KEY[0], 5, 0.5))
        self.assertEqual(parse_roll_call(golden("roll-call-none")), (KEY[0], 0, 0))
        for bad in (b"", golden("roll-call")[:-1], golden("credit"), golden("roll-call").replace(b"\1", b"\2", 1)):
            self.assertIsNone(parse_roll_call(bad))
        of_two = golden("claim")
        self.assertEqual(claim_frame(KEY, 5), of_two[:20] + b"\1" + of_two[21:32])

    def test_opening_of_a_stream(self) -> None:
        made = butterfly.stream(["a"], 201, {"X-Kept": "yes", "Content-Length": "7"})
        self.assertEqual(made.opening(), b"HTTP/1.1 201 \r\nX-Kept: yes\r\n\r\n")
        with self.assertRaises(ValueError):
            butterfly.stream([], headers={"a b": "c"})

    def test_only_the_status_of_an_info_changes(self) -> None:
        full = golden("info-full")
        answered = Info.parse(full).answered(503)
        self.assertEqual(Info.parse(answered).bits >> 5 & 0x3FF, 503)
        self.assertEqual(Info.parse(answered).answered(0), full)
        self.assertEqual((answered[:8], answered[10:]), (full[:8], full[10:]))

    def test_foreign_and_short_infos_are_handed_on(self) -> None:
        for tail in (b"", b"\x09", b"\x09\0\0\0foreign", b"\x09\0\0\0BFL"):
            frame = golden("info-prime")[:8] + tail
            info = Info.parse(frame)
            self.assertEqual(info.key, (0, 7, 0x6543210F))
            answered = info.answered(200)
            self.assertEqual((len(answered), answered[10:]), (len(frame), frame[10:]))

    def test_malformed_infos(self) -> None:
        extended = golden("info-extended")
        for frame in (
            b"",
            bytes(7),
            extended[:51],
            extended[:16] + b"\x02" + extended[17:],
            extended + bytes(2),
            extended + b"\x01",
            extended + b"\x01\x05abcd",
            golden("info-full") + b"\x09\x02ab",
        ):
            with self.assertRaises(ValueError, msg=frame.hex()):
                Info.parse(frame)

    def test_beat(self) -> None:
        frame = beat_frame(0x99AABBCCDDEEFF00, KEY, False)
        want = golden("beat")
        self.assertEqual(frame, want[:6] + b"\0\0" + want[8:], "but for the slot, which is 0")
        self.assertEqual(beat_frame(0x99AABBCCDDEEFF00, KEY, True)[:6], golden("beat-withdraw")[:6])

    def test_instance_has_no_zero_byte(self) -> None:
        for told, taken in (("0102030405060708", True), ("0100000000000001", False), ("x", False)):
            with patch.dict(os.environ, BUTTERFLY_INSTANCE=told):
                self.assertEqual(taken, "%016x" % new_instance() == told)
        self.assertTrue(all(0 not in new_instance().to_bytes(8, "little") for _ in range(2000)))

    def test_interrupt(self) -> None:
        self.assertEqual(interrupt_key(golden("interrupt")), KEY)
        self.assertEqual(interrupt_key(golden("interrupt") + b"more"), KEY)
        self.assertEqual(interrupt_key(golden("interrupt-prime")), (0, *KEY[1:]))
        self.assertIsNone(interrupt_key(bytes(7)))


class Requests(unittest.TestCase):
    def test_parts(self) -> None:
        line = b"POST /a%2Fb%20c?x=1%262&y=a+b%2b&x=3&flag HTTP/1.1\r\n"
        r = Request(line + b"Host: h\r\nX-Y: \t1 \r\nx-y: 2\r\n\r\nbody\r\n\r\n")
        self.assertEqual((r.method, r.path, r.version, r.body), ("POST", "/a/b c", "HTTP/1.1", b"body\r\n\r\n"))
        self.assertEqual(r.query, {"x": ["1&2", "3"], "y": ["a b+"], "flag": [""]})
        self.assertEqual(r.headers, [("Host", "h"), ("X-Y", "1"), ("x-y", "2")])
        self.assertEqual((r.header("x-Y"), r.header("none"), r.header("none", "?")), ("1", "", "?"))

    def test_lenient(self) -> None:
        r = Request(b"GET / HTTP/1.0\nEmpty:\nno colon\n\nrest")
        self.assertEqual((r.headers, r.body), ([("Empty", "")], b"rest"))
        self.assertEqual(Request(b"GET * HTTP/1.1\r\n\r\n").path, "*")
        self.assertEqual(Request(b"GET http://h/p?q=http://x/ HTTP/1.1\r\n\r\n").path, "/p")
        self.assertEqual(Request(b"GET ?a HTTP/1.1\r\n\r\n").path, "/")
        self.assertEqual(Request("GET /ä?ö=%C3%BC HTTP/1.1\r\n\r\n".encode()).query, {"ö": ["ü"]})
        self.assertEqual(Request("GET /ä HTTP/1.1\r\n\r\n".encode()).path, "/ä")

    def test_no_requests(self) -> None:
        for text in ("", "GET /\n\n", "GET / HTTP/2.0\n\n", "G(T / HTTP/1.1\n\n", "GET / HTTP/1.1\nA: b\n"):
            with self.assertRaises(Fail, msg=text) as raised:
                Request(text.encode())
            self.assertEqual(raised.exception.status, 400)

    def test_target_of_a_prime_server_front(self) -> None:
        for target, plain in {
            "%2Ffoo%3F%2Ffoo%3D": "/foo",
            "%2Ffoo%3F%2Ffoo": "/foo",
            "%2ffoo%3Fa%3D1": "/foo?a=1",
            "%2Fa%20b%3Fc%3D100%25%2Bd": "/a%20b?c=100%25%2Bd",
            "%2F": "/",
            "%2F%0D%0AX%3A": "/%0D%0AX:",
            "%2Ffoo%3Fa%3D%%%": "/foo?a=%25%25%25",
            "%2F%C3%A4": "/\xc3\xa4",
            "/foo?/foo=": "/foo?/foo=",
            "*": "*",
        }.items():
            self.assertEqual(plain_target(target), plain)
        self.assertEqual(Request(b"GET %2F%C3%A4%3Fa%3Db%252 HTTP/1.1\r\n\r\n").path, "/ä")


class Bodies(unittest.TestCase):
    NAME = "1122334455667788-" + "a" * 32

    def setUp(self) -> None:
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.dir = held.name
        (Path(self.dir) / self.NAME).write_bytes(b"hello")

    def job(self, name: str, size: int = 5, body: str = "", info: str = "info-extended") -> Job:
        text = f"POST / HTTP/1.1\r\nContent-Length: {size}\r\nX-Butterfly-Body: {name}\r\n\r\n{body}"
        return Job([text.encode()], Info.parse(golden(info)), "read", [self.dir])

    def test_a_body_is_a_file_wherever_it_is(self) -> None:
        small = ask("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")
        self.assertIsNone(small.request.spooled)
        self.assertEqual(small.request.open().read(), b"hello")
        job = self.job(self.NAME)
        self.assertEqual(job.request.spooled, 5)
        self.assertEqual(job.request.headers, [("Content-Length", "5")])
        with self.assertRaises(butterfly.Spooled):
            job.request.body
        with job.body:
            file = job.request.open()
            self.assertEqual(file.read(2), b"he")
            self.assertEqual(job.request.open().read(), b"hello")
        self.assertTrue(file.closed)

    def test_nothing_else_is_opened(self) -> None:
        with self.assertRaises(butterfly.Gone):
            self.job(self.NAME.replace("a", "b")).request.open()
        (Path(self.dir) / self.NAME.replace("a", "c")).symlink_to(Path(self.dir) / self.NAME)
        with self.assertRaises(OSError):
            self.job(self.NAME.replace("a", "c")).request.open()
        for bad in (
            self.job(self.NAME, 6),
            self.job("../" + self.NAME),
            self.job("/etc/passwd"),
            self.job(self.NAME + "/"),
            self.job(self.NAME.replace("1122", "2211")),
            self.job(self.NAME, info="info-prime"),
        ):
            with self.assertRaises(ValueError):
                bad.request.open()
        self.assertEqual(self.job(self.NAME, 5, "other").request.open().read(), b"other")


class Answers(unittest.TestCase):
    def text(self, answer: Reply, info: str = "info-extended", head: bool = False) -> bytes:
        return render(answer, Info.parse(golden(info)), head)

    def test_for_our_front(self) -> None:
        self.assertEqual(self.text(reply(200, b"x")), b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        self.assertEqual(self.text(reply(799)), b"HTTP/1.1 799 \r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.text(reply(204, b"x")), b"HTTP/1.1 204 No Content\r\n\r\n")
        self.assertEqual(self.text(reply(200, b"xy"), head=True), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")

    def test_for_a_prime_server_front(self) -> None:
        for bits, start, connection in (
            (9, b"HTTP/1.1 ", b"Connection: Keep-Alive\r\n"),
            (0x11, b"HTTP/1.1 ", b"Connection: Close\r\n"),
            (0x19, b"HTTP/1.1 ", b"Connection: Keep-Alive\r\n"),
            (0, b"HTTP/1.0 ", b""),
        ):
            info = Info.parse(golden("info-prime")[:8] + bytes([bits, 0, 0, 0]))
            text = render(reply(200, b"x"), info, False)
            self.assertEqual(text, start + b"200 OK\r\n" + connection + b"Content-Length: 1\r\n\r\nx")

    def test_fields(self) -> None:
        fields = [("Content-Length", "9"), ("connection", "close"), ("Set-Cookie", "a"), ("Set-Cookie", "\xe4")]
        self.assertEqual(reply(200, b"", fields).headers, (("Set-Cookie", "a"), ("Set-Cookie", "\xe4")))
        self.assertEqual(reply(body="ä").body, b"\xc3\xa4")
        self.assertEqual(reply(body="ä").headers, (("Content-Type", "text/plain; charset=utf-8"),))
        self.assertEqual(reply(body="{}", headers={"content-type": "x/y"}).headers, (("content-type", "x/y"),))
        self.assertEqual(reply(body=memoryview(b"abc")[1:]).body, b"bc")

    def test_what_cannot_travel(self) -> None:
        bad: Dict[str, Any] = {"A b": "c", "A": "b\r\nc", "B": "\x00", "C": "\u20ac", "": "x"}
        for name, value in bad.items():
            with self.assertRaises(ValueError, msg=name):
                reply(200, b"", {name: value})
        for status in (100, 199, 1000, -1):
            with self.assertRaises(ValueError):
                reply(status)
        with self.assertRaises(ValueError):
            Fail(200, "well")
        with self.assertRaises(ValueError):
            forward("x")
        with self.assertRaises(ValueError):
            forward("x", *[b""] * 1024)
        with self.assertRaises(ValueError):
            Reply(200, (("A", "\u20ac"),), b"")
        with self.assertRaises(TypeError):
            Reply(200, (), "text")  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            Forward(None, ("text",))  # type: ignore[arg-type]
        for wrong in (5, None, [1]):
            with self.assertRaises(TypeError, msg=repr(wrong)):
                reply(200, wrong)  # type: ignore[arg-type]
            with self.assertRaises(TypeError, msg=repr(wrong)):
                forward("x", wrong)  # type: ignore[arg-type]


class Jobs(unittest.TestCase):
    def test_interrupted(self) -> None:
        job = ask("GET / HTTP/1.1\r\n\r\n")
        job.check()
        job.left = lambda: True
        with self.assertRaises(butterfly.Interrupted):
            job.check()

    def test_deadline_allows_for_clocks_that_differ(self) -> None:
        job = Job([b""], Info.parse(golden("info-full")))
        for late, expired in ((-1.0, False), (0.4, False), (0.6, True)):
            with patch("time.time", return_value=1700000000.123456 + late):
                self.assertEqual(job.expired, expired)

    def test_beat(self) -> None:
        job = ask("")
        job.beat = memoryview(b"warm")
        self.assertEqual(job.beat, b"warm")
        with self.assertRaises(TypeError):
            job.beat = "text"  # type: ignore[assignment]

    def test_head(self) -> None:
        job = ask("HEAD / HTTP/1.1\r\n\r\n")
        self.assertFalse(job.wants_head(), "the frame of a later stage may begin like this")
        self.assertEqual(job.request.method, "HEAD")
        self.assertTrue(job.wants_head())
        frame = bytearray(golden("info-extended"))
        frame[17] = HEAD
        self.assertTrue(Job([b""], Info.parse(bytes(frame))).wants_head())

    def test_examples(self) -> None:
        self.assertEqual(echo_worker.echo(ask("POST / HTTP/1.1\r\nContent-Type: a/b\r\n\r\nhi")).body, b"hi")
        parsed = primes_worker.parse(ask("GET /is_prime?possible_prime=7 HTTP/1.1\r\n\r\n"))
        self.assertEqual(parsed, Forward("compute", (b"\7" + bytes(7),)))
        for number, answer in ((7, b"7"), (8, b"18446744073709551615"), (1, b"1")):
            self.assertEqual(primes_worker.compute(Job([number.to_bytes(8, "little")])).body, answer)
        for text in ("18446744073709551616", "1 ", "-1", "1_0", "\xb2", ""):
            with self.assertRaises(Fail, msg=text):
                primes_worker.parse(ask("POST / HTTP/1.1\r\n\r\n" + text))


class SeveralProxies(unittest.TestCase):
    def test_status(self) -> None:
        self.assertEqual(Status.parse(golden("status")), Status(False, 8, 5, 1))
        self.assertEqual(Status.parse(golden("status-draining")), Status(True, 8, 5, 1))
        for frame in (b"", golden("status")[:23], golden("beat"), b"BFLS\x02" + golden("status")[5:]):
            self.assertIsNone(Status.parse(frame))
        self.assertEqual(beat_frame(0x99AABBCCDDEEFF00, (0, 0, 0), 5), golden("beat-tell"))

    def test_where_processes_go(self) -> None:
        def at(slots: int, idle: int, queued: int, draining: bool = False) -> Status:
            return Status(draining, slots, idle, queued)

        for what, home, other, calm, share in (
            ("nothing to do", at(4, 4, 0), at(4, 4, 0), True, None),
            ("nothing is known of the other", at(4, 4, 0), None, True, None),
            ("jobs wait there, slots are idle here", at(4, 3, 0), at(4, 0, 2), False, 1 / 4),
            ("the only one goes", at(1, 1, 0), at(0, 0, 5), False, 1.0),
            ("jobs and no slot at all", at(4, 0, 9), at(0, 0, 1), False, 1 / 4),
            ("jobs wait here, too", at(4, 0, 9), at(4, 0, 9), False, None),
            ("one that has just come under load", at(8, 0, 99), at(0, 0, 0), False, 2 / 8),
            ("evenly, in calm", at(8, 8, 0), at(2, 2, 0), True, 3 / 8),
            ("and only then", at(8, 8, 0), at(2, 2, 0), False, None),
            ("one that drains is left", at(4, 4, 0, True), at(4, 4, 0), False, 1.0),
            ("but not with jobs", at(4, 0, 1, True), at(4, 0, 0), False, None),
            ("and gets help", at(4, 4, 0), at(0, 0, 2, True), False, 1 / 4),
        ):
            with self.subTest(what):
                self.assertEqual(where([home, other], 0, calm), None if share is None else (1, share))


class CommandLine(unittest.TestCase):
    def endpoints(self, *args: str) -> Endpoints:
        return _endpoints(_parser().parse_args(args), "w")

    def test_names(self) -> None:
        at = self.endpoints(
            "--upstream-proxy", "ipc://u", "--interrupt", "ipc://i", "--interrupt", "ipc://j",
            "--loopback", "a=ipc://x=1", "--loopback", "ipc://y=2", "--downstream-proxy", "ipc://n",
        )  # fmt: skip
        self.assertEqual((at.stage, at.upstream, at.interrupts), ("w", ["ipc://u"], ["ipc://i", "ipc://j"]))
        self.assertEqual((at.fronts, at.next), ({"a": "ipc://x=1", "": "ipc://y=2"}, {"": ["ipc://n"]}))

    def test_several_proxies(self) -> None:
        at = self.endpoints(
            "--upstream-proxy", "ipc://u,ipc://v", "--upstream-proxy", "ipc://w", "--interrupt", "ipc://i",
            "--loopback", "ipc://l", "--downstream-proxy", "a=ipc://x,ipc://y", "--downstream-proxy", "a=ipc://z",
        )  # fmt: skip
        self.assertEqual(at.upstream, ["ipc://u", "ipc://v", "ipc://w"])
        self.assertEqual(at.next, {"a": ["ipc://x", "ipc://y", "ipc://z"]})
        told = {
            "BUTTERFLY_UPSTREAM_PROXY": "ipc://u,ipc://v",
            "BUTTERFLY_DOWNSTREAM_PROXY": "a=ipc://x,a=ipc://y,b=ipc://z",
            "BUTTERFLY_LOOPBACK": "ipc://l", "BUTTERFLY_INTERRUPT": "ipc://i",
        }  # fmt: skip
        with patch.dict(os.environ, told):
            at = self.endpoints()
        self.assertEqual(at.upstream, ["ipc://u", "ipc://v"])
        self.assertEqual(at.next, {"a": ["ipc://x", "ipc://y"], "b": ["ipc://z"]})

    def test_problems(self) -> None:
        ends = ["--upstream-proxy", "ipc://u", "--loopback", "ipc://l", "--interrupt", "ipc://i"]
        for args in (ends[2:], ends[:2] + ends[4:], ends[:4], [*ends, "--loopback", "ipc://m"]):
            with self.assertRaises(ValueError, msg=args):
                self.endpoints(*args)

    def test_values_of_log_lines(self) -> None:
        for text, value in {"a/b:c": "a/b:c", "a b": '"a b"', "": '""', 'a"': '"a\\""', "a\nb": '"a\\nb"'}.items():
            self.assertEqual(quoted(text), value)


if __name__ == "__main__":
    unittest.main()
