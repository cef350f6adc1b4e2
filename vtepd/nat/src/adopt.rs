//! Sessions of another translator, entered as it has them: for a translator that shall say what would become of a packet
//! without being asked by one.

use crate::key::{Endpoint, InsideKey};
use crate::listing::SessionRow;
use crate::mapping::Mapping;
use crate::translator::Translator;
use vtepd_tables::translation::Rules;

impl Translator {
    /// Enters a session as the row of another translator has it, by the rules of its router, whose pool must be open. `false`
    /// when it has no place here: its outside address is none of the rules', its port another worker's, or a table is full.
    ///
    /// Of a port that serves several hosts it is not told whose it is: the first one that is adopted has it.
    pub fn adopt(&mut self, rules: &Rules, row: &SessionRow, now: u32) -> bool {
        let Some(pool) = rules.pool_at(row.outside.ip().to_bits()) else {
            return false;
        };
        let end =
            |socket: core::net::SocketAddrV4| Endpoint::new(socket.ip().to_bits(), socket.port());
        let (protocol, inside, port) = (row.protocol, end(row.inside), row.outside.port());
        let router = rules.router().get();
        let key = InsideKey::new(router, protocol, inside, end(row.remote));
        let hash = self.sessions.hash_inside(key);
        if self.live_inside(key, hash, now).is_some() || !self.pools.is_open(pool) {
            return false;
        }
        let known = self.mappings.find_outside(pool, protocol, port);
        let mapping = known.or_else(|| {
            if !self.ports.take(pool, protocol, port) {
                return None;
            }
            let mapping = Mapping::new(router, protocol, inside, pool, port);
            let number = self.mappings.insert(mapping, now)?;
            if let Some(pool) = self.pools.get_mut(pool) {
                pool.mappings += 1;
            }
            Some(number)
        });
        let seen = now.saturating_sub(row.idle);
        mapping.is_some_and(|mapping| {
            self.enter(rules, key, mapping, row.state, seen, now)
                .is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, SocketAddrV4};
    use core::ops::ControlFlow;

    use vtepd_tables::VrfIndex;
    use vtepd_tables::translation::{
        Description, OutsideAddress, PoolIndex, Protocol, SubscriberIndex,
    };
    use vtepd_wire::hash::KeyedHash;

    use super::*;
    use crate::{Capacity, PoolOwner, SessionFilter, Settings, Slices, State};

    #[test]
    fn a_session_is_as_the_other_one_has_it() {
        let router = VrfIndex::new(1).unwrap();
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let outside = OutsideAddress {
            address,
            pool: PoolIndex(3),
        };
        let description = Description {
            outside: vec![outside],
            ..Description::default()
        };
        let rules = Rules::new(router, &description).unwrap();
        let hash = KeyedHash::new(1, 2);
        let capacity = Capacity {
            sessions: 16,
            pools: 4,
            ..Capacity::default()
        };
        let slices = Slices::alone(hash);
        let mut translator = Translator::new(capacity, Settings::default(), slices, hash, 100);
        let end = |text: &str| text.parse::<SocketAddrV4>().unwrap();
        let row = SessionRow {
            router: 1,
            protocol: Protocol::Tcp,
            inside: end("10.0.0.5:40000"),
            outside: end("192.0.2.1:51000"),
            remote: end("198.51.100.7:443"),
            state: State::Established,
            idle: 60,
            expires_in: 7380,
            borrowed: false,
        };
        assert!(!translator.adopt(&rules, &row, 100), "no such pool yet");
        let owner = PoolOwner {
            router,
            subscriber: SubscriberIndex(0),
            address,
        };
        translator.open_pool(PoolIndex(3), owner).unwrap();
        assert!(translator.adopt(&rules, &row, 100));
        assert!(!translator.adopt(&rules, &row, 100), "it is here already");
        // The same host to somebody else: by the same port.
        let other = SessionRow {
            remote: end("198.51.100.8:443"),
            ..row
        };
        assert!(translator.adopt(&rules, &other, 100));
        let mut rows = Vec::new();
        let all = SessionFilter::default();
        translator.list_sessions(&all, 0, 16, 100, |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        assert_eq!(rows, [row, other]);
        assert_eq!(translator.usage().mappings.used, 1);
        let elsewhere = SessionRow {
            outside: end("192.0.2.2:51000"),
            ..row
        };
        assert!(!translator.adopt(&rules, &elsewhere, 100));
        assert_eq!(translator.audit(), Ok(()));
    }
}
