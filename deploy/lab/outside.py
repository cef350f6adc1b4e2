"""Who may speak on a cloud's external networks, and as whom: what translation must make of what is inside."""

import ipaddress
from dataclasses import dataclass, field


@dataclass
class Speaker:
    """A MAC address of a vtepd's on an external network, and what it may speak for."""

    mac: str
    host: str
    hops: tuple  # what a packet from a station inside may have lost of its TTL
    names: dict = field(default_factory=dict)  # address → what has it: a router, a floating IP, or nothing for its own


def address(text):
    return ipaddress.ip_interface(text).ip


class Outside:
    """An external network of a cloud."""

    def __init__(self, cloud, network):
        self.cloud = cloud
        self.routers = {
            name: router
            for name, router in cloud.document.get("routers", {}).items()
            if router.get("external_gateway", {}).get("network") == network
        }
        self.speakers = {}
        self.floating_gateways = {}  # of each host
        self.untranslated = []  # destinations for which what is inside goes out as it is
        self.scopes = []  # what is inside and goes out as it is
        for name, router in self.routers.items():
            gateway = router["external_gateway"]
            self.untranslated += map(ipaddress.ip_network, gateway.get("exempt", []))
            if gateway.get("snat", True):
                self.scopes += map(ipaddress.ip_network, gateway.get("same_scope", []))
            else:
                self.scopes += [i.network for g in cloud.gateways if g.router == name for i in g.interfaces if i.version == 4]
            # A distributed router is passed twice on the way to its central gateway, and once where the host has one itself.
            hops = (1, 2) if router.get("distributed", True) else (1,)
            for own in gateway["gateways"]:
                host = own.get("host", router.get("host"))
                speaker = self.speaker(own["mac"], host, hops)
                speaker.names |= {address(a): name for a in own["addresses"]}
        for own in cloud.networks[network]["external"].get("floating_ip_gateways", []):
            speaker = self.floating_gateways[own["host"]] = self.speaker(own["mac"], own["host"], ())
            if "address" in own:
                speaker.names[address(own["address"])] = None
        self.inside = [
            i.network for g in cloud.gateways if g.router in self.routers for i in g.interfaces if i.version == 4
        ]
        for name, floating in cloud.document.get("floating-ips", {}).items():
            if floating["network"] == network:
                self.floating(name, floating)

    def speaker(self, mac, host, hops):
        return self.speakers.setdefault(mac, Speaker(mac, host, hops))

    def floating(self, name, floating):
        port = self.cloud.ports.get(floating.get("port"))
        if not (port or "fixed_address" in floating or "forwardings" in floating):
            return  # nobody answers for it
        router = floating.get("router") or next(
            g.router for g in self.cloud.gateways if port and g.network == port["network"] and g.router in self.routers
        )
        spread = self.routers[router].get("distributed", True) and port and "forwardings" not in floating
        gateway = self.routers[router]["external_gateway"]
        if floating.get("distributed", bool(spread)):
            speaker = self.floating_gateways[port["host"]]
            speaker.hops = (gateway.get("floating_ip_hops", 2),)
        else:
            speaker = self.speakers[gateway["gateways"][0]["mac"]]
        speaker.names[address(floating["address"])] = name

    def is_inside(self, which):
        return any(which in subnet for subnet in self.inside)

    def goes_as_it_is(self, source, destination):
        """True if it is no fault that a packet goes out with an inside source."""
        return any(destination in net for net in self.untranslated) or any(source in net for net in self.scopes)
