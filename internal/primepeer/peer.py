"""What the three imitators share: sockets as prime_server makes them.

The environment may ask for more than prime_server does:

PRIMEPEER_HEARTBEAT=MS   ZeroMQ heartbeats, every MS milliseconds, answered within as many
PRIMEPEER_WATCH=1        a line "lost NAME" for every connection that ends
PRIMEPEER_TRACE=1        a line for every job that the proxy gives away
"""

import os
import threading

import zmq
from zmq.utils.monitor import recv_monitor_message

context = zmq.Context()
trace = os.environ.get("PRIMEPEER_TRACE") == "1"
_heartbeat = int(os.environ.get("PRIMEPEER_HEARTBEAT", "0"))
_watch = os.environ.get("PRIMEPEER_WATCH") == "1"


def socket(name, kind):
    """Returns a socket without bounds, as all of prime_server's are."""
    made = context.socket(kind)
    made.set_hwm(0)
    if _heartbeat and kind != zmq.STREAM:
        made.setsockopt(zmq.HEARTBEAT_IVL, _heartbeat)
        made.setsockopt(zmq.HEARTBEAT_TIMEOUT, _heartbeat)
        made.setsockopt(zmq.HEARTBEAT_TTL, 2 * _heartbeat)
    if _watch and kind != zmq.STREAM:
        monitor = made.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        threading.Thread(target=_tell_losses, args=(name, monitor), daemon=True).start()
    return made


def _tell_losses(name, monitor):
    while True:
        recv_monitor_message(monitor)
        say("lost", name)


def say(*words):
    """Prints a line, whole even when several threads print."""
    print(" ".join(str(word) for word in words) + "\n", end="", flush=True)
