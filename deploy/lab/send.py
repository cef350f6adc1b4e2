#!/usr/bin/python3
"""Send one packet that a VTEP must not forward, or one that it must although it looks odd.

    send.py --dev up0 --to MAC CASE...      sends one packet per case, in that order
    send.py --list                          the cases (with --vtep ADDRESS: those of its family)

The packets go from a VTEP (--source) to ours (--vtep) in VNI --vni, and carry an ICMP echo request from --inner-source
to --inner-target. Each case differs from a good packet in one thing.
"""

import argparse
import logging
import struct

logging.getLogger("scapy").setLevel(logging.ERROR)  # it misses routes that nobody needs here

from scapy.all import (  # noqa: E402
    ICMP, IP, UDP, Dot1Q, Ether, IPOption, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, PadN, Raw,
    fragment, get_if_hwaddr, sendp,
)

SOURCE_PORT = 50000  # of the 49152..65535 that RFC 7348 asks for


def cut(packet, length):
    """The first bytes of a packet; nothing is put right."""
    return Raw(bytes(packet)[:length])


class Packets:
    """Builds the packets of every case: the methods' names with hyphens are the names of the cases."""

    def __init__(self, options):
        self.o = options

    def inner(self, **mac):
        ether = Ether(src=mac.get("src", self.o.inner_source), dst=mac.get("dst", self.o.inner_target))
        return ether / IP(src="10.0.0.2", dst="10.0.0.1") / ICMP(id=1, seq=1) / Raw(bytes(range(40)))

    def vxlan(self, inner=None, flags=0x08, vni=None, reserved=0):
        header = struct.pack("!B3xI", flags, (vni or self.o.vni) << 8 | reserved)
        return Raw(header + bytes(self.inner() if inner is None else inner))

    def udp(self, payload=None, **fields):
        payload = self.vxlan() if payload is None else payload
        return UDP(**{"sport": SOURCE_PORT, "dport": 4789, "chksum": 0} | fields) / payload

    def packet(self, udp=None, ether=None, **fields):
        ip = IP(**{"src": self.o.source, "dst": self.o.vtep, "flags": "DF"} | fields)
        addresses = {"src": get_if_hwaddr(self.o.dev), "dst": self.o.to} | (ether or {})
        return Ether(**addresses) / ip / (self.udp() if udp is None else udp)

    # ----------------------------------------------------------------------------- to be forwarded

    def good(self):
        """nothing wrong"""
        return self.packet()

    def reserved_bits(self):
        """reserved bits are set: to be ignored on receipt (RFC 7348, section 5)"""
        return self.packet(self.udp(self.vxlan(flags=0xFF, reserved=0xFF)))

    def outer_options(self):
        """an IPv4 option in the outer header"""
        return self.packet(options=[IPOption(b"\x94\x04\x00\x00")])  # router alert

    def good_udp_checksum(self):
        """a UDP checksum that is not zero, and right"""
        return self.packet(self.udp(chksum=None))

    # -------------------------------------------------------------------------------- to be dropped

    def unknown_vni(self):
        """a VNI that nobody configured"""
        return self.packet(self.udp(self.vxlan(vni=4711)))

    def unknown_vtep(self):
        """from a VTEP that no host has"""
        return self.packet(src="192.0.2.99")

    def own_address(self):
        """from our own address: it looped in the underlay"""
        return self.packet(src=self.o.vtep)

    def multicast_source(self):
        """from a multicast address"""
        return self.packet(src="224.0.0.5")

    def other_destination(self):
        """to our MAC, but to an address that is not ours"""
        return self.packet(dst="192.0.2.98")

    def other_mac(self):
        """to the MAC of somebody else"""
        return self.packet(ether={"dst": "02:00:00:00:99:99"})

    def wrong_port(self):
        """to UDP port 4790"""
        return self.packet(self.udp(dport=4790))

    def other_protocol(self):
        """GRE instead of UDP"""
        return self.packet(Raw(bytes(40)), proto=47)

    def no_i_flag(self):
        """the I flag is not set"""
        return self.packet(self.udp(self.vxlan(flags=0)))

    def outer_fragment(self):
        """the first of two fragments"""
        return fragment(self.packet(flags=0), fragsize=64)[0]

    def outer_checksum(self):
        """a wrong IPv4 header checksum"""
        return self.packet(chksum=0xDEAD)

    def outer_length(self):
        """an IPv4 total length beyond the end of the frame"""
        return self.packet(len=1400)

    def outer_version(self):
        """IP version 5 in an IPv4 frame"""
        return self.packet(version=5)

    def udp_length(self):
        """a UDP length beyond the end of the IP packet"""
        return self.packet(self.udp(len=1400))

    def udp_checksum(self):
        """a UDP checksum that is neither zero nor right"""
        return self.packet(self.udp(chksum=0xDEAD))

    def no_vxlan_header(self):
        """a UDP datagram with half a VXLAN header"""
        return self.packet(self.udp(cut(self.vxlan(), 4)))

    def inner_truncated(self):
        """an inner frame of ten bytes"""
        return self.packet(self.udp(cut(self.vxlan(), 8 + 10)))

    def inner_vlan(self):
        """a VLAN tag inside (RFC 7348, section 6.1)"""
        echo = self.inner()
        return self.packet(self.udp(self.vxlan(Ether(src=echo.src, dst=echo.dst) / Dot1Q(vlan=7) / echo[IP])))

    def inner_source_group(self):
        """an inner frame from a group address"""
        return self.packet(self.udp(self.vxlan(self.inner(src="01:00:5e:00:00:01"))))

    def same_port(self):
        """an inner frame for a MAC that lives behind the VTEP it came from"""
        return self.packet(self.udp(self.vxlan(self.inner(src="02:00:00:00:00:77", dst=self.o.inner_source))))

    def split_horizon(self):
        """an inner frame for a MAC that lives behind another VTEP"""
        return self.packet(self.udp(self.vxlan(self.inner(dst=self.o.inner_elsewhere))))

    def loop(self):
        """an inner frame from a MAC that lives on our own access port"""
        return self.packet(self.udp(self.vxlan(self.inner(src=self.o.inner_target, dst="ff:ff:ff:ff:ff:ff"))))

    def congestion_on_not_ect(self):
        """congestion experienced outside, a flow that is not capable of it inside (RFC 6040)"""
        return self.packet(tos=3)

    def bridge_group(self):
        """an inner frame to 01:80:c2:00:00:00, where spanning tree speaks"""
        return self.packet(self.udp(self.vxlan(self.inner(dst="01:80:c2:00:00:00"))))


class PacketsV6(Packets):
    """The same over an IPv6 underlay, where some things are done otherwise."""

    outer_checksum = None  # IPv6 has none

    def udp(self, payload=None, **fields):
        # Filled in, unless a case says otherwise: over IPv6 zero is the exception (RFC 6935).
        return super().udp(payload, **{"chksum": None} | fields)

    def packet(self, udp=None, ether=None, extension=None, **fields):
        ip = IPv6(**{"src": self.o.source, "dst": self.o.vtep} | fields)
        addresses = {"src": get_if_hwaddr(self.o.dev), "dst": self.o.to} | (ether or {})
        outer = Ether(**addresses) / ip
        return (outer / extension if extension else outer) / (self.udp() if udp is None else udp)

    def outer_options(self):
        """a destination options header before UDP"""
        return self.packet(extension=IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]))

    def no_udp_checksum(self):
        """a UDP checksum of zero (RFC 6935, section 5)"""
        return self.packet(self.udp(chksum=0))

    def unknown_vtep(self):
        return self.packet(src="2001:db8::99")

    def multicast_source(self):
        return self.packet(src="ff02::5")

    def other_destination(self):
        return self.packet(dst="2001:db8::98")

    def other_protocol(self):
        return self.packet(Raw(bytes(40)), nh=47)

    def outer_fragment(self):
        return self.packet(extension=IPv6ExtHdrFragment(m=1, id=7))

    def outer_length(self):
        return self.packet(plen=1400)

    def congestion_on_not_ect(self):
        return self.packet(tc=3)


def cases(kind):
    """By name, how each is built and what it is."""
    names = {name for name, what in vars(Packets).items() if callable(what) and what.__doc__ and name[0] != "_"}
    names |= {name for name, what in vars(kind).items() if callable(what) and what.__doc__}
    found = {}
    for name in sorted(names):
        build = getattr(kind, name)
        if build:
            found[name.replace("_", "-")] = (build, build.__doc__ or getattr(Packets, name).__doc__)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", metavar="CASE")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--dev", default="up0")
    parser.add_argument("--to", help="the MAC of our VTEP")
    parser.add_argument("--source", default="192.0.2.21")
    parser.add_argument("--vtep", default="192.0.2.11")
    parser.add_argument("--vni", type=int, default=10)
    parser.add_argument("--inner-source", default="02:00:00:00:00:02")
    parser.add_argument("--inner-target", default="02:00:00:00:00:01")
    parser.add_argument("--inner-elsewhere", default="02:00:00:00:00:03")
    options = parser.parse_args()
    kind = PacketsV6 if ":" in options.vtep else Packets
    known = cases(kind)
    if options.list:
        for name, (_, what) in known.items():
            print(f"{name:24}{what}")
    for case in options.case:
        if case not in known:
            parser.error(f"no case {case!r} (send.py --list)")
        sendp(known[case][0](kind(options)), iface=options.dev, verbose=False)


if __name__ == "__main__":
    main()
