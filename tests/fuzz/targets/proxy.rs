//! The PROXY protocol: a header is read to its end and no further, however it is cut, and names addresses in one form.
#![no_main]

use kakehi::filter::fuzzing::{load_balancer, sozu};
use libfuzzer_sys::fuzz_target;

/// The most bytes of a header: the fixed part and what may follow it.
const LONGEST: usize = 16 + 512;

fuzz_target!(|input: &[u8]| {
    let ends = sozu(input, &[]);
    let client = load_balancer(input, &[]);
    let cuts = input.len().min(LONGEST);
    for cut in (0..cuts).step_by(1 + cuts / 32) {
        let (first, then) = input.split_at(cut);
        assert_eq!(sozu(first, then), ends, "cut at {cut}");
        assert_eq!(load_balancer(first, then), client, "cut at {cut}");
    }
    if let Some((client, server, left)) = ends {
        assert!([client, server].iter().all(|end| end.ip() == end.ip().to_canonical()));
        let header = input.len() - left;
        assert!((28..=LONGEST).contains(&header) && sozu(&input[..header - 1], &[]).is_none());
    }
    if let Some((client, left)) = client {
        assert!(client.is_none_or(|ip| ip == ip.to_canonical()));
        let header = input.len() - left;
        assert!((15..=LONGEST).contains(&header) && load_balancer(&input[..header - 1], &[]).is_none());
        // The header that Sōzu writes is one that a load balancer may write.
        assert!(ends.is_none_or(|(ip, _, _)| client == Some(ip.ip())));
    }
});
