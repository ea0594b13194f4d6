"""A worker as prime_server 0.12's behave: parse, compute, or echo.

worker.py KIND UPSTREAM_PROXY DOWNSTREAM_PROXY LOOPBACK INTERRUPT

DOWNSTREAM_PROXY is "-" where there is none. It prints "ready" once it has said
that it is idle, and "interrupted" for every interrupt that it hears. Besides
beating after every job it beats once a second while idle, and after every
interrupt, like the C++ one. What kills the C++ worker kills this one, too.
"""

import struct
import sys
import urllib.parse

import zmq

from peer import say, socket

COMPOSITE = 2**64 - 1
METHODS = ("OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT")
REASONS = {200: "OK", 400: "Bad Request"}
BAD_GET = b"GET requests should look like: 'is_prime?possible_prime=SOME_NUMBER'"
BAD_POST = b"POST requests should have a path of 'is_prime' and a body with 'SOME_NUMBER'"
BAD_METHOD = b"Only GET and POST requests supported"


def respond(info, code, body):
    """Renders a response as http_response_t::from_info and to_string do, and
    the info frame with the code filled in."""
    bits = struct.unpack_from("<H", info, 8)[0]
    text = "HTTP/1.%d %d %s\r\n" % (bits & 7 and 1, code, REASONS[code])
    if bits & 8:
        text += "Connection: Keep-Alive\r\n"
    if bits & 16:
        text += "Connection: Close\r\n"
    text += "Content-Length: %d\r\n\r\n" % len(body)
    bits = bits & ~(0x3FF << 5) | code << 5
    return info[:8] + struct.pack("<H", bits) + info[10:], text.encode("latin-1") + body


def parse(text):
    head, _, body = text.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, version = lines[0].split(" ")
    if version not in ("HTTP/1.0", "HTTP/1.1") or method not in METHODS:
        raise SystemExit("the C++ parser would abort on " + lines[0])
    for line in lines[1:]:
        if not line.partition(":")[2].strip(" "):
            raise SystemExit("the C++ parser would abort on the header " + line)
    return method, urllib.parse.unquote(target), body


def is_prime(number):
    divisor, high = 2, number
    while divisor < high:
        if number % divisor == 0:
            return False
        high = number // divisor
        divisor += 1
    return True


def parse_job(info, frames):
    method, target, body = parse(frames[0])
    text, problem = None, BAD_METHOD
    if method == "GET":
        problem = BAD_GET
        path, _, query = target.partition("?")
        values = urllib.parse.parse_qs(query).get("possible_prime", [])
        text = values[0] if path == "/is_prime" and len(values) == 1 else None
    elif method == "POST":
        text, problem = body.decode("latin-1"), BAD_POST
    if not text or not text.isdecimal():
        return False, respond(info, 400, problem)
    return True, (info, struct.pack("<Q", int(text)))


def compute_job(info, frames):
    number = struct.unpack("<Q", frames[0])[0]
    answer = number if is_prime(number) else COMPOSITE
    return False, respond(info, 200, b"%d" % answer)


def echo_job(info, frames):
    return False, respond(info, 200, parse(frames[0])[2])


class Worker:
    def __init__(self, work, upstream, downstream, loopback, interrupt):
        self.work = work
        self.upstream = socket("upstream", zmq.DEALER)
        self.upstream.connect(upstream)
        self.downstream = socket("downstream", zmq.DEALER)
        if downstream != "-":
            self.downstream.connect(downstream)
        self.loopback = socket("loopback", zmq.PUSH)
        self.loopback.connect(loopback)
        self.interrupt = socket("interrupt", zmq.SUB)
        self.interrupt.subscribe(b"")
        self.interrupt.connect(interrupt)
        self.heard = set()

    def serve(self):
        poller = zmq.Poller()
        poller.register(self.upstream, zmq.POLLIN)
        poller.register(self.interrupt, zmq.POLLIN)
        while True:
            events = dict(poller.poll(1000))
            if self.upstream in events:
                self.do(self.upstream.recv_multipart())
            if self.interrupt in events:
                self.hear()
            self.beat()

    def beat(self):
        self.upstream.send(b"")

    def hear(self):
        """Reads one interrupt if there is any."""
        if self.interrupt.poll(0):
            self.heard.add(self.interrupt.recv()[:8])
            say("interrupted")

    def do(self, frames):
        info, frames = frames[0], frames[1:]
        self.hear()
        if info[:8] in self.heard:
            return  # without an answer, as the original
        forward, message = self.work(info, frames)
        (self.downstream if forward else self.loopback).send_multipart(message)


def main():
    kind = {"parse": parse_job, "compute": compute_job, "echo": echo_job}[sys.argv[1]]
    worker = Worker(kind, *sys.argv[2:6])
    worker.beat()
    say("ready")
    worker.serve()


main()
