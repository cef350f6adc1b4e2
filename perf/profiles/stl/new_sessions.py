"""Every packet opens a session, as long as flows last."""

from vtepd_profile import Profile


def register() -> Profile:
    return Profile("new-sessions")
