"""Flows that are counted, as TRex streams.

    flow i = network + networks * turn          a stream for each network, whose turns are counted

A stream has two variables, which step together: "flow" and "turn". Whatever differs between its packets is one of
them, plus a constant, shifted and masked. Steps are about 0.62 of the range and have no factor in common with it:
every flow comes once, far from the one before, before any comes again. (The field engine's random numbers would
repeat some flows and leave others out.)
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from math import gcd
from typing import NamedTuple

from trex.stl.api import (  # before Scapy, whose place it knows
    CTRexVmInsFixHwCs,
    STLPktBuilder,
    STLScVmRaw,
    STLStream,
    STLTXCont,
    STLVmFixChecksumHw,
    STLVmFixIpv4,
    STLVmFlowVar,
    STLVmWrFlowVar,
    STLVmWrMaskFlowVar,
)

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

# The MAC of a net_pcap device, which the captures are for. A NIC has its own: --uplink-mac.
UPLINK_MAC = "02:70:63:61:70:00"
OWN_VTEP = "172.20.0.1"
HEADERS = 14 + 20 + 8

FLOW, TURN = "flow", "turn"
ALL = 0xFFFFFFFF


class Size(NamedTuple):
    """Bytes of an inner frame, without the checksum, and its share of the packets."""

    octets: int
    share: int


LEAST = 64
# IP packets of 50, 576 and 1450 bytes, 342 on average; the greatest is what fits through a tunnel on any Ethernet.
IMIX = (Size(64, 7), Size(590, 4), Size(1464, 1))


@dataclass(frozen=True)
class Options:
    """The tunables of a profile."""

    flows: int = 1000
    routers: int = 1
    vteps: int = 16
    inside: str = "vxlan"
    size: tuple[Size, ...] = (Size(LEAST, 1),)
    seed: int = 1
    checksum: str = "hw"
    broadcasts: bool = True
    uplink_mac: str = UPLINK_MAC


@dataclass(frozen=True)
class Network:
    """Flows of one network: its number, how many networks there are, and how many flows from which one on."""

    number: int
    networks: int
    turns: int
    first: int = 0
    # Packets of each flow, beside those of others.
    share: int = 1
    label: str = "network"

    def flow(self, turn: int) -> int:
        return self.number + self.networks * turn


@dataclass(frozen=True)
class Write:
    """((variable + add) << shift) & mask, big-endian; a negative shift is to the right."""

    variable: str
    field: str
    skip: int = 0  # bytes from the field's beginning
    size: int = 4
    mask: int = ALL
    shift: int = 0
    add: int = 0

    def instruction(self, nth: str = "") -> object:
        """For the field engine; `nth` says in which header of that name."""
        layer, field = self.field.split(".")
        offset = f"{layer}{nth}.{field}"
        if self.mask == ALL and not self.shift:
            return STLVmWrFlowVar(self.variable, offset, offset_fixup=self.skip, add_val=self.add)
        return STLVmWrMaskFlowVar(
            self.variable,
            offset,
            pkt_cast_size=self.size,
            mask=self.mask,
            shift=self.shift,
            add_value=self.add,
            offset_fixup=self.skip,
        )


@dataclass(frozen=True)
class Inner:
    """A frame without tags, that of turn 0, and what changes in it."""

    to: str
    source: str
    addresses: tuple[int, int]  # from, to
    ports: tuple[int, int]
    writes: tuple[Write, ...]
    ttl: int = 64


@dataclass(frozen=True)
class Carrier:
    """How a network's frames travel: in VXLAN, or with a tag."""

    vni: int | None = None
    vlan: int | None = None


# The flow's number in the payload makes each frame another one.
NUMBER = Write(FLOW, "Raw.load")
SOURCE_PORT = Write(FLOW, "UDP.sport", size=2, mask=0x3FFF)


def mac(kind: int, number: int) -> str:
    """A locally administered MAC that says what it is and which."""
    return ":".join(f"{byte:02x}" for byte in bytes([2, kind]) + number.to_bytes(4, "big"))


def source_port(flow: int) -> int:
    return 49152 | flow & 0x3FFF


def streams(options: Options, network: Network, carrier: Carrier, inner: Inner) -> Iterator[STLStream]:
    """All flows of a network, in each size."""
    for size in options.size:
        yield stream(options, network, carrier, inner, size)


def stream(options: Options, network: Network, carrier: Carrier, inner: Inner, size: Size) -> STLStream:
    packet = frame(options, network, inner, carrier.vlan, size.octets)
    nth, engine = "", counters(options, network)
    if carrier.vni is not None:
        vtep = network.number % options.vteps
        packet = tunnel(options, network, carrier.vni, vtep) / packet
        nth = ":1"
        low = dict(size=1, mask=options.vteps - 1, add=network.number)
        writes = Write(TURN, "Ether.src", skip=5, **low), Write(TURN, "IP.src", skip=3, **low), SOURCE_PORT
        engine += [write.instruction() for write in writes] + [STLVmFixIpv4(offset="IP")]
    engine += [write.instruction("" if write.field == NUMBER.field else nth) for write in inner.writes]
    if options.checksum == "none":
        engine.append(STLVmFixIpv4(offset=f"IP{nth}"))
    else:
        udp = CTRexVmInsFixHwCs.L4_TYPE_UDP
        engine.append(STLVmFixChecksumHw(l3_offset=f"IP{nth}", l4_offset=f"UDP{nth}", l4_type=udp))
    return STLStream(
        name=f"{network.label}-{network.number}-{size.octets}",
        packet=STLPktBuilder(pkt=packet, vm=STLScVmRaw(engine)),
        # Shares: every flow comes equally often. The multiplier of a start says how often.
        mode=STLTXCont(pps=network.turns * network.share * size.share),
    )


def frame(options: Options, network: Network, inner: Inner, vlan: int | None, size: int) -> Packet:
    packet: Packet = Ether(dst=inner.to, src=inner.source)
    if vlan is not None:
        packet /= Dot1Q(vlan=vlan)
    source, destination = (str(IPv4Address(address)) for address in inner.addresses)
    packet /= IP(src=source, dst=destination, flags="DF", id=0, ttl=inner.ttl)
    unchecked = {"chksum": 0} if options.checksum == "none" else {}
    packet /= UDP(sport=inner.ports[0], dport=inner.ports[1], **unchecked)
    return packet / Raw(network.number.to_bytes(4, "big") + bytes(size - HEADERS - 4))


def tunnel(options: Options, network: Network, vni: int, vtep: int) -> Packet:
    packet: Packet = Ether(dst=options.uplink_mac, src=mac(1, vtep))
    packet /= IP(src=f"172.20.1.{vtep}", dst=OWN_VTEP, flags="DF", id=0, ttl=64)
    # RFC 7348, section 5: no checksum.
    return packet / UDP(sport=source_port(network.number), dport=4789, chksum=0) / VXLAN(vni=vni, flags=8)


def counters(options: Options, network: Network) -> list[object]:
    """The two variables. Both go round after as many packets as there are turns, whatever the step, and also when
    several cores of TRex share them."""
    turns = network.turns
    step = max(1, round(turns * 0.6180339887) + options.seed % 7)
    while gcd(step, turns) != 1:
        step += 1
    first = random.Random(f"{options.seed} {network.number}").randrange(turns)

    def counter(name: str, least: int, each: int) -> STLVmFlowVar:
        return STLVmFlowVar(
            name,
            size=4,
            op="inc",
            min_value=least,
            max_value=least + each * turns - 1,
            init_value=least + each * first,
            # A single turn comes again and again.
            step=each * (step % turns or turns),
        )

    return [counter(FLOW, network.flow(network.first), network.networks), counter(TURN, network.first, 1)]


def introductions(options: Options) -> STLStream:
    """What VTEPs say of themselves: ARP replies, for a vtepd whose questions nobody answers."""
    packet = Ether(dst=options.uplink_mac, src=mac(1, 0))
    packet /= ARP(op=2, hwsrc=mac(1, 0), psrc="172.20.1.0", hwdst=options.uplink_mac, pdst=OWN_VTEP)
    low = dict(size=1, mask=0xFF)
    engine = [
        STLVmFlowVar(TURN, size=4, op="inc", min_value=0, max_value=options.vteps - 1),
        Write(TURN, "Ether.src", skip=5, **low).instruction(),
        Write(TURN, "ARP.hwsrc", skip=5, **low).instruction(),
        Write(TURN, "ARP.psrc", skip=3, **low).instruction(),
    ]
    return STLStream(
        name="introductions",
        packet=STLPktBuilder(pkt=packet, vm=STLScVmRaw(engine)),
        mode=STLTXCont(pps=options.vteps),
    )
