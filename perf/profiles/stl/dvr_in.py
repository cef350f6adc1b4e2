"""What other hosts have routed, from their host MACs, to stations of the access port."""

from vtepd_profile import Profile


def register() -> Profile:
    return Profile("dvr-in")
