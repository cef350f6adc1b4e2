//! What a translator knows of a TCP connection (RFC 5382, 5; RFC 6146, 3.5.2; RFC 7857, 2).
//!
//! ```text
//!   SYN out ─► Opening ─┐                      ┌─ FIN of one side ─► HalfClosed ─ FIN of the other ─► Closed
//!   SYN in ─► Answering ┴─ SYN of the other ─► Established ─ RST ─► Reset ─ any other segment ─► Established
//! ```
//!
//! Only flags are looked at: a translator does not see all segments (they may take another
//! way, or be lost behind it), so sequence numbers would refuse what is valid. What a forged RST
//! can do is therefore little: the session ends 240 s later, unless the connection goes on.

use vtepd_wire::tcp::{ACK, FIN, RST, SYN};

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From inside to outside.
    Outbound,
    /// From outside to inside.
    Inbound,
}

/// Where a session is in its life; those of UDP and ICMP are either [`Open`](State::Open) or gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum State {
    /// No session.
    #[default]
    Vacant,
    /// UDP or ICMP.
    Open,
    /// TCP: a SYN from inside, unanswered.
    Opening,
    /// TCP: a SYN from outside, unanswered.
    Answering,
    /// TCP: SYNs have been seen from both sides.
    Established,
    /// TCP: established, and the inside has sent its FIN.
    ClosedInside,
    /// TCP: established, and the outside has sent its FIN.
    ClosedOutside,
    /// TCP: FINs from both sides.
    Closed,
    /// TCP: reset by either side.
    Reset,
}

impl State {
    /// The state of a new connection; `None` when this segment does not begin one: no session is made for what
    /// comes in the middle of a stream, since it would not be known to whom it belongs.
    pub(crate) fn opened_by(flags: u8, direction: Direction) -> Option<Self> {
        if flags & (SYN | ACK | RST | FIN) != SYN {
            return None;
        }
        Some(match direction {
            Direction::Outbound => Self::Opening,
            Direction::Inbound => Self::Answering,
        })
    }

    /// After a segment.
    #[inline(always)]
    pub(crate) fn after(self, flags: u8, direction: Direction) -> Self {
        // The usual segment changes nothing.
        if self == Self::Established && flags & (RST | FIN) == 0 {
            return self;
        }
        self.changed(flags, direction)
    }

    fn changed(self, flags: u8, direction: Direction) -> Self {
        use Direction::{Inbound, Outbound};
        let opens = flags & (SYN | ACK | RST | FIN) == SYN;
        if flags & RST != 0 {
            return match self {
                // A host that refuses: the other side may try again on the same session.
                Self::Opening | Self::Answering | Self::Closed => self,
                _ => Self::Reset,
            };
        }
        match (self, direction) {
            // The port is used again, soon after (RFC 9293, 3.6.1; RFC 6191).
            (Self::Closed | Self::Reset, Outbound) if opens => Self::Opening,
            (Self::Closed | Self::Reset, Inbound) if opens => Self::Answering,
            (Self::Reset, _) => Self::Established,
            // The answer, or the SYN of the other end of a simultaneous open.
            (Self::Opening, Inbound) | (Self::Answering, Outbound) if flags & SYN != 0 => {
                Self::Established
            }
            (Self::Established | Self::ClosedInside, Outbound) if flags & FIN != 0 => {
                Self::ClosedInside
            }
            (Self::Established | Self::ClosedOutside, Inbound) if flags & FIN != 0 => {
                Self::ClosedOutside
            }
            (Self::ClosedOutside, Outbound) | (Self::ClosedInside, Inbound) if flags & FIN != 0 => {
                Self::Closed
            }
            _ => self,
        }
    }

    /// Does it last as an established connection? Half closed ones do (RFC 5382, REQ-5; RFC 6146, 3.5.2.2).
    pub(crate) const fn is_established(self) -> bool {
        matches!(
            self,
            Self::Established | Self::ClosedInside | Self::ClosedOutside
        )
    }

    /// For the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vacant => "vacant",
            Self::Open => "open",
            Self::Opening => "opening",
            Self::Answering => "answering",
            Self::Established => "established",
            Self::ClosedInside => "closed-inside",
            Self::ClosedOutside => "closed-outside",
            Self::Closed => "closed",
            Self::Reset => "reset",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{Inbound, Outbound};
    use super::*;

    fn follow(segments: &[(u8, Direction)]) -> State {
        let [(flags, direction), rest @ ..] = segments else {
            panic!("no segment");
        };
        let first = State::opened_by(*flags, *direction).expect("opens");
        rest.iter().fold(first, |state, (flags, direction)| {
            state.after(*flags, *direction)
        })
    }

    const OPEN: [(u8, Direction); 3] = [(SYN, Outbound), (SYN | ACK, Inbound), (ACK, Outbound)];

    #[test]
    fn rfc5382_req2_handshakes_and_simultaneous_open() {
        assert_eq!(follow(&OPEN[..1]), State::Opening);
        assert_eq!(follow(&OPEN), State::Established);
        assert_eq!(
            follow(&[(SYN, Outbound), (SYN, Inbound)]),
            State::Established
        );
        assert_eq!(
            follow(&[(SYN, Inbound), (SYN | ACK, Outbound)]),
            State::Established
        );
        // Repeated by its sender, it is still unanswered.
        assert_eq!(follow(&[(SYN, Outbound), (SYN, Outbound)]), State::Opening);
    }

    #[test]
    fn closing_takes_both_sides() {
        let after = |more: &[(u8, Direction)]| follow(&[&OPEN[..], more].concat());
        assert_eq!(after(&[(FIN | ACK, Outbound)]), State::ClosedInside);
        assert_eq!(after(&[(FIN | ACK, Inbound)]), State::ClosedOutside);
        let both = [(FIN | ACK, Outbound), (ACK, Inbound), (FIN | ACK, Inbound)];
        assert_eq!(after(&both), State::Closed);
        let again = [&both[..], &[(SYN, Outbound)]].concat();
        assert_eq!(after(&again), State::Opening);
        let last_ack = [&both[..], &[(ACK, Outbound)]].concat();
        assert_eq!(after(&last_ack), State::Closed);
    }

    #[test]
    fn rfc7857_reset_shortens_and_what_goes_on_restores() {
        let after = |more: &[(u8, Direction)]| follow(&[&OPEN[..], more].concat());
        assert_eq!(after(&[(RST, Inbound)]), State::Reset);
        assert!(!State::Reset.is_established());
        assert_eq!(
            after(&[(RST, Inbound), (ACK, Outbound)]),
            State::Established
        );
        assert_eq!(
            after(&[(RST, Inbound), (RST, Outbound), (SYN, Outbound)]),
            State::Opening
        );
    }

    #[test]
    fn only_a_syn_opens() {
        for flags in [ACK, SYN | ACK, RST, FIN, SYN | FIN, SYN | RST, 0, 0xff] {
            assert_eq!(State::opened_by(flags, Outbound), None, "{flags:#x}");
        }
        // ECN set-up and reserved bits do not matter (RFC 3168).
        assert_eq!(
            State::opened_by(SYN | 0xc0, Inbound),
            Some(State::Answering)
        );
    }
}
