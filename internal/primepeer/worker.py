"""A worker as prime_server 0.12's behave: parse, compute, or echo.

worker.py KIND UPSTREAM_PROXY DOWNSTREAM_PROXY LOOPBACK INTERRUPT

DOWNSTREAM_PROXY is "-" where there is none. It prints "ready" once it has said
that it is idle. Besides beating after every job it beats once a second while
idle, and after every interrupt that it hears, like the C++ one.
"""

import struct
import sys
import urllib.parse

import zmq

COMPOSITE = 2**64 - 1


def respond(info, code, body, head=False):
    """Renders a response as http_response_t::from_info and to_string do."""
    bits = struct.unpack_from("<H", info, 8)[0]
    text = "HTTP/1.%d %d %s\r\n" % (bits & 7 and 1, code, {200: "OK", 400: "Bad Request"}[code])
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
    if version not in ("HTTP/1.0", "HTTP/1.1") or method not in (
            "OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT"):
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
    number = None
    if method == "GET":
        path, _, query = target.partition("?")
        values = urllib.parse.parse_qs(query).get("possible_prime", [])
        number = int(values[0]) if path == "/is_prime" and len(values) == 1 else None
    elif method == "POST" and body:
        number = int(body)
    if number is None:
        return False, respond(info, 400, b"bad request")
    return True, (info, struct.pack("<Q", number))


def compute_job(info, frames):
    number = struct.unpack("<Q", frames[0])[0]
    answer = number if is_prime(number) else COMPOSITE
    return False, respond(info, 200, b"%d" % answer)


def echo_job(info, frames):
    return False, respond(info, 200, parse(frames[0])[2])


def main():
    kind, upstream_at, downstream_at, loopback_at, interrupt_at = sys.argv[1:6]
    work = {"parse": parse_job, "compute": compute_job, "echo": echo_job}[kind]
    context = zmq.Context()
    upstream = context.socket(zmq.DEALER)
    upstream.connect(upstream_at)
    downstream = context.socket(zmq.DEALER)
    if downstream_at != "-":
        downstream.connect(downstream_at)
    loopback = context.socket(zmq.PUSH)
    loopback.connect(loopback_at)
    interrupt = context.socket(zmq.SUB)
    interrupt.subscribe(b"")
    interrupt.connect(interrupt_at)
    for socket in (upstream, downstream, loopback, interrupt):
        socket.set_hwm(0)
    heard = set()
    upstream.send(b"")
    print("ready", flush=True)
    poller = zmq.Poller()
    poller.register(upstream, zmq.POLLIN)
    poller.register(interrupt, zmq.POLLIN)
    while True:
        events = dict(poller.poll(1000))
        if upstream in events:
            frames = upstream.recv_multipart()
            info, frames = frames[0], frames[1:]
            while interrupt.poll(0):
                heard.add(interrupt.recv()[:8])
            if info[:8] not in heard:
                forward, message = work(info, frames)
                (downstream if forward else loopback).send_multipart(message)
        if interrupt in events:
            while interrupt.poll(0):
                heard.add(interrupt.recv()[:8])
                print("interrupted", flush=True)
        upstream.send(b"")


main()
