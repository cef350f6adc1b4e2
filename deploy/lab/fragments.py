#!/usr/bin/python3 -B
"""A datagram in fragments, sent in the order that is asked for, and its answer.

    fragments.py serve --gateway MAC [--order N,N,…]             answers each datagram with itself, until it is ended
    fragments.py ask ADDRESS --gateway MAC [--order N,N,…]       sends one and waits for its answer

Fragments carry 1,200 bytes each; --order is that of their sending, the first is 0, by default backwards. --without N leaves one
out. The gateway is the MAC that they are sent to. Prints what the answer was: whole, or what was wrong.
"""

import argparse
import logging
import random
import socket
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)  # it misses routes that nobody needs here

from scapy.all import IP, UDP, Ether, Raw, fragment, get_if_hwaddr, sendp  # noqa: E402

PORT = 7100
EACH = 1200
SIZE = 3000  # three fragments


def send(options, data, source, target):
    """By a raw socket: the kernel would send them in order."""
    packet = IP(src=source[0], dst=target[0], id=random.randrange(1 << 16)) / UDP(sport=source[1], dport=target[1]) / Raw(data)
    parts = fragment(packet, fragsize=EACH)
    order = [int(n) for n in options.order.split(",")] if options.order else reversed(range(len(parts)))
    ether = Ether(src=get_if_hwaddr(options.dev), dst=options.gateway)
    sendp([ether / parts[n] for n in order if n != options.without], iface=options.dev, verbose=False)


def own_address(peer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(peer)
        return sock.getsockname()[0]


def serve(options):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", PORT))
    while True:
        data, peer = sock.recvfrom(1 << 16)
        send(options, data, (own_address(peer), PORT), peer)


def ask(options):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((own_address((options.address, PORT)), 0))
    sock.settimeout(options.patience)
    data = random.randbytes(SIZE)
    send(options, data, sock.getsockname(), (options.address, PORT))
    try:
        answer = sock.recv(1 << 16)
    except TimeoutError:
        sys.exit("no answer")
    if answer != data:
        sys.exit(f"another answer, of {len(answer)} bytes")
    print("whole")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run in (serve, ask):
        command = commands.add_parser(run.__name__)
        command.set_defaults(run=run)
        if run is ask:
            command.add_argument("address")
            command.add_argument("--patience", type=float, default=3)
        command.add_argument("--gateway", required=True)
        command.add_argument("--dev", default="eth0")
        command.add_argument("--order")
        command.add_argument("--without", type=int)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
