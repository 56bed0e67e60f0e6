//! The `kakehi` binary.

fn main() {}
