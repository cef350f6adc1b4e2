#!/usr/bin/python3
"""Send, from an end host, as much of one kind as it can: what a port must not be able to starve others with.

    flood.py --gateway MAC KIND [--seconds S] [--rate PPS]

The kinds: arp (requests for addresses of its network), nd (solicitations), gateway-arp (requests for the gateway),
dhcp (discoveries), solicit (router solicitations), unknown (IPv4 to addresses of another network that nobody has), ttl
(packets whose TTL runs out at the gateway). Ends after --seconds or by SIGTERM, and prints how many frames it has sent.
"""

import argparse
import logging
import random
import signal
import socket
import time

logging.getLogger("scapy").setLevel(logging.ERROR)  # it misses routes that nobody needs here

from scapy.all import (  # noqa: E402
    ARP, BOOTP, DHCP, ICMP, IP, UDP, Ether, ICMPv6ND_NS, ICMPv6ND_RS, ICMPv6NDOptSrcLLAddr, IPv6, get_if_hwaddr,
)

EVERYBODY = "ff:ff:ff:ff:ff:ff"
DIFFERENT = 200  # frames that differ, sent round and round


class Kinds:
    """How each kind's frame number n looks."""

    def __init__(self, options):
        self.o = options
        self.mac = get_if_hwaddr(options.dev)

    def arp(self, n):
        return Ether(src=self.mac, dst=EVERYBODY) / ARP(op=1, hwsrc=self.mac, psrc=self.o.source, pdst=f"192.168.1.{50 + n}")

    def gateway_arp(self, _):
        return Ether(src=self.mac, dst=EVERYBODY) / ARP(op=1, hwsrc=self.mac, psrc=self.o.source, pdst="192.168.1.1")

    def nd(self, n):
        target = f"2001:db8:1::{0x5000 + n:x}"
        ip = IPv6(src=self.o.source6, dst=f"ff02::1:ff00:{0x5000 + n:x}", hlim=255)
        frame = Ether(src=self.mac, dst=f"33:33:ff:00:50:{n:02x}")
        return frame / ip / ICMPv6ND_NS(tgt=target) / ICMPv6NDOptSrcLLAddr(lladdr=self.mac)

    def dhcp(self, n):
        request = BOOTP(xid=n, chaddr=bytes.fromhex(self.mac.replace(":", ""))) / DHCP(options=[("message-type", "discover"), "end"])
        frame = Ether(src=self.mac, dst=EVERYBODY) / IP(src="0.0.0.0", dst="255.255.255.255")
        return frame / UDP(sport=68, dport=67) / request

    def solicit(self, _):
        frame = Ether(src=self.mac, dst="33:33:00:00:00:02") / IPv6(src=self.o.source6, dst="ff02::2", hlim=255)
        return frame / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=self.mac)

    def unknown(self, n):
        return Ether(src=self.mac, dst=self.o.gateway) / IP(src=self.o.source, dst=f"192.168.2.{50 + n}") / ICMP()

    def ttl(self, n):
        return Ether(src=self.mac, dst=self.o.gateway) / IP(src=self.o.source, dst=f"192.168.2.{50 + n}", ttl=1) / ICMP()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[name.replace("_", "-") for name in vars(Kinds) if name[0] != "_"])
    parser.add_argument("--dev", default="eth0")
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--source", default="192.168.1.11")
    parser.add_argument("--source6", default="2001:db8:1::11")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=20000, help="frames in a second, at most")
    options = parser.parse_args()

    build = getattr(Kinds(options), options.kind.replace("-", "_"))
    frames = [bytes(build(n)) for n in range(DIFFERENT)]
    random.shuffle(frames)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((options.dev, 0))
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    print("begins", flush=True)  # who waits for that measures no start of Python
    begin, sent = time.monotonic(), 0
    while (now := time.monotonic() - begin) < options.seconds and not stop:
        if sent > now * options.rate:
            time.sleep(0.001)
            continue
        for frame in frames[:50]:
            try:
                sock.send(frame)
                sent += 1
            except OSError:  # its own queue is full
                pass
        frames = frames[50:] + frames[:50]
    print(sent)


if __name__ == "__main__":
    main()
