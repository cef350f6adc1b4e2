"""Tagged frames of the access port, to stations behind VTEPs."""

from vtepd_profile import Profile


def register() -> Profile:
    return Profile("encap")
