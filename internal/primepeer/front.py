"""A front as prime_server 0.12's prime_httpd behaves on its ZeroMQ side.

front.py HTTP_PORT PROXY LOOPBACK INTERRUPT

It prints "ready PORT" once it serves. It reads HTTP as far as tests need:
bodies with a Content-Length, no chunks, one request after the other.
"""

import struct
import sys
import time
import urllib.parse

import zmq

from peer import say, socket

METHODS = ("OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT")
REASONS = {400: "Bad Request", 501: "Not Implemented", 505: "HTTP Version Not Supported"}


class Refused(Exception):
    """A request that is answered by the front itself."""


def escape_target(target):
    """The C++ front splits the decoded target, adds a phantom query where there
    is none, joins it again and escapes it as a whole."""
    decoded = urllib.parse.unquote(target)
    path, mark, query = decoded.partition("?")
    if not mark:
        query = path + "="
    return urllib.parse.quote(path + "?" + query, safe="")


def parse_head(head):
    """Returns the head as it goes to workers, the info frame's bits, and the
    length of the body that follows."""
    lines = head.decode("latin-1").split("\r\n")
    method, target, version = (lines[0].split(" ") + ["", ""])[:3]
    if method not in METHODS:
        raise Refused(501)
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise Refused(505)
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not value.strip(" "):
            raise Refused(400)
        headers[name] = value.lstrip(" ")
    lines[0] = " ".join((method, escape_target(target), version))
    connection = headers.get("Connection")  # as it is written: "close" is not "Close"
    bits = 0 if version == "HTTP/1.0" else 1
    bits |= 8 if connection == "Keep-Alive" else 0
    bits |= 16 if connection == "Close" else 0
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n", bits, int(headers.get("Content-Length", "0"))


class Session:
    """A client's connection: what it sent, and the keys of all its requests.
    Those answered stay among them, as in the original."""

    def __init__(self):
        self.buffer = bytearray()
        self.wants = 0
        self.keys = []

    def requests(self, data):
        """Takes bytes and yields the requests that are whole."""
        self.buffer += data
        while self.buffer and len(self.buffer) >= self.wants:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head, bits, length = parse_head(bytes(self.buffer[:end]))
            self.wants = end + 4 + length
            if len(self.buffer) < self.wants:
                return
            yield head + self.buffer[end + 4:self.wants], bits
            del self.buffer[:self.wants]
            self.wants = 0


class Front:
    def __init__(self, port, proxy, loopback, interrupt):
        self.client = socket("client", zmq.STREAM)
        self.client.bind("tcp://127.0.0.1:" + port)
        self.proxy = socket("proxy", zmq.DEALER)
        self.proxy.connect(proxy)
        self.loopback = socket("loopback", zmq.PULL)
        self.loopback.bind(loopback)
        self.interrupt = socket("interrupt", zmq.PUB)
        self.interrupt.bind(interrupt)
        self.waiting = {}  # the client of each open request, by key
        self.sessions = {}
        self.number = 0

    def port(self):
        return self.client.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode().rpartition(":")[2]

    def serve(self):
        poller = zmq.Poller()
        poller.register(self.loopback, zmq.POLLIN)
        poller.register(self.client, zmq.POLLIN)
        while True:
            events = dict(poller.poll())
            if self.loopback in events:
                self.answer(self.loopback.recv_multipart())
            if self.client in events:
                self.hear(*self.client.recv_multipart())

    def answer(self, frames):
        client = self.waiting.pop(frames[0][:8], None)
        if client is None:
            return
        bits = struct.unpack_from("<H", frames[0], 8)[0]
        self.tell(client, frames[-1])
        if not (bits & 8 or (bits & 7) == 1 and not bits & 16):
            self.tell(client, b"")
            self.end(client)

    def tell(self, client, data):
        """Sends bytes to a client; none at all close its connection. One that
        leaves this moment would block the socket for all."""
        try:
            self.client.send(client, zmq.SNDMORE | zmq.DONTWAIT)
            self.client.send(data, zmq.DONTWAIT)
        except zmq.ZMQError:
            pass

    def hear(self, client, data):
        """Takes bytes of a client; none at all stand for its coming or going."""
        session = self.sessions.get(client)
        if not data and session is None:
            self.sessions[client] = Session()
        elif not data:
            self.end(client)
        elif session is not None:
            self.take(client, session, data)

    def take(self, client, session, data):
        try:
            for text, bits in session.requests(data):
                key = struct.pack("<II", self.number, int(time.time()))
                self.number += 1
                self.waiting[key] = client
                session.keys.append(key)
                self.proxy.send_multipart([key + struct.pack("<HH", bits, 0), text])
        except Refused as refused:
            self.refuse(client, refused.args[0])

    def refuse(self, client, code):
        body = b"refused"
        head = "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n" % (code, REASONS[code], len(body))
        self.tell(client, head.encode() + body)
        self.tell(client, b"")
        self.end(client)

    def end(self, client):
        """Forgets a connection and interrupts all that it ever asked."""
        for key in self.sessions.pop(client).keys:
            self.waiting.pop(key, None)
            self.interrupt.send(key)


def main():
    front = Front(*sys.argv[1:5])
    say("ready", front.port())
    front.serve()


main()
