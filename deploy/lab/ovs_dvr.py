#!/usr/bin/python3 -B
"""A compute host of Open vSwitch, programmed as the Neutron agents do it for distributed routers.

    ovs_dvr.py CLOUD vsctl HOST            one ovs-vsctl command: bridges, patches, tunnels, tags
    ovs_dvr.py CLOUD flows HOST BRIDGE     the flows of br-int, br-tun or br-vlan
    ovs_dvr.py CLOUD qr HOST               the router's interfaces: name, MAC, MTU, addresses with commas
    ovs_dvr.py CLOUD neighbours HOST       ip -batch: the router's permanent neighbours, as the L3 agent enters them

CLOUD is a description as of cloud.py; nothing here knows an address of its own.

The agents' picture (neutron-openvswitch-agent in DVR mode with l2population, and the L3 agent):

    VM ports ─┐ tag = local VLAN                     ┌─ vxlan-<host>, one per other host, key=flow
              ├─ br-int ── patch-tun / patch-int ── br-tun
    qr- ports ┘    └────── int-br-vlan / phy-br-vlan ── br-vlan ── prov0
     └ the namespace "qrouter": forwards, has the gateways' MACs, which are the same on every host

On the way out a frame that a gateway has sent gets the host's own DVR MAC (br-tun and br-vlan, table 1), so that no
switch ever sees one address in two places. On the way in a frame from another host's DVR MAC is not learned (br-tun 9,
br-vlan 3), is for a local port or nobody, and is given the gateway's MAC again (br-int, tables 1 and 2).
"""

import sys
from collections.abc import Iterator

from cloud import link_local, load

VLAN_PRESENT = 0x1000  # in the vlan_vid field of OpenFlow
LEARNED = (  # what br-tun remembers of a frame from a tunnel: its source is reached where it came from
    "learn(table=20,hard_timeout=300,priority=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
    "load:0->NXM_OF_VLAN_TCI[],load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:OXM_OF_IN_PORT[])"
)


class OvsHost:
    def __init__(self, cloud, host):
        self.cloud = cloud
        self.host = host
        self.dvr_mac = cloud.hosts[host]["dvr_mac"]
        self.others = [name for name in cloud.hosts if name != host]
        self.other_macs = [cloud.hosts[name]["dvr_mac"] for name in self.others if "dvr_mac" in cloud.hosts[name]]
        self.vlans = {network: number for number, network in enumerate(cloud.networks, 1)}  # local ones
        self.ports = cloud.ports_of(host=host)
        self.remote = {name: port for name, port in cloud.ports.items() if port["host"] != host}

    def segment(self, network):
        return self.cloud.networks[network]["segment"]

    def set_vlan(self, vlan):
        return f"set_field:{VLAN_PRESENT | vlan}->vlan_vid"

    def tunnels_of(self, network):
        """The tunnels to which a network is flooded: l2population knows who has a port in it."""
        hosts = {port["host"] for port in self.cloud.ports_of(network=network).values()} - {self.host}
        return [f"vxlan-{name}" for name in sorted(hosts)]

    def qr(self, gateway):
        return f"qr-{gateway.network}"

    # ----------------------------------------------------------------------------------- the database

    def vsctl(self):
        """The arguments of one ovs-vsctl command, a word a line."""
        words = []

        def command(text):
            words.extend(["--", *text.split()])

        for bridge in ("br-int", "br-tun", "br-vlan"):
            command(f"--may-exist add-br {bridge}")
            command(f"set bridge {bridge} datapath_type=netdev fail_mode=secure")
        for bridge, port, peer in (
            ("br-int", "patch-tun", "patch-int"), ("br-tun", "patch-int", "patch-tun"),
            ("br-int", "int-br-vlan", "phy-br-vlan"), ("br-vlan", "phy-br-vlan", "int-br-vlan"),
        ):  # fmt: skip
            command(f"--may-exist add-port {bridge} {port}")
            command(f"set interface {port} type=patch options:peer={peer}")
        for other in self.others:
            tunnel = f"vxlan-{other}"
            command(f"--may-exist add-port br-tun {tunnel}")
            command(
                f"set interface {tunnel} type=vxlan options:in_key=flow options:out_key=flow options:df_default=true "
                f"options:local_ip={self.cloud.vtep(self.host)} options:remote_ip={self.cloud.vtep(other)}"
            )
        if any(self.cloud.is_vlan(network) for network in self.vlans):
            command("--may-exist add-port br-vlan prov0")
        tagged = {name: port["network"] for name, port in self.ports.items()}
        tagged |= {self.qr(gateway): gateway.network for gateway in self.cloud.gateways}
        for port, network in tagged.items():
            command(f"--may-exist add-port br-int {port} tag={self.vlans[network]}")
        return words

    # ------------------------------------------------------------------------------------------ br-int

    def br_int(self) -> Iterator[str]:
        yield "table=0,priority=65535,dl_vlan=4095,actions=drop"
        yield "table=0,priority=0,actions=goto_table:58"
        yield from self.from_other_hosts()
        yield from self.from_vms()
        yield from self.to_host_mac()
        # Meters, security groups and the like, which this host has none of.
        yield "table=23,priority=0,actions=drop"
        for table, following in ((30, 58), (31, 58), (58, 59), (59, 60)):
            yield f"table={table},priority=0,actions=goto_table:{following}"
        yield from self.to_vms()
        yield "table=60,priority=1,actions=NORMAL"
        yield "table=62,priority=3,actions=NORMAL"

    def from_other_hosts(self):
        """What comes from a DVR MAC was routed there: only for a local port of a routed network, from its gateway."""
        for mac in self.other_macs:
            yield f"table=0,priority=4,in_port=int-br-vlan,dl_src={mac},actions=goto_table:2"
            yield f"table=0,priority=2,in_port=patch-tun,dl_src={mac},actions=goto_table:1"
        for port in self.ports.values():
            gateway = self.cloud.gateway(port["network"])
            if gateway:
                table, vlan = self.arriving(port["network"])
                yield (
                    f"table={table},priority=20,dl_vlan={vlan},dl_dst={port['mac']},"
                    f"actions=set_field:{gateway.mac}->eth_src,goto_table:58"
                )
        yield "table=1,priority=1,actions=drop"
        yield "table=2,priority=1,actions=drop"
        yield "table=0,priority=2,in_port=int-br-vlan,actions=drop"
        for network, vlan in self.vlans.items():
            if self.cloud.is_vlan(network):
                wire = self.segment(network)["vlan"]
                yield (
                    f"table=0,priority=3,in_port=int-br-vlan,dl_vlan={wire},"
                    f"actions={self.set_vlan(vlan)},goto_table:58"
                )

    def arriving(self, network):
        """Table and VLAN in which routed frames of that network arrive: provider VLANs are not yet translated."""
        if self.cloud.is_vlan(network):
            return 2, self.segment(network)["vlan"]
        return 1, self.vlans[network]

    def from_vms(self):
        """Spoofing: ARP and neighbour advertisements by their addresses (24), everything by its source MAC (25)."""
        for name, port in self.ports.items():
            yield f"table=0,priority=10,icmp6,in_port={name},icmp_type=136,actions=goto_table:24"
            yield f"table=0,priority=10,arp,in_port={name},actions=goto_table:24"
            yield f"table=0,priority=9,in_port={name},actions=goto_table:25"
            for address in [*port["addresses"], link_local(port["mac"])]:
                if ":" in address:
                    yield f"table=24,priority=2,icmp6,in_port={name},icmp_type=136,nd_target={address},actions=goto_table:58"
                else:
                    yield f"table=24,priority=2,arp,in_port={name},arp_spa={address},actions=goto_table:25"
            yield f"table=25,priority=2,in_port={name},dl_src={port['mac']},actions=goto_table:30"
        yield "table=24,priority=0,actions=drop"

    def to_host_mac(self):
        """Answers to our DVR MAC are for the gateway that asked."""
        for in_port, table in (("int-br-vlan", 4), ("patch-tun", 3)):
            yield f"table=0,priority=5,in_port={in_port},dl_dst={self.dvr_mac},actions=goto_table:{table}"
        for gateway in self.cloud.gateways:
            yield (
                f"table=0,priority=99,arp,dl_dst={self.dvr_mac},arp_op=2,arp_tha={gateway.mac},"
                f"actions=set_field:{gateway.mac}->eth_dst,goto_table:58"
            )
            table = 4 if self.cloud.is_vlan(gateway.network) else 3
            yield (
                f"table={table},priority=5,dl_vlan={self.vlans[gateway.network]},dl_dst={self.dvr_mac},"
                f"actions=set_field:{gateway.mac}->eth_dst,pop_vlan,output:{self.qr(gateway)}"
            )

    def to_vms(self):
        for name, port in self.ports.items():
            _, vlan = self.arriving(port["network"])
            yield f"table=60,priority=20,dl_vlan={vlan},dl_dst={port['mac']},actions=pop_vlan,output:{name}"

    # ------------------------------------------------------------------------------------------ br-tun

    def br_tun(self) -> Iterator[str]:
        yield "table=0,priority=1,in_port=patch-int,actions=goto_table:1"
        for other in self.others:
            yield f"table=0,priority=1,in_port=vxlan-{other},actions=goto_table:4"
        yield "table=0,priority=0,actions=drop"
        yield from self.confine(tunnel=True)
        yield "table=1,priority=0,actions=goto_table:2"
        yield "table=2,priority=1,arp,dl_dst=ff:ff:ff:ff:ff:ff,actions=goto_table:21"
        yield "table=2,priority=0,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00,actions=goto_table:20"
        yield "table=2,priority=0,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=goto_table:22"
        for table in (3, 4, 6):
            yield f"table={table},priority=0,actions=drop"
        yield from self.from_tunnel()
        yield from self.to_tunnel()

    def confine(self, tunnel):
        """Gateways stay on their host: nothing for them goes out, and what they send gets this host's MAC."""
        for gateway in self.cloud.gateways:
            if self.cloud.is_vlan(gateway.network) == tunnel:
                continue
            vlan = self.vlans[gateway.network]
            yield f"table=1,priority=3,icmp6,dl_vlan={vlan},icmp_type=134,dl_src={gateway.mac},actions=drop"
            yield f"table=1,priority=2,dl_vlan={vlan},dl_dst={gateway.mac},actions=drop"
            yield (
                f"table=1,priority=1,dl_vlan={vlan},dl_src={gateway.mac},"
                f"actions=set_field:{self.dvr_mac}->eth_src,goto_table:2"
            )
            for interface in gateway.interfaces:
                if interface.version == 4:
                    # On a provider bridge nothing leads to table 22, so there the gateway's ARP leaks: as it does in
                    # a cloud of Neutron's.
                    yield f"table=22,priority=3,arp,dl_vlan={vlan},arp_tpa={interface.ip},actions=drop"

    def from_tunnel(self):
        for network, vlan in self.vlans.items():
            if not self.cloud.is_vlan(network):
                vni = self.segment(network)["vni"]
                yield (
                    f"table=4,priority=1,tun_id={vni:#x},"
                    f"actions=push_vlan:0x8100,{self.set_vlan(vlan)},goto_table:9"
                )
        for mac in self.other_macs:
            yield f"table=9,priority=1,dl_src={mac},actions=output:patch-int"
        yield "table=9,priority=0,actions=goto_table:10"
        for match in (
            "priority=2,arp,arp_tha=ff:ff:ff:ff:ff:ff", "priority=2,icmp6,icmp_type=134",
            "priority=2,icmp6,icmp_type=136", "priority=1",
        ):  # fmt: skip
            yield f"table=10,{match},actions={LEARNED},output:patch-int"

    def to_tunnel(self):
        """l2population: where each remote port is (20), an answer to ARP for it (21), whom to flood to (22)."""
        for table in (20, 21):
            yield f"table={table},priority=0,actions=goto_table:22"
        yield "table=22,priority=0,actions=drop"
        for port in self.remote.values():
            if self.cloud.is_vlan(port["network"]):
                continue
            vlan, mac = self.vlans[port["network"]], port["mac"]
            key = f"set_field:{self.segment(port['network'])['vni']:#x}->tun_id"
            yield f"table=20,priority=2,dl_vlan={vlan},dl_dst={mac},actions=pop_vlan,{key},output:vxlan-{port['host']}"
            for address in port["addresses"]:
                if ":" not in address:
                    yield f"table=21,priority=1,arp,dl_vlan={vlan},arp_tpa={address},actions={arp_answer(mac, address)}"
        for network, vlan in self.vlans.items():
            tunnels = self.tunnels_of(network)
            if not self.cloud.is_vlan(network) and tunnels:
                key = f"set_field:{self.segment(network)['vni']:#x}->tun_id"
                outputs = ",".join(f"output:{tunnel}" for tunnel in tunnels)
                yield f"table=22,priority=1,dl_vlan={vlan},actions=pop_vlan,{key},{outputs}"

    # ----------------------------------------------------------------------------------------- br-vlan

    def br_vlan(self) -> Iterator[str]:
        yield "table=0,priority=2,in_port=phy-br-vlan,actions=goto_table:1"
        yield "table=0,priority=1,actions=goto_table:3"
        yield "table=0,priority=0,actions=NORMAL"
        yield from self.confine(tunnel=False)
        yield "table=1,priority=0,actions=goto_table:2"
        for network, vlan in self.vlans.items():
            if self.cloud.is_vlan(network):
                wire = self.segment(network)["vlan"]
                yield f"table=2,priority=4,in_port=phy-br-vlan,dl_vlan={vlan},actions={self.set_vlan(wire)},NORMAL"
        yield "table=2,priority=2,in_port=phy-br-vlan,actions=drop"
        for mac in self.other_macs:
            yield f"table=3,priority=2,dl_src={mac},actions=output:phy-br-vlan"
        yield "table=3,priority=1,actions=NORMAL"

    # -------------------------------------------------------------------------------------- the router

    def qr_interfaces(self):
        for gateway in self.cloud.gateways:
            mtu = self.cloud.networks[gateway.network]["mtu"]
            yield f"{self.qr(gateway)} {gateway.mac} {mtu} {','.join(map(str, gateway.interfaces))}"

    def neighbours(self):
        for gateway in self.cloud.gateways:
            for port in self.cloud.ports_of(network=gateway.network).values():
                for address in port["addresses"]:
                    yield f"neigh replace {address} lladdr {port['mac']} nud permanent dev {self.qr(gateway)}"


def arp_answer(mac, address):
    """Makes an ARP request the answer to itself, and sends it back."""
    return (
        "set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],"
        f"set_field:{mac}->arp_sha,set_field:{address}->arp_spa,"
        f"move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:{mac}->eth_src,IN_PORT"
    )


def main():
    known = {"vsctl": 0, "flows": 1, "qr": 0, "neighbours": 0}
    if len(sys.argv) < 4 or known.get(sys.argv[2]) != len(sys.argv) - 4:
        sys.exit(__doc__)
    host = OvsHost(load(sys.argv[1]), sys.argv[3])
    bridges = {"br-int": host.br_int, "br-tun": host.br_tun, "br-vlan": host.br_vlan}
    lines = {
        "vsctl": host.vsctl,
        "flows": lambda: bridges[sys.argv[4]](),
        "qr": host.qr_interfaces,
        "neighbours": host.neighbours,
    }[sys.argv[2]]
    print(*lines(), sep="\n")


if __name__ == "__main__":
    main()
