//! What `keep_freed_memory` is for, counted: page faults of a thread that makes and frees buffers. Alone in its process,
//! because the setting is the process's.
#![cfg(target_env = "gnu")]
#![expect(clippy::unwrap_used, reason = "all of it is a test; clippy takes only #[test] functions for that")]

use longshore_driver_sdk::heap;

const ROUNDS: u64 = 200;
const BUFFERS: usize = 8;
const SIZE: usize = 512 * 1024;

/// Of this thread so far (`minflt` of proc(5)).
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(7).unwrap().parse().unwrap()
}

fn faults_of_a_round() -> u64 {
    let before = page_faults();
    for _ in 0..ROUNDS {
        let buffers: Vec<Vec<u8>> = (0..BUFFERS).map(|_| vec![1; SIZE]).collect();
        std::hint::black_box(&buffers);
    }
    (page_faults() - before) / ROUNDS
}

#[test]
fn buffers_are_made_of_memory_that_was_freed_before() {
    let by_default = faults_of_a_round();
    heap::keep_freed_memory();
    faults_of_a_round();
    let kept = faults_of_a_round();
    assert!(kept < 10, "{kept} page faults for each {BUFFERS} buffers");
    assert!(by_default > 100, "{by_default} by default: the setting is not needed here any more");
}
