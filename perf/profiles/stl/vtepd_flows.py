"""The workloads of vtepd's benchmarks: the formulas of perf/src/frames, for a field engine.

perf/profiles/tests compares every packet with those of `vtepd-perf frames`, byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from vtepd_stream import FLOW, NUMBER, SOURCE_PORT, TURN, Carrier, Inner, Network, Options, Write
from vtepd_stream import STLStream, mac, source_port, streams

NETWORKS = 16
VTEPS = 16
FIRST_HOST = 1024
LOCAL, REMOTE = 0x0A000000, 0x0A800000
BROADCAST = 0xFFFFFFFF

# Of stations behind a router that translates.
STATIONS = 1024  # of a network
FLOWS_EACH = 62_500  # of a router
EXTERNAL, REMOTES = 0xC6120000, 0xC6130000
EXTERNAL_VLAN = 4000
NEXT_HOP_MAC = "02:50:00:00:00:01"
FLOATING_MAC = "02:50:00:00:00:02"
FLOATING = 512


def networks_of(options: Options, networks: int) -> Iterator[Network]:
    """Those that have flows."""
    for number in range(min(networks, options.flows)):
        yield Network(number, networks, -(-(options.flows - number) // networks))


def vxlan(network: Network) -> Carrier:
    return Carrier(vni=1000 + network.number)


def tagged(network: int) -> Carrier:
    return Carrier(vlan=101 + network)


def number_at(field: str) -> Write:
    """The flow's number at the end of a MAC."""
    return Write(FLOW, field, skip=2)


def bridged(options: Options, to_local: bool) -> Iterator[STLStream]:
    """Stations of the same networks."""
    local, remote = (0x10, LOCAL), (0x20, REMOTE)
    (source, source_net), (to, to_net) = (remote, local) if to_local else (local, remote)
    host = dict(mask=0x007FFFFF, add=FIRST_HOST)
    for network in networks_of(options, NETWORKS):
        inner = Inner(
            to=mac(to, network.number),
            source=mac(source, network.number),
            addresses=(source_net + FIRST_HOST, to_net + FIRST_HOST),
            ports=(source_port(network.number), 4000),
            writes=(
                number_at("Ether.dst"),
                number_at("Ether.src"),
                Write(TURN, "IP.src", **host),
                Write(TURN, "IP.dst", **host),
                SOURCE_PORT,
                NUMBER,
            ),
        )
        yield from streams(options, network, vxlan(network) if to_local else tagged(network.number), inner)


def decap(options: Options) -> Iterator[STLStream]:
    return bridged(options, to_local=True)


def encap(options: Options) -> Iterator[STLStream]:
    return bridged(options, to_local=False)


def between_networks(options: Options, arrives: bool) -> Iterator[STLStream]:
    """Stations in different networks of the same router: routed here, or by the other host."""
    each = max(NETWORKS // options.routers, 2)
    host = dict(mask=0x0007FFFF, add=2)
    for network in networks_of(options, each * options.routers):
        router, position = network.number % options.routers, network.number // options.routers
        before = (position + 1) % each
        sender = before * options.routers + router
        local, remote = 0x0A000000, 0x0A080000
        here, there = (remote, local) if arrives else (local, remote)
        common = (Write(TURN, "IP.src", **host), Write(TURN, "IP.dst", **host), SOURCE_PORT, NUMBER)
        addresses = (here + (before << 20) + 2, there + (position << 20) + 2)
        ports = (source_port(network.number), 4000)
        if arrives:
            vtep = Write(TURN, "Ether.src", skip=5, size=1, mask=VTEPS - 1, add=network.number)
            dvr_mac = f"fa:16:3f:01:00:{network.number % VTEPS:02x}"
            arriving = (number_at("Ether.dst"), vtep, *common)
            inner = Inner(mac(0x10, network.number), dvr_mac, addresses, ports, arriving, ttl=63)
            yield from streams(options, network, vxlan(network), inner)
        else:
            leaving = (number_at("Ether.src"), *common)
            inner = Inner(mac(0x30, sender), mac(0x10, network.number), addresses, ports, leaving)
            yield from streams(options, network, tagged(sender), inner)


def routed(options: Options) -> Iterator[STLStream]:
    return between_networks(options, arrives=False)


def dvr_in(options: Options) -> Iterator[STLStream]:
    return between_networks(options, arrives=True)


def flood(options: Options) -> Iterator[STLStream]:
    options = replace(options, flows=1024)
    for network in networks_of(options, NETWORKS):
        inner = Inner(
            to="ff:ff:ff:ff:ff:ff",
            source=mac(0x10, network.number),
            addresses=(LOCAL + FIRST_HOST, BROADCAST),
            ports=(source_port(network.number), 4000),
            writes=(
                number_at("Ether.src"),
                Write(TURN, "IP.src", mask=0x007FFFFF, add=FIRST_HOST),
                SOURCE_PORT,
                NUMBER,
            ),
        )
        yield from streams(options, network, tagged(network.number), inner)


@dataclass(frozen=True)
class Ports:
    """The inside ports of a network's flows: the first, and how they go on."""

    first: int
    writes: Callable[[str], tuple[Write, ...]]


# Every flow of a router has a port of its own.
DIFFERENT = Ports(1024, lambda field: (Write(TURN, field, size=2, mask=0xFFFF, add=1024),))
# Stations begin at 128 places; one flow each.
BEGINNINGS = Ports(0x8000, lambda field: (Write(TURN, field, size=1, mask=0x7F),))
# And count up from there, a flow for every 1024 turns.
COUNTED = Ports(
    0x8000,
    lambda field: (*BEGINNINGS.writes(field), Write(TURN, field, skip=1, size=1, mask=0xFF, shift=-10)),
)


def outward(options: Options, networks: int, ports: Ports, shared: bool) -> Iterator[STLStream]:
    """From stations to the outside, by their router. A station may have several flows, or each flow has its own."""
    tunnelled = options.inside == "vxlan"
    kind, subnet = (0x20, REMOTE) if tunnelled else (0x10, LOCAL)
    # Of those that share, a network has 1024, numbered by the low bits of both variables.
    if shared and options.flows > networks * STATIONS:
        source = Write(FLOW, "Ether.src", skip=2, mask=networks * STATIONS - 1)
        host = Write(TURN, "IP.src", mask=STATIONS - 1)
    else:
        source = number_at("Ether.src")
        host = Write(TURN, "IP.src", mask=0x007FFFFF, add=FIRST_HOST)
    remote = Write(FLOW, "IP.dst", skip=2, size=2, mask=0x7FFF)
    for network in networks_of(options, networks):
        inner = Inner(
            to=mac(0x30, network.number),
            source=mac(kind, network.number),
            addresses=(subnet + FIRST_HOST, REMOTES + network.number),
            ports=(ports.first, 443),
            writes=(source, host, remote, *ports.writes("UDP.sport"), NUMBER),
        )
        yield from streams(options, network, vxlan(network) if tunnelled else tagged(network.number), inner)


def inward(options: Options, networks: int, ports: Ports, floating: bool) -> Iterator[STLStream]:
    """Answers from the outside, to where ports have been kept."""
    remote = Write(FLOW, "IP.src", skip=2, size=2, mask=0x7FFF)
    for network in networks_of(options, networks):
        writes = (remote, *ports.writes("UDP.dport"), NUMBER)
        to, address = mac(0x31, network.number), EXTERNAL + 2 + network.number
        if floating:
            writes += (Write(FLOW, "IP.dst", skip=2, size=2, mask=0xFFFF, add=FLOATING),)
            address = EXTERNAL + FLOATING + network.number
            # A station of this host is translated by this host.
            to = FLOATING_MAC if options.inside == "vlan" else to
        inner = Inner(to, NEXT_HOP_MAC, (REMOTES + network.number, address), (443, ports.first), writes)
        yield from streams(options, network, Carrier(vlan=EXTERNAL_VLAN), inner)


def routers(options: Options) -> int:
    """How many share the flows, each with a network and an address."""
    networks = max(-(-options.flows // FLOWS_EACH), NETWORKS)
    if networks & (networks - 1):
        raise ValueError(f"{options.flows} flows need {networks} networks: masks know powers of two only")
    return networks


def snat(options: Options) -> Iterator[STLStream]:
    return outward(options, routers(options), DIFFERENT, shared=True)


def snat_return(options: Options) -> Iterator[STLStream]:
    return inward(options, routers(options), DIFFERENT, floating=False)


def with_floating_ips(options: Options) -> Options:
    if options.flows > 65_535 - FLOATING:
        raise ValueError(f"there are no {options.flows} floating IPs")
    return options


def fip(options: Options) -> Iterator[STLStream]:
    return outward(with_floating_ips(options), NETWORKS, BEGINNINGS, shared=False)


def fip_return(options: Options) -> Iterator[STLStream]:
    return inward(with_floating_ips(options), NETWORKS, BEGINNINGS, floating=True)


def new_sessions(options: Options) -> Iterator[STLStream]:
    if options.flows > 1 << 22:
        raise ValueError("of more than 4,194,304 flows the ports of a station go round, and masks do not add")
    return outward(options, NETWORKS, COUNTED, shared=True)
