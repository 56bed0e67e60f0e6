//! The last target of a Sōzu: its answers tell clients to come by another connection.

use std::sync::Arc;

use super::{Chain, Edit, Frontend, Side, Stage, Target};

/// The field.
const CONNECTION: &str = "connection";

impl Target {
    /// Frontends of all chains.
    pub fn frontends(&self) -> usize {
        self.chains.values().map(|chain| chain.frontends.len()).sum()
    }

    /// The same, but that every answer which Sōzu passes on by itself closes its connection. The filter proxy says so itself in
    /// what it answers. A connection that is closed while its client sends the next request loses this; one that the client has
    /// been told of does not.
    #[must_use]
    pub fn closing(&self) -> Self {
        let chains = self.chains.iter().map(|(id, chain)| {
            let frontends = chain.frontends.iter().cloned().map(closing).collect();
            (id.clone(), Arc::new(Chain { frontends, owners: chain.owners.clone() }))
        });
        Self { chains: chains.collect(), ..self.clone() }
    }
}

fn closing(frontend: Frontend) -> Frontend {
    let Stage::Native { backend, edits, rewrite } = frontend.stage else { return frontend };
    let edit = |value: Option<&str>| Edit { side: Side::Response, name: CONNECTION.to_owned(), value: value.map(str::to_owned) };
    // Without the removal the backend's own `keep-alive` would stand beside it.
    let edits = edits.iter().cloned().chain([edit(None), edit(Some("close"))]).collect();
    Frontend { stage: Stage::Native { backend, edits: Arc::new(edits), rewrite }, ..frontend }
}
