//! Frames: their bytes, their segments, and who may write.

mod common;

use common::{bytes, eal, frame, pool};
use dpdk_ffi::{HEADROOM, Mbuf, Pool, PoolConfig, PoolError, RxChecksum, TxChecksum, TxL4};
use proptest::prelude::*;

fn numbers(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

/// A frame of several segments that shares nothing: 64 bytes in each, since the pool has no more
/// room.
fn chained(name: &str, content: &[u8]) -> (Pool, Mbuf) {
    let config = PoolConfig {
        mbufs: 255,
        cache: 0,
        data_room: HEADROOM + 64,
        ..PoolConfig::default()
    };
    let small = Pool::create(eal(), name, config).expect("a pool");
    let large = pool(&format!("{name}_large"));
    let mbuf = frame(&large, content).copy(&small).expect("enough mbufs");
    (small, mbuf)
}

#[test]
fn bytes_go_on_and_off_at_both_ends() {
    let pool = pool("ends");
    let mut mbuf = frame(&pool, b"payload");
    assert_eq!(mbuf.headroom(), usize::from(HEADROOM));
    mbuf.prepend(6)
        .expect("headroom")
        .copy_from_slice(b"header");
    mbuf.append(3).expect("tailroom").copy_from_slice(b"end");
    assert_eq!(mbuf.data(), b"headerpayloadend");
    assert!(mbuf.strip_front(6));
    assert!(mbuf.trim_to(7));
    assert_eq!((mbuf.data(), mbuf.frame_len()), (&b"payload"[..], 7));
    assert!(
        !mbuf.strip_front(8) && !mbuf.trim_to(8),
        "no longer than it is"
    );
    assert!(mbuf.prepend(usize::from(HEADROOM) + 1).is_none());
    let room = mbuf.tailroom();
    assert!(mbuf.append(room + 1).is_none());
    assert_eq!(mbuf.append(room).expect("all of it").len(), room);
    assert_eq!(mbuf.frame_len(), 7 + room);
    assert_eq!(
        mbuf.prepend(usize::from(HEADROOM))
            .expect("all of it")
            .len(),
        128
    );
    drop(mbuf);
    assert_eq!(pool.available(), pool.capacity());
}

#[test]
fn an_empty_pool_gives_none_and_fills_up_again() {
    let pool = pool("exhausted");
    let all: Vec<Mbuf> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!(all.len(), 1023);
    assert_eq!((pool.available(), pool.in_use()), (0, 1023));
    drop(all);
    assert_eq!((pool.available(), pool.in_use()), (1023, 0));
}

#[test]
fn a_pool_that_cannot_be_is_refused_by_name() {
    let create = |config| Pool::create(eal(), "odd", config).err().expect("refused");
    let error = create(PoolConfig {
        mbufs: 63,
        cache: 64,
        ..PoolConfig::default()
    });
    assert!(
        matches!(error, PoolError::Cache { most: 42, .. }),
        "{error}"
    );
    let error = create(PoolConfig {
        data_room: HEADROOM,
        ..PoolConfig::default()
    });
    assert!(matches!(error, PoolError::DataRoom { .. }), "{error}");
    let error = create(PoolConfig {
        mbufs: 4_000_000,
        ..PoolConfig::default()
    });
    assert!(
        error.to_string().contains("`odd`") && error.to_string().contains("memory"),
        "{error}"
    );
    let _first = pool("twice");
    let error = Pool::create(
        eal(),
        "twice",
        PoolConfig {
            mbufs: 7,
            cache: 0,
            ..PoolConfig::default()
        },
    );
    assert!(error.err().expect("taken").to_string().contains("exists"));
}

#[test]
fn a_replica_has_its_own_header_and_shares_the_rest() {
    let pool = pool("replica");
    let content = numbers(1000);
    let mut original = frame(&pool, &content);
    let mut replica = original.replicate(&pool, 50).expect("two mbufs");
    assert_eq!((bytes(&replica), replica.segments()), (content.clone(), 2));
    assert_eq!(replica.data().len(), 50);
    assert_eq!(replica.headroom(), usize::from(HEADROOM));
    assert_eq!(pool.in_use(), 3);

    replica.data_mut().expect("its own")[..4].copy_from_slice(&[255; 4]);
    replica.prepend(50).expect("full headroom").fill(7);
    assert_eq!(
        bytes(&original),
        content,
        "the original has other bytes there"
    );

    assert!(replica.is_shared() && original.is_shared());
    assert!(replica.segment_data_mut(1).is_none(), "shared");
    assert!(
        replica.append(1).is_none(),
        "the tailroom is the original's"
    );
    assert!(original.data_mut().is_none() && original.prepend(1).is_none());
    assert!(original.append(1).is_none());
    drop(replica);
    assert!(!original.is_shared());
    original.data_mut().expect("alone again").fill(1);
    drop(original);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn replicas_outlive_the_original_and_each_other() {
    let pool = pool("outlive");
    let content = numbers(500);
    let original = frame(&pool, &content);
    let mut replicas: Vec<Mbuf> = (0..64)
        .map(|_| original.replicate(&pool, 14).expect("two mbufs each"))
        .collect();
    drop(original);
    while let Some(replica) = replicas.pop() {
        assert_eq!(bytes(&replica), content);
        // A replica of a replica shares the same bytes, by one more reference.
        let mut again = replica.replicate(&pool, 100).expect("three mbufs");
        assert_eq!((bytes(&again), again.segments()), (content.clone(), 2));
        drop(replica);
        assert_eq!(bytes(&again), content);
        assert!(
            again.segment_data_mut(1).is_none(),
            "the other replicas read it"
        );
    }
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_replica_can_be_all_header_or_none() {
    let pool = pool("bounds");
    let original = frame(&pool, b"short");
    for private in [5, 6, 2000] {
        let replica = original.replicate(&pool, private).expect("one mbuf");
        assert_eq!(
            (bytes(&replica), replica.segments()),
            (b"short".to_vec(), 1)
        );
        assert!(!replica.is_shared());
    }
    let replica = original.replicate(&pool, 0).expect("two mbufs");
    assert_eq!(
        (bytes(&replica), replica.data().len()),
        (b"short".to_vec(), 0)
    );
    drop((replica, original));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn replicating_without_mbufs_leaves_nothing_behind() {
    let pool = pool("scarce");
    let original = frame(&pool, &numbers(300));
    let mut rest: Vec<Mbuf> = std::iter::from_fn(|| pool.alloc()).collect();
    assert!(original.replicate(&pool, 50).is_none(), "no header");
    rest.pop();
    assert!(
        original.replicate(&pool, 50).is_none(),
        "a header, but nothing to share by"
    );
    assert_eq!(pool.available(), 1);
    assert!(!original.is_shared());
    assert!(original.copy(&pool).is_some());
    assert!(frame(&pool, &numbers(300)).replicate(&pool, 4000).is_none());
}

#[test]
fn segments_are_stripped_trimmed_and_joined() {
    let content = numbers(300);
    let (small, mut mbuf) = chained("segments", &content);
    assert_eq!((mbuf.segments(), small.in_use()), (5, 5));
    assert!(mbuf.strip_front(64), "exactly the first segment");
    assert_eq!((bytes(&mbuf), mbuf.segments()), (content[64..].to_vec(), 4));
    assert!(mbuf.strip_front(70), "into the third");
    assert_eq!(
        (bytes(&mbuf), mbuf.segments()),
        (content[134..].to_vec(), 3)
    );
    assert!(mbuf.trim_to(60));
    assert_eq!(
        (bytes(&mbuf), mbuf.segments()),
        (content[134..194].to_vec(), 2)
    );
    assert_eq!(small.in_use(), 2, "what was cut off is free");
    assert!(mbuf.trim_to(58), "exactly the first segment");
    assert_eq!((mbuf.segments(), mbuf.data()), (1, &content[134..192]));
    assert!(mbuf.strip_front(58), "down to nothing");
    assert_eq!((mbuf.frame_len(), mbuf.segments()), (0, 1));
    drop(mbuf);
    assert_eq!(small.in_use(), 0);
}

#[test]
fn linearize_needs_room_and_an_unshared_first_segment() {
    let large = pool("linear_large2");
    let content = numbers(300);
    let (small, mut mbuf) = chained("linear", &content);
    assert!(!mbuf.linearize(), "a small buffer");
    assert_eq!(bytes(&mbuf), content);
    assert_eq!(mbuf.copy(&large).expect("one mbuf").data(), content);

    let mut replica = frame(&large, &content)
        .replicate(&large, 20)
        .expect("two mbufs");
    assert!(replica.linearize());
    assert_eq!((replica.segments(), replica.data()), (1, &content[..]));
    assert!(!replica.is_shared(), "its own bytes now");

    let mut sharing = frame(&large, &content)
        .replicate(&large, 20)
        .expect("two mbufs");
    let other = sharing.replicate(&large, 0).expect("three mbufs");
    assert!(!sharing.linearize(), "the other reads the first segment");
    drop(other);
    assert!(sharing.linearize());
    drop((replica, sharing, mbuf));
    assert_eq!((small.in_use(), large.in_use()), (0, 0));
}

#[test]
fn pull_up_brings_headers_into_the_first_segment() {
    let large = pool("pull_up");
    let content = numbers(300);
    let mut mbuf = frame(&large, &content)
        .replicate(&large, 10)
        .expect("two mbufs");
    assert!(mbuf.pull_up(10) && mbuf.data().len() == 10, "it has those");
    assert!(mbuf.pull_up(60));
    assert_eq!((mbuf.data(), mbuf.segments()), (&content[..60], 2));
    assert_eq!(bytes(&mbuf), content);
    assert!(mbuf.pull_up(9000), "at most what there is");
    assert_eq!((mbuf.data(), mbuf.segments()), (&content[..], 1));

    let (small, mut chain) = chained("pull_up_small", &content);
    assert!(!chain.pull_up(65), "no tailroom");
    assert!(
        chain.strip_front(30) && !chain.pull_up(35),
        "which is after the data only"
    );
    drop((mbuf, chain));
    assert_eq!((small.in_use(), large.in_use()), (0, 0));
}

#[test]
fn a_copy_shares_nothing() {
    let pool = pool("copy");
    let content = numbers(700);
    let original = frame(&pool, &content);
    let mut copy = original.copy(&pool).expect("one mbuf");
    copy.data_mut().expect("its own").fill(0);
    assert_eq!(bytes(&original), content);
    assert_eq!(copy.headroom(), usize::from(HEADROOM));
}

#[test]
fn offloads_are_asked_for_and_forgotten_but_sharing_is_not() {
    let pool = pool("offloads");
    let mut mbuf = frame(&pool, &numbers(100));
    assert_eq!(
        mbuf.rx_checksum(),
        (RxChecksum::Unknown, RxChecksum::Unknown)
    );
    assert_eq!(
        (mbuf.rx_vlan_stripped(), mbuf.rss_hash(), mbuf.port()),
        (None, None, None)
    );
    let request = TxChecksum {
        l2_len: 14,
        l3_len: 20,
        ipv6: false,
        ip: true,
        l4: Some(TxL4::Udp),
    };
    assert!(!mbuf.set_tx_checksum(TxChecksum {
        l2_len: 128,
        ..request
    }));
    assert!(!mbuf.set_tx_checksum(TxChecksum {
        l3_len: 512,
        ..request
    }));
    assert!(!mbuf.needs_checksum());
    assert!(mbuf.set_tx_checksum(request));
    assert!(mbuf.needs_checksum() && !mbuf.is_merged());
    let mut replica = mbuf.replicate(&pool, 40).expect("two mbufs");
    assert!(replica.needs_checksum(), "it is the same frame");
    replica.clear_offloads();
    assert!(!replica.needs_checksum());

    // With no private bytes of its own but those of an indirect mbuf in front.
    assert!(replica.strip_front(40));
    assert!(replica.data_mut().is_none());
    replica.clear_offloads();
    assert!(replica.data_mut().is_none(), "still shared");
    drop((mbuf, replica));
    assert_eq!(pool.in_use(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Prepend(Vec<u8>),
    Append(Vec<u8>),
    Strip(usize),
    Trim(usize),
    Replicate(usize),
    Copy,
    CopySmall,
    Linearize,
    PullUp(usize),
    Write(usize, u8),
    KeepReplica(usize),
    DropKept,
}

fn step() -> impl Strategy<Value = Step> {
    let some = || proptest::collection::vec(any::<u8>(), 0..80);
    prop_oneof![
        some().prop_map(Step::Prepend),
        some().prop_map(Step::Append),
        (0..200usize).prop_map(Step::Strip),
        (0..600usize).prop_map(Step::Trim),
        (0..200usize).prop_map(Step::Replicate),
        Just(Step::Copy),
        Just(Step::CopySmall),
        Just(Step::Linearize),
        (0..200usize).prop_map(Step::PullUp),
        (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Step::Write(at, value)),
        (0..200usize).prop_map(Step::KeepReplica),
        Just(Step::DropKept),
    ]
}

fn pools() -> &'static (Pool, Pool) {
    static POOLS: std::sync::OnceLock<(Pool, Pool)> = std::sync::OnceLock::new();
    POOLS.get_or_init(|| {
        let config = PoolConfig {
            mbufs: 255,
            cache: 0,
            data_room: HEADROOM + 64,
            ..PoolConfig::default()
        };
        (
            pool("model"),
            Pool::create(eal(), "model_small", config).expect("a pool"),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever is done to a frame, it reads like the same done to a `Vec<u8>`; frames that share
    /// bytes with it keep theirs; and every mbuf comes back.
    #[test]
    fn a_frame_behaves_like_a_vector(content in proptest::collection::vec(any::<u8>(), 0..500),
                                     steps in proptest::collection::vec(step(), 0..40)) {
        let (large, small) = pools();
        let mut mbuf = frame(large, &content);
        let mut model = content;
        let mut kept: Vec<(Mbuf, Vec<u8>)> = Vec::new();
        for step in steps {
            match step {
                Step::Prepend(bytes) => if let Some(room) = mbuf.prepend(bytes.len()) {
                    room.copy_from_slice(&bytes);
                    model.splice(0..0, bytes);
                },
                Step::Append(bytes) => if let Some(room) = mbuf.append(bytes.len()) {
                    room.copy_from_slice(&bytes);
                    model.extend(bytes);
                },
                Step::Strip(count) => {
                    prop_assert_eq!(mbuf.strip_front(count), count <= model.len());
                    if count <= model.len() { model.drain(..count); }
                }
                Step::Trim(length) => {
                    prop_assert_eq!(mbuf.trim_to(length), length <= model.len());
                    model.truncate(length);
                }
                Step::Replicate(private) => if let Some(replica) = mbuf.replicate(large, private) {
                    mbuf = replica;
                },
                Step::Copy => mbuf = mbuf.copy(large).expect("one mbuf"),
                Step::CopySmall => mbuf = mbuf.copy(small).expect("a few mbufs"),
                Step::Linearize => if mbuf.linearize() { prop_assert_eq!(mbuf.segments(), 1) },
                Step::PullUp(length) => if mbuf.pull_up(length) {
                    prop_assert!(mbuf.data().len() >= length.min(model.len()));
                },
                Step::Write(at, value) => if let Some(data) = mbuf.data_mut() && !data.is_empty() {
                    let at = at % data.len();
                    data[at] = value;
                    model[at] = value;
                },
                Step::KeepReplica(private) => if kept.len() < 20 {
                    let replica = mbuf.replicate(large, private).expect("a few mbufs");
                    kept.push((replica, model.clone()));
                },
                Step::DropKept => { kept.pop(); }
            }
            prop_assert_eq!(mbuf.frame_len(), model.len());
            prop_assert_eq!(bytes(&mbuf), &model[..]);
        }
        for (replica, content) in &kept {
            prop_assert_eq!(&bytes(replica), content);
        }
        drop((mbuf, kept));
        prop_assert_eq!((large.in_use(), small.in_use()), (0, 0));
    }
}
