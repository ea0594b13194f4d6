"""A worker as prime_server has them, which sends every job on to the stage
'upstream' and hands the info frame on whole."""
import sys

import zmq

downstream, upstream = sys.argv[1:3]
context = zmq.Context()
jobs = context.socket(zmq.DEALER)
jobs.connect(downstream)
onward = context.socket(zmq.DEALER)
onward.connect(upstream)
jobs.send(b"")
print("ready")
while True:
    onward.send_multipart(jobs.recv_multipart())
    jobs.send(b"")
