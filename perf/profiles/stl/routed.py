"""Tagged frames to a gateway, for stations of another network behind VTEPs."""

from vtepd_profile import Profile


def register() -> Profile:
    return Profile("routed")
