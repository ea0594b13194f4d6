"""A front as prime_server 0.12's prime_httpd behaves on its ZeroMQ side.

front.py HTTP_PORT PROXY LOOPBACK INTERRUPT

It prints "ready PORT" once it serves. HTTP is read well enough for tests: the
request whole in what arrives at once, no chunks.
"""

import struct
import sys
import time
import urllib.parse

import zmq


def escape_target(target):
    """The C++ front splits the decoded target, adds a phantom query where there
    is none, joins it again and escapes it as a whole."""
    decoded = urllib.parse.unquote(target)
    path, mark, query = decoded.partition("?")
    if not mark:
        query = path + "="
    return urllib.parse.quote(path + "?" + query, safe="")


def rewrite(text):
    head, _, body = text.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, version = lines[0].split(" ")
    connection = ""
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name == "Connection":
            connection = value.strip()
    lines[0] = " ".join((method, escape_target(target), version))
    request = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    bits = 0 if version == "HTTP/1.0" else 1
    bits |= 8 if connection == "Keep-Alive" else 0
    bits |= 16 if connection == "Close" else 0
    return request, bits


def main():
    port, proxy_at, loopback_at, interrupt_at = sys.argv[1:5]
    context = zmq.Context()
    client = context.socket(zmq.STREAM)
    client.bind("tcp://127.0.0.1:" + port)
    proxy = context.socket(zmq.DEALER)
    proxy.connect(proxy_at)
    loopback = context.socket(zmq.PULL)
    loopback.bind(loopback_at)
    interrupt = context.socket(zmq.PUB)
    interrupt.bind(interrupt_at)
    for socket in (proxy, loopback, interrupt):
        socket.set_hwm(0)
    bound = client.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
    print("ready", bound.rpartition(":")[2], flush=True)

    poller = zmq.Poller()
    poller.register(loopback, zmq.POLLIN)
    poller.register(client, zmq.POLLIN)
    requests, sessions, number = {}, {}, 0
    while True:
        events = dict(poller.poll())
        if loopback in events:
            frames = loopback.recv_multipart()
            key = frames[0][:8]
            requester = requests.pop(key, None)
            if requester is not None:
                bits = struct.unpack_from("<H", frames[0], 8)[0]
                client.send_multipart([requester, frames[-1]])
                if not (bits & 8 or (bits & 7) == 1 and not bits & 16):
                    client.send_multipart([requester, b""])
                sessions.get(requester, set()).discard(key)
        if client in events:
            requester, data = client.recv_multipart()
            if not data:
                if requester in sessions:
                    for key in sessions.pop(requester):
                        requests.pop(key, None)
                        interrupt.send(key)
                else:
                    sessions[requester] = set()
                continue
            text, bits = rewrite(data)
            key = struct.pack("<II", number, int(time.time()))
            number += 1
            requests[key] = requester
            sessions[requester].add(key)
            proxy.send_multipart([key + struct.pack("<HH", bits, 0), text])


main()
