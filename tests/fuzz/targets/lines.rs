//! The snapshot stream, both ways: lines are bounded however they are cut; what is taken for a message is written as it was read;
//! an update leads to the state that it names or is refused, and the state can be planned.
#![no_main]

use kakehi::edge::plan::{Options, Planner};
use kakehi::snapshot::wire::{Ack, Hello, Refused, Update};
use kakehi::snapshot::{Held, fuzzing};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|input: &[u8]| {
    let longest = input.len().max(2) - 1;
    let (lines, ended) = fuzzing::lines(input, &[], longest);
    let (first, then) = input.split_at(input.len() / 2);
    assert_eq!(fuzzing::lines(first, then, longest), (lines.clone(), ended));
    assert!(lines.iter().all(|line| line.len() <= longest && !line.contains(&b'\n')));
    let mut held = Held::default();
    for line in &lines {
        same_again::<Hello>(line);
        same_again::<Ack>(line);
        same_again::<Refused>(line);
        let Some(update) = same_again::<Update>(line) else { continue };
        let Ok(after) = held.after(&update) else { continue };
        assert_eq!(after.hash(), update.hash);
        held = after;
        Planner::new(Options::default()).apply(&held.snapshot().as_delta());
    }
});

/// The message of a line, which is the same when it is written and read.
fn same_again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(line: &[u8]) -> Option<T> {
    let message: T = serde_json::from_slice(line).ok()?;
    let written = serde_json::to_vec(&message).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), message);
    Some(message)
}
