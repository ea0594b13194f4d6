"""A worker as prime_server has them: beats of one frame that name no job, one
for each job done, about one a second while idle, and 'storm' more whenever it
looks, so that beats cross jobs. It answers with the request in capitals; the
request 'hold' is never answered."""
import sys
import time

import zmq

downstream, loopback, storm = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = zmq.Context()
jobs = context.socket(zmq.DEALER)
jobs.connect(downstream)
answers = context.socket(zmq.PUSH)
answers.connect(loopback)


def beat(times):
    for _ in range(times):
        jobs.send(b"")


beat(1)
print("ready")
while True:
    if not jobs.poll(1000):
        beat(1)
        continue
    beat(storm)
    info, request = jobs.recv_multipart()
    if request == b"hold":
        print("holds")
        time.sleep(3600)
    answers.send_multipart([info, request.upper()])
    beat(1)
