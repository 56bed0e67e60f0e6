//! Sōzu's record of requests: however the file is cut into reads, the same records come out, and little is kept between reads.
#![no_main]

use kakehi::edge::sozu::fuzzing::take;
use libfuzzer_sys::fuzz_target;

/// The longest frame and what is around it.
const KEPT: usize = 64 * 1024 + 16;

fuzz_target!(|input: &[u8]| {
    let [steps @ .., _] = input else { return };
    let step = 1 + usize::from(*steps.first().unwrap_or(&0));
    let whole = read(input, input.len());
    assert_eq!(read(input, step), whole, "in steps of {step}");
});

/// The records as text, and the number of places that could not be read.
fn read(bytes: &[u8], step: usize) -> (Vec<String>, u64) {
    let (mut records, mut lost, mut buffer, mut damage) = (Vec::new(), 0, Vec::new(), Default::default());
    for part in bytes.chunks(step) {
        buffer.extend_from_slice(part);
        lost += take(&mut buffer, &mut damage, |record| records.push(format!("{record:?}")));
        assert!(buffer.len() <= KEPT);
    }
    (records, lost)
}
