"""A front as prime_server has it: info frames of twelve bytes out, answers in.
It sends 'count' jobs at once and checks that each is answered once."""
import struct
import sys

import zmq

upstream, loopback, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = zmq.Context()
answers = context.socket(zmq.PULL)
answers.bind(loopback)
jobs = context.socket(zmq.DEALER)
jobs.connect(upstream)
print("ready", answers.getsockopt_string(zmq.LAST_ENDPOINT))
input()
for i in range(count):
    jobs.send_multipart([struct.pack("<IIHH", i, 1000, 9, 0), b"job %d" % i])
missing = set(range(count))
while missing:
    if not answers.poll(20000):
        sys.exit("unanswered: %d" % len(missing))
    info, answer = answers.recv_multipart()
    number, stamp, bits, padding = struct.unpack("<IIHH", info[:12])
    assert (stamp, bits, padding) == (1000, 9, 0), info
    assert answer == b"JOB %d" % number, answer
    missing.remove(number)
print("answered")
print("heard", jobs.poll(1500))  # nothing is ever sent to it
