//! Frames by the burst, and from thread to thread.

mod common;

use common::{bytes, eal, frame, pool};
use dpdk_ffi::{Burst, Mbuf, Pool, RingError, Sent, ring};

fn burst_of(pool: &Pool, numbers: std::ops::Range<u32>) -> Burst {
    let mut burst = Burst::new();
    for number in numbers {
        burst
            .push(frame(pool, &number.to_be_bytes()))
            .expect("room");
    }
    burst
}

fn number(mbuf: &Mbuf) -> u32 {
    u32::from_be_bytes(bytes(mbuf).try_into().expect("four bytes"))
}

fn numbers(burst: &Burst) -> Vec<u32> {
    burst.iter().map(number).collect()
}

#[test]
fn a_burst_holds_64_and_frees_what_it_holds() {
    let pool = pool("burst");
    let mut burst = burst_of(&pool, 0..64);
    assert!(burst.is_full() && burst.room() == 0);
    let refused = burst.push(frame(&pool, b"more")).expect_err("full");
    assert_eq!(refused.data(), b"more");
    drop(refused);
    assert_eq!(pool.in_use(), 64);
    burst.clear();
    assert!(burst.is_empty());
    assert_eq!(pool.in_use(), 0);
    drop(burst_of(&pool, 0..10));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn frames_are_taken_out_in_order_and_by_place() {
    let pool = pool("order");
    let mut burst = burst_of(&pool, 0..6);
    assert_eq!(burst.pop().map(|mbuf| number(&mbuf)), Some(5));
    assert_eq!(burst.swap_remove(1).map(|mbuf| number(&mbuf)), Some(1));
    assert_eq!(numbers(&burst), [0, 4, 2, 3]);
    assert!(burst.swap_remove(4).is_none() && burst.len() == 4);
    burst.as_mut_slice().sort_by_key(number);
    for mbuf in &mut burst {
        mbuf.data_mut().expect("its own")[0] = 1;
    }
    let drained: Vec<u32> = burst.drain().map(|mbuf| number(&mbuf) & 0xff).collect();
    assert_eq!(drained, [0, 2, 3, 4]);
    assert_eq!((burst.len(), pool.in_use()), (0, 0));
    assert!(burst.pop().is_none() && burst.swap_remove(0).is_none());
}

#[test]
fn what_is_not_drained_is_freed() {
    let pool = pool("drain");
    let mut burst = burst_of(&pool, 0..40);
    let mut drain = burst.drain();
    assert_eq!(drain.len(), 40);
    let first = drain.next().expect("a frame");
    drop(drain);
    assert_eq!((number(&first), burst.len(), pool.in_use()), (0, 0, 1));
    burst.push(first).expect("room");
    drop(burst);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_ring_keeps_order_and_holds_exactly_its_size() {
    let pool = pool("ring_order");
    let (mut producer, mut consumer) = ring(eal(), "exact", 100).expect("a ring");
    let mut burst = burst_of(&pool, 0..64);
    assert_eq!(producer.enqueue(&mut burst), 64);
    assert!(burst.is_empty());
    let mut burst = burst_of(&pool, 64..128);
    assert_eq!(producer.enqueue(&mut burst), 36);
    assert_eq!(
        numbers(&burst),
        (100..128).collect::<Vec<_>>(),
        "the rest stays, in order"
    );
    assert_eq!(
        producer.enqueue_or_free(&mut burst),
        Sent {
            sent: 0,
            dropped: 28
        }
    );
    assert_eq!(
        (producer.len(), consumer.len(), pool.in_use()),
        (100, 100, 100)
    );

    let mut out = burst_of(&pool, 1000..1004);
    assert_eq!(consumer.dequeue(&mut out), 60, "as much as there is room");
    assert_eq!(numbers(&out)[4..], (0..60).collect::<Vec<_>>());
    assert_eq!(consumer.dequeue(&mut out), 0, "full");
    out.clear();
    assert_eq!(consumer.dequeue(&mut out), 40);
    assert_eq!(numbers(&out), (60..100).collect::<Vec<_>>());
    out.clear();
    assert!(consumer.is_empty() && producer.is_empty() && pool.in_use() == 0);
}

#[test]
fn a_ring_frees_what_is_inside_when_both_ends_are_gone() {
    let pool = pool("ring_drop");
    let (mut producer, consumer) = ring(eal(), "dropped", 1000).expect("a ring");
    for start in [0, 64, 128, 192] {
        producer.enqueue(&mut burst_of(&pool, start..start + 60));
    }
    let taken = ring(eal(), "dropped", 8).err().expect("its name is taken");
    assert!(matches!(taken, RingError::Create { .. }), "{taken}");
    drop(producer);
    assert_eq!(pool.in_use(), 240);
    drop(consumer);
    assert_eq!(pool.in_use(), 0);
    ring(eal(), "dropped", 8).expect("the name is free again");
}

#[test]
fn a_ring_carries_frames_between_registered_threads() {
    const FRAMES: u32 = 200_000;
    let config = dpdk_ffi::PoolConfig {
        mbufs: 2047,
        cache: 64,
        ..Default::default()
    };
    let pool = Pool::create(eal(), "ring_threads", config).expect("a pool");
    let (mut producer, mut consumer) = ring(eal(), "threads", 256).expect("a ring");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _worker = eal().register_worker().expect("a core");
            let mut next = 0;
            while next < FRAMES {
                let mut burst = Burst::new();
                while !burst.is_full() && next < FRAMES {
                    let Some(mut mbuf) = pool.alloc() else { break };
                    mbuf.append(4)
                        .expect("room")
                        .copy_from_slice(&next.to_be_bytes());
                    burst.push(mbuf).expect("room");
                    next += 1;
                }
                while !burst.is_empty() {
                    if producer.enqueue(&mut burst) == 0 {
                        std::thread::yield_now();
                    }
                }
            }
        });
        scope.spawn(|| {
            let _worker = eal().register_worker().expect("a core");
            let mut expected = 0;
            let mut burst = Burst::new();
            while expected < FRAMES {
                if consumer.dequeue(&mut burst) == 0 {
                    std::thread::yield_now();
                }
                for mbuf in burst.drain() {
                    assert_eq!(number(&mbuf), expected);
                    expected += 1;
                }
            }
        });
    });
    assert_eq!(pool.in_use(), 0, "in the pool or in the threads' caches");
}
