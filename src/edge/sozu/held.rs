//! What a Sōzu that runs already says that it holds, and whether that is what a target asks for.

use std::path::PathBuf;

use sozu_command_lib::proto::command::WorkerRequest;
use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::state::ConfigState;

use super::instance::Instance;
use super::load::StateFile;
use super::steps::steps;
use super::{Error, Order, Shadow, Wire};
use crate::edge::plan::Target;

/// The state that a Sōzu holds, from the state file that its main process writes.
pub(super) async fn held(instance: &mut Instance, path: PathBuf) -> Result<ConfigState, Error> {
    // Made here, for this user only: it is going to hold private keys.
    let file = StateFile::write(path, &[]).await?;
    let reply = instance.command(RequestType::SaveState(file.path().to_string_lossy().into_owned())).await?;
    if !reply.ok {
        return Err(Error::Diverged(format!("its state cannot be saved: {}", reply.message)));
    }
    let read = tokio::fs::read(file.path()).await;
    let text = read.map_err(|source| Error::File { path: file.path().to_owned(), source })?;
    let mut requests = Vec::new();
    for record in text.split(|byte| *byte == 0).filter(|record| !record.trim_ascii().is_empty()) {
        requests.push(serde_json::from_slice(record)?);
    }
    replayed(requests)
}

/// The shadow of a Sōzu that holds all of a target and nothing else; none when even the shadow refuses some of it.
pub(super) fn expected(wire: Wire, target: &Target) -> Result<Option<Shadow>, Error> {
    let mut shadow = Shadow::new(wire);
    for step in steps(&shadow, target, Order::Kept)? {
        if shadow.take(&step).is_err() {
            return Ok(None);
        }
    }
    shadow.settle(target.clone());
    Ok(Some(shadow))
}

/// Whether a shadow's state is this one, once both were written down and read back.
pub(super) fn is_held(shadow: &Shadow, held: &ConfigState) -> Result<bool, Error> {
    Ok(replayed(shadow.state().produce_initial_state().requests)? == *held)
}

fn replayed(requests: Vec<WorkerRequest>) -> Result<ConfigState, Error> {
    let mut state = ConfigState::new();
    for request in requests {
        state.dispatch(&request.content).map_err(|error| Error::Diverged(error.to_string()))?;
    }
    // How it came about is no part of it.
    state.request_counts.clear();
    state.backends.retain(|_, backends| !backends.is_empty());
    state.backends.values_mut().for_each(|backends| backends.sort());
    state.tcp_fronts.retain(|_, fronts| !fronts.is_empty());
    state.tcp_fronts.values_mut().for_each(|fronts| fronts.sort());
    Ok(state)
}
