"""Everything at once, both ways, in packets of three lengths: perf/src/frames/mix.rs.

One distributed router joins 16 networks of 64 stations on each side. Those of the first half on the access port have
floating IPs, the others share the router's address; what is outside is a VLAN of the underlay's device. Kinds come
equally often, and one packet of 256 from the access port is a broadcast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vtepd_flows import (
    BROADCAST,
    EXTERNAL,
    EXTERNAL_VLAN,
    FLOATING,
    FLOATING_MAC,
    NETWORKS,
    NEXT_HOP_MAC,
    REMOTES,
    VTEPS,
)
from vtepd_flows import number_at, tagged, vxlan
from vtepd_stream import FLOW, IMIX, NUMBER, TURN, Carrier, Inner, Network, Options, STLStream, Write, mac, streams

TURNS = 64  # flows of a network
HALF = 32
# Of all flows of a kind, and of a kind with half of the flows, beside broadcasts.
SHARE = 255
BROADCASTS = 4
FIRST_PORT = 1024
LOCAL, REMOTE = 0x0A000000, 0x0A080000
FIRST_HOST = 2


def port(field: str) -> Write:
    return Write(FLOW, field, size=2, mask=0xFFFF, add=FIRST_PORT)


def host(field: str, add: int = FIRST_HOST) -> Write:
    return Write(TURN, field, mask=0x0007FFFF, add=add)


def remote(field: str) -> Write:
    return Write(FLOW, field, skip=2, size=2, mask=0xFFFF)


def subnet(network: int) -> int:
    return network << 20


def sender(network: int) -> int:
    """The network of the router that packets come from that are routed to this one."""
    return (network + 1) % NETWORKS


def access(options: Options) -> Iterator[STLStream]:
    """From stations of this host."""
    yield from shared(options)
    options = replace(options, size=IMIX)
    for number in range(NETWORKS):
        local, ports = mac(0x10, number), (FIRST_PORT + number, 4000)
        own = (number_at("Ether.src"), host("IP.src"), port("UDP.sport"), NUMBER)
        here, there = LOCAL + subnet(number), REMOTE + subnet(number)
        network = Network(number, NETWORKS, TURNS, share=SHARE)

        writes = (*own, number_at("Ether.dst"), host("IP.dst"))
        inner = Inner(mac(0x20, number), local, (here, there), ports, writes)
        yield from streams(options, replace(network, label="bridged"), tagged(number), inner)

        before = sender(number)
        inner = Inner(mac(0x30, before), local, (LOCAL + subnet(before), there), ports, (*own, host("IP.dst")))
        yield from streams(options, replace(network, label="routed"), tagged(before), inner)

        half = Network(number, NETWORKS, HALF, share=2 * SHARE, label="floating")
        inner = Inner(mac(0x30, number), local, (here, REMOTES), (ports[0], 443), (*own, remote("IP.dst")))
        yield from streams(options, half, tagged(number), inner)

        if options.broadcasts:
            inner = Inner("ff:ff:ff:ff:ff:ff", local, (here, BROADCAST), ports, own)
            few = Network(number, NETWORKS, TURNS, share=BROADCASTS, label="broadcasts")
            yield from streams(options, few, tagged(number), inner)


def shared(options: Options) -> Iterator[STLStream]:
    """From stations that share the router's address: those of the second half, with two flows each."""
    options = replace(options, size=IMIX)
    for number in range(NETWORKS):
        for first, add in ((0, HALF), (HALF, 0)):
            writes = (
                Write(FLOW, "Ether.src", skip=2, add=NETWORKS * add),
                host("IP.src", FIRST_HOST + add),
                remote("IP.dst"),
                port("UDP.sport"),
                NUMBER,
            )
            inner = Inner(
                mac(0x30, number), mac(0x10, number), (LOCAL + subnet(number), REMOTES), (FIRST_PORT, 443), writes
            )
            network = Network(number, NETWORKS, HALF, first, SHARE, label=f"shared-{first}")
            yield from streams(options, network, tagged(number), inner)


def underlay(options: Options) -> Iterator[STLStream]:
    """From other hosts, and from outside."""
    options = replace(options, size=IMIX)
    for number in range(NETWORKS):
        ports = (FIRST_PORT + number, 4000)
        common = (number_at("Ether.dst"), host("IP.src"), host("IP.dst"), port("UDP.sport"), NUMBER)
        network = Network(number, NETWORKS, TURNS, share=SHARE)
        here, there = LOCAL + subnet(number), REMOTE + subnet(number)

        writes = (*common, number_at("Ether.src"))
        inner = Inner(mac(0x10, number), mac(0x20, number), (there, here), ports, writes)
        yield from streams(options, replace(network, label="bridged"), vxlan(network), inner)

        vtep = Write(TURN, "Ether.src", skip=5, size=1, mask=VTEPS - 1, add=number)
        addresses = (REMOTE + subnet(sender(number)), here)
        inner = Inner(mac(0x10, number), "fa:16:3f:01:00:00", addresses, ports, (*common, vtep), ttl=63)
        yield from streams(options, replace(network, label="routed"), vxlan(network), inner)

        answer = (remote("IP.src"), port("UDP.dport"), NUMBER)
        inner = Inner(mac(0x31, 0), NEXT_HOP_MAC, (REMOTES, EXTERNAL + 2), (443, FIRST_PORT), answer)
        yield from streams(options, replace(network, label="shared"), Carrier(vlan=EXTERNAL_VLAN), inner)

        to = Write(FLOW, "IP.dst", skip=2, size=2, mask=0xFFFF, add=FLOATING)
        inner = Inner(FLOATING_MAC, NEXT_HOP_MAC, (REMOTES, EXTERNAL), (443, FIRST_PORT), (*answer, to))
        half = Network(number, NETWORKS, HALF, share=2 * SHARE, label="floating")
        yield from streams(options, half, Carrier(vlan=EXTERNAL_VLAN), inner)
