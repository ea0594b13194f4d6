"""A proxy as prime_server 0.12's prime_proxyd behaves.

proxy.py UPSTREAM DOWNSTREAM

It prints "ready" once it serves. Jobs wait in the upstream socket while no
worker is idle. Every beat counts for idle, also one that crossed a job.
"""

import sys
from collections import OrderedDict

import zmq

from peer import say, socket, trace


def main():
    upstream = socket("upstream", zmq.ROUTER)
    upstream.bind(sys.argv[1])
    downstream = socket("downstream", zmq.ROUTER)
    downstream.bind(sys.argv[2])
    say("ready")
    both, one = zmq.Poller(), zmq.Poller()
    for poller in (both, one):
        poller.register(downstream, zmq.POLLIN)
    both.register(upstream, zmq.POLLIN)
    idle = OrderedDict()
    while True:
        events = dict((both if idle else one).poll())
        if downstream in events:
            worker, beat = downstream.recv_multipart()[:2]
            idle[worker] = beat
        if upstream in events:
            frames = upstream.recv_multipart()[1:]
            worker, _ = idle.popitem(last=False)
            downstream.send_multipart([worker] + frames)
            if trace:
                say("job for", worker.hex())


main()
