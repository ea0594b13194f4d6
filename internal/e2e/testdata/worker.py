"""A worker program as small as can be, started by butterfly.

It answers the body in capitals with its slot before it, forwards what begins
with "forward" to the first next stage, and dies with a job in hand that says
"die". It tells its environment, and whatever else happens to it, on stdout."""

import os
import signal
import struct
import sys
import time

import zmq

env = {k: v for k, v in os.environ.items() if k.startswith(("BUTTERFLY_", "GREETING"))}
for name, value in sorted(env.items()):
    print("env %s=%s" % (name, value))


def listed(name):
    return [part.rpartition("=")[2] for part in env[name].split(",") if part]


context = zmq.Context()
jobs = context.socket(zmq.DEALER)
jobs.connect(env["BUTTERFLY_UPSTREAM_PROXY"])
nexts = []
for endpoint in listed("BUTTERFLY_DOWNSTREAM_PROXY"):
    nexts.append(context.socket(zmq.DEALER))
    nexts[-1].connect(endpoint)
answers = context.socket(zmq.PUSH)
for endpoint in listed("BUTTERFLY_LOOPBACK"):
    answers.connect(endpoint)  # of one front: this script does not tell them apart
left = context.socket(zmq.SUB)
left.setsockopt(zmq.SUBSCRIBE, b"")
for endpoint in listed("BUTTERFLY_INTERRUPT"):
    left.connect(endpoint)


def leave(*_):
    print("leaving")
    context.destroy(linger=1000)
    sys.exit(0)


signal.signal(signal.SIGTERM, leave)


def work(info, request):
    body = request.partition(b"\r\n\r\n")[2]
    if body == b"die":
        os._exit(3)
    if body == b"dawdle":
        time.sleep(0.5)
    if body.startswith(b"forward"):
        nexts[0].send_multipart([info, request])
        return
    text = env["BUTTERFLY_SLOT"].encode() + b":" + body.upper()
    info = bytearray(info)
    (bits,) = struct.unpack_from("<H", info, 8)
    struct.pack_into("<H", info, 8, bits & ~(0x3FF << 5) | 200 << 5)
    answers.send_multipart([info, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)])


jobs.send(b"")  # idle
while True:
    if jobs.poll(1000):
        work(*jobs.recv_multipart())
    jobs.send(b"")
