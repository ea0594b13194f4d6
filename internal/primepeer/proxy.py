"""A proxy as prime_server 0.12's prime_proxyd behaves.

proxy.py UPSTREAM DOWNSTREAM

It prints "ready" once it serves.
"""

import sys
from collections import OrderedDict

import zmq


def main():
    context = zmq.Context()
    upstream = context.socket(zmq.ROUTER)
    downstream = context.socket(zmq.ROUTER)
    for socket, endpoint in ((upstream, sys.argv[1]), (downstream, sys.argv[2])):
        socket.set_hwm(0)
        socket.bind(endpoint)
    print("ready", flush=True)
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


main()
