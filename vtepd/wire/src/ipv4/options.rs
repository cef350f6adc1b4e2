//! The options of a header, as a router must look at them.

use super::Header;

/// Option: nothing follows.
const END: u8 = 0;
/// Option: padding.
const NO_OPERATION: u8 = 1;
/// Option: the sender names routers on the way.
const LOOSE_SOURCE_ROUTE: u8 = 131;
/// Option: the sender names all routers on the way.
const STRICT_SOURCE_ROUTE: u8 = 137;
/// The bit of an option's kind that has it copied to every fragment (RFC 791, 3.1).
const COPIED: u8 = 0x80;

/// One option, padding left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpOption<'a> {
    /// Its type byte: copied flag, class and number.
    pub kind: u8,
    /// All of it, the type and length bytes included.
    pub bytes: &'a [u8],
}

impl IpOption<'_> {
    /// Is it in every fragment, or only in the first?
    #[inline]
    #[must_use]
    pub const fn is_copied(&self) -> bool {
        self.kind & COPIED != 0
    }

    /// Loose or strict source route.
    #[inline]
    #[must_use]
    pub const fn is_source_route(&self) -> bool {
        matches!(self.kind, LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE)
    }
}

/// An option whose length is below two or reaches past the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadOption {
    /// Where it lies, in bytes from the beginning of the IP header: the pointer of a parameter
    /// problem (RFC 792; RFC 1812, 4.3.3.5).
    pub pointer: u8,
}

/// Options one after another, padding left out; ends after the first error.
#[derive(Clone, Debug)]
pub struct IpOptions<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> IpOptions<'a> {
    /// `bytes` is what [`super::options`] gives: all between the fixed part and the payload.
    #[inline]
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl<'a> Iterator for IpOptions<'a> {
    type Item = Result<IpOption<'a>, BadOption>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            match rest {
                [] | [END, ..] => return None,
                [NO_OPERATION, ..] => self.at += 1,
                [kind, after @ ..] => {
                    let length = after.first().map_or(0, |length| usize::from(*length));
                    let Some(bytes) = rest.get(..length).filter(|_| length >= 2) else {
                        let pointer = (Header::LEN + self.at) as u8;
                        self.at = self.bytes.len();
                        return Some(Err(BadOption { pointer }));
                    };
                    self.at += length;
                    return Some(Ok(IpOption { kind: *kind, bytes }));
                }
            }
        }
    }
}

/// Do these options hold a source route? By default such packets are dropped (RFC 7126, 4.3 and 4.4): they
/// go where the sender says, around the policy of whoever owns the network.
///
/// # Errors
/// The first option that is malformed, wherever the source route is.
#[inline]
pub fn has_source_route(options: &[u8]) -> Result<bool, BadOption> {
    IpOptions::new(options).try_fold(false, |found, option| Ok(found | option?.is_source_route()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7126_source_routes_are_found_behind_other_options() {
        let record_route = [7, 7, 4, 0, 0, 0, 0];
        let loose = [1, 131, 7, 4, 192, 0, 2, 1];
        assert_eq!(has_source_route(&[]), Ok(false));
        assert_eq!(has_source_route(&record_route), Ok(false));
        assert_eq!(has_source_route(&loose), Ok(true));
        assert_eq!(
            has_source_route(&[&record_route[..], &[137, 3, 4]].concat()),
            Ok(true)
        );
        // Behind the end there is only padding.
        assert_eq!(has_source_route(&[0, 131, 3, 4]), Ok(false));
    }

    #[test]
    fn rfc1812_section_4_3_3_5_bad_options_are_pointed_at() {
        let bad = |options: &[u8]| has_source_route(options).unwrap_err().pointer;
        assert_eq!(bad(&[7, 0, 0, 0]), 20, "length 0");
        assert_eq!(bad(&[1, 7, 1, 0]), 21, "length 1");
        assert_eq!(bad(&[1, 1, 1, 7]), 23, "no length");
        assert_eq!(bad(&[148, 4, 0, 0, 131, 5, 4, 0]), 24, "past the header");
        let mut walk = IpOptions::new(&[148, 4, 0, 0, 131, 5, 4, 0]);
        assert!(walk.next().unwrap().unwrap().is_copied());
        assert!(walk.next().unwrap().is_err());
        assert_eq!(walk.next(), None);
    }
}
