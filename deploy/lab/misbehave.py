#!/usr/bin/python3
"""Send, from an end host, one packet that its router or its port must not take, or one that they must although it looks odd.

    misbehave.py --gateway MAC --source ADDRESS --target ADDRESS CASE...     sends one packet per case, in that order
    misbehave.py --list                                                      the cases

The packets go out of eth0 of an end host that has the address --source, to its gateway's MAC, for --target, an end host
in another network; ARP, ND and DHCP go to everybody. Each case differs from a good packet in one thing. --claim is an
address of somebody else's, --claim-mac a MAC address.
"""

import argparse
import logging

logging.getLogger("scapy").setLevel(logging.ERROR)  # it misses routes that nobody needs here

from scapy.all import (  # noqa: E402
    ARP, BOOTP, DHCP, ICMP, IP, TCP, UDP, Ether, ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA,
    ICMPv6ND_Redirect, ICMPv6NDOptDstLLAddr, ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr, IPOption, IPv6, IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop, PadN, Raw, get_if_hwaddr, sendp,
)

EVERYBODY = "ff:ff:ff:ff:ff:ff"
ALL_NODES = {"ether": "33:33:00:00:00:01", "ip": "ff02::1"}


class Packets:
    """Builds the packets of every case: the methods' names with hyphens are the names of the cases."""

    def __init__(self, options):
        self.o = options
        self.mac = get_if_hwaddr(options.dev)

    def packet(self, payload=None, ether=None, **fields):
        addresses = {"src": self.mac, "dst": self.o.gateway} | (ether or {})
        ip = {"src": self.o.source, "dst": self.o.target} | fields
        if ":" in ip["dst"]:
            return Ether(**addresses) / IPv6(**ip) / (payload or ICMPv6EchoRequest(id=1, seq=1, data=bytes(range(40))))
        return Ether(**addresses) / IP(**ip) / (payload or ICMP(id=1, seq=1) / Raw(bytes(range(40))))

    def extended(self, *headers):
        """IPv6 with extension headers before the echo request."""
        payload = ICMPv6EchoRequest(id=1, seq=1, data=bytes(range(40)))
        for header in reversed(headers):
            payload = header / payload
        return self.packet(payload)

    def udp(self, **ports):
        return UDP(**ports) / Raw(bytes(40))

    # ---------------------------------------------------------------------------- to be forwarded

    def good(self):
        """nothing wrong"""
        return self.packet()

    def options(self):
        """IPv4 options that a router only passes on: no operation, security (RFC 7126)"""
        return self.packet(options=[IPOption(b"\x01"), IPOption(b"\x82\x0b\0\0\0\0\0\0\0\0\0")])

    def router_alert(self):
        """a router alert (RFC 2113)"""
        return self.packet(options=[IPOption(b"\x94\x04\x00\x00")])

    def hop_by_hop(self):
        """a hop-by-hop options header (RFC 8200, section 4.3)"""
        return self.extended(IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]))

    def destination_options(self):
        """a destination options header"""
        return self.extended(IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]))

    # -------------------------------------------------------------------------------- to be dropped

    def ttl_one(self):
        """TTL or hop limit 1"""
        return self.packet(hlim=1) if ":" in self.o.target else self.packet(ttl=1)

    def ttl_zero(self):
        """TTL or hop limit 0"""
        return self.packet(hlim=0) if ":" in self.o.target else self.packet(ttl=0)

    def header_checksum(self):
        """a wrong IPv4 header checksum"""
        return self.packet(chksum=0xDEAD)

    def length(self):
        """a length beyond the end of the frame"""
        return self.packet(plen=1400) if ":" in self.o.target else self.packet(len=1400)

    def header_length(self):
        """an IPv4 header of 16 bytes"""
        return self.packet(ihl=4)

    def version(self):
        """IP version 5"""
        return self.packet(version=5)

    def source_route(self):
        """loose source and record route"""
        return self.packet(options=[IPOption(b"\x83\x07\x04\xc0\xa8\x02\x0b\x00")])

    def from_loopback(self):
        """from a loopback address"""
        return self.packet(src="::1" if ":" in self.o.target else "127.0.0.1")

    def from_group(self):
        """from a group address"""
        return self.packet(src="ff02::5" if ":" in self.o.target else "224.0.0.5")

    def from_nobody(self):
        """from the unspecified address"""
        return self.packet(src="::" if ":" in self.o.target else "0.0.0.0")

    def from_everybody(self):
        """from the limited broadcast address"""
        return self.packet(src="255.255.255.255")

    def from_link_local(self):
        """from a link-local address to another network"""
        return self.packet(src="fe80::1234" if ":" in self.o.target else "169.254.7.7")

    def to_loopback(self):
        """to a loopback address"""
        return self.packet(dst="::1" if ":" in self.o.target else "127.0.0.1")

    def to_class_e(self):
        """to a reserved address"""
        return self.packet(dst="240.0.0.1")

    def to_nowhere(self):
        """to where the router has no route"""
        return self.packet(dst="2001:db8:ffff::1" if ":" in self.o.target else "203.0.113.1")

    def error_ttl_one(self):
        """an ICMP error with TTL 1: no error about an error (RFC 1812, section 4.3.2.7)"""
        if ":" in self.o.target:
            return self.packet(ICMPv6DestUnreach() / IPv6(src=self.o.target, dst=self.o.source) / UDP(), hlim=1)
        return self.packet(ICMP(type=3, code=1) / IP(src=self.o.target, dst=self.o.source) / UDP(), ttl=1)

    def mid_stream(self):
        """a segment in the middle of a TCP stream that nobody has begun"""
        return self.packet(TCP(sport=40001, dport=80, flags="A", seq=1000, ack=1))

    def gre(self):
        """GRE, which has no ports that an address could be shared by"""
        return self.packet(IP() / ICMP(), proto=47)

    def gateway_tcp(self):
        """TCP to the gateway itself, where nothing listens"""
        return self.packet(TCP(sport=4000, dport=22, flags="S"), dst=self.o.gateway_address)

    def gateway_appletalk(self):
        """no IP, to the gateway"""
        return Ether(src=self.mac, dst=self.o.gateway, type=0x809B) / Raw(bytes(46))

    # ---------------------------------------------------------------- somebody else's MAC or address

    def spoofed_address(self):
        """from somebody else's IP address"""
        return self.packet(src=self.o.claim)

    def spoofed_mac(self):
        """from somebody else's MAC address"""
        return self.packet(ether={"src": self.o.claim_mac})

    def arp(self, operation, **fields):
        arp = {"op": operation, "hwsrc": self.mac, "psrc": self.o.source, "pdst": self.o.target} | fields
        return Ether(src=self.mac, dst=EVERYBODY) / ARP(**arp)

    def arp_request(self):
        """an ARP request with somebody else's address as its sender"""
        return self.arp(1, psrc=self.o.claim)

    def arp_announcement(self):
        """an ARP announcement of somebody else's address (RFC 5227)"""
        return self.arp(1, psrc=self.o.claim, pdst=self.o.claim)

    def arp_reply(self):
        """an unasked ARP reply for somebody else's address"""
        return self.arp(2, psrc=self.o.claim, pdst=self.o.claim)

    def arp_mac(self):
        """an ARP announcement of one's own address with another MAC inside than outside"""
        return self.arp(1, hwsrc=self.o.claim_mac, pdst=self.o.source)

    def all_nodes(self, message, source=None):
        ether = Ether(src=self.mac, dst=ALL_NODES["ether"])
        return ether / IPv6(src=source or self.o.source, dst=ALL_NODES["ip"], hlim=255) / message

    def advertisement(self):
        """a neighbour advertisement of somebody else's address"""
        return self.all_nodes(ICMPv6ND_NA(tgt=self.o.claim, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=self.mac))

    def solicitation(self):
        """a neighbour solicitation with somebody else's address as its sender"""
        message = ICMPv6ND_NS(tgt=self.o.target) / ICMPv6NDOptSrcLLAddr(lladdr=self.mac)
        return self.all_nodes(message, self.o.claim)

    # -------------------------------------------------------------------------- somebody else's role

    def router_advertisement(self):
        """a router advertisement"""
        prefix = ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::", prefixlen=64)
        return self.all_nodes(ICMPv6ND_RA() / prefix, "fe80::bad")

    def redirect(self):
        """a redirect"""
        return self.all_nodes(ICMPv6ND_Redirect(tgt=self.o.source, dst=self.o.target))

    def dhcp_offer(self):
        """an offer, as by a DHCP server"""
        packet = Ether(src=self.mac, dst=EVERYBODY) / IP(src=self.o.source, dst="255.255.255.255") / UDP(sport=67, dport=68)
        offered = BOOTP(op=2, yiaddr="10.66.66.66", siaddr=self.o.source, chaddr=bytes(6))
        return packet / offered / DHCP(options=[("message-type", "offer"), "end"])

    def dhcpv6_advertise(self):
        """an advertise message, as by a DHCPv6 server"""
        message = UDP(sport=547, dport=546) / Raw(b"\x02\x00\x00\x01")
        return self.all_nodes(message)

    def from_gateway(self):
        """from the gateway's MAC"""
        return self.packet(ether={"src": self.o.gateway})


CASES = {name.replace("_", "-"): build for name, build in vars(Packets).items() if callable(build) and build.__doc__}
CASES.pop("extended")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", metavar="CASE")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--dev", default="eth0")
    parser.add_argument("--gateway", help="the MAC of the gateway")
    parser.add_argument("--gateway-address", default="192.168.1.1")
    parser.add_argument("--source", default="192.168.1.11")
    parser.add_argument("--target", default="192.168.2.11")
    parser.add_argument("--claim", default="192.168.1.12")
    parser.add_argument("--claim-mac", default="fa:16:3e:00:01:12")
    options = parser.parse_args()
    if options.list:
        for name, build in sorted(CASES.items()):
            print(f"{name:24}{build.__doc__}")
    for case in options.case:
        if case not in CASES:
            parser.error(f"no case {case!r} (misbehave.py --list)")
        sendp(CASES[case](Packets(options)), iface=options.dev, verbose=False)


if __name__ == "__main__":
    main()
