//! `kakehi standalone` as a user runs it: real processes, a real Sōzu, real connections.

#[path = "standalone/client.rs"]
mod client;
#[path = "standalone/rig.rs"]
mod rig;

#[path = "standalone/bad_input.rs"]
mod bad_input;
#[path = "standalone/lifecycle.rs"]
mod lifecycle;
#[path = "standalone/quickstart.rs"]
mod quickstart;
#[path = "standalone/secrets.rs"]
mod secrets;
