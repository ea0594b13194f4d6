"""A libzmq peer for the transport's tests.

peer.py TYPE bind|connect ENDPOINT WHAT [option=value ...]

WHAT  echo        send back every message as it came
      send N      send N messages: a four-byte number, a text
      count N     receive N messages numbered so, check their order
      publish     publish 'a' and 'b' again and again
      print       print every message

Options are socket options by name (heartbeat_ivl=50) and subscribe=PREFIX.
It prints 'ready ENDPOINT' once the socket is bound or connecting.
"""
import struct
import sys
import time

import zmq

kind, how, endpoint, what = sys.argv[1:5]
rest = sys.argv[5:]
sock = zmq.Context().socket(getattr(zmq, kind))
sock.setsockopt(zmq.LINGER, 0)
for option in (o for o in rest if "=" in o):
    name, value = option.split("=", 1)
    if name == "subscribe":
        sock.setsockopt(zmq.SUBSCRIBE, value.encode())
    else:
        sock.setsockopt(getattr(zmq, name.upper()), int(value))
getattr(sock, how)(endpoint)
if how == "bind":
    endpoint = sock.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
print("ready", endpoint)

if what == "echo":
    while True:
        sock.send_multipart(sock.recv_multipart())
elif what == "send":
    for i in range(int(rest[0])):
        sock.send_multipart([struct.pack("<I", i), b"x" * (i % 300)])
    print("done")
    sys.stdin.read()
elif what == "count":
    for i in range(int(rest[0])):
        number, text = sock.recv_multipart()
        if struct.unpack("<I", number)[0] != i or text != b"x" * (i % 300):
            sys.exit("message %d is wrong: %r" % (i, number))
    print("done")
    sys.stdin.read()
elif what == "publish":
    while True:
        sock.send_multipart([b"a", b"not asked for"])
        sock.send_multipart([b"b", b"asked for"])
        time.sleep(0.005)
elif what == "print":
    while True:
        print(" ".join(f.decode() for f in sock.recv_multipart()))
