//! Kakehi.
fn main() {}
