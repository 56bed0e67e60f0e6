//! What an edge needs before it can follow anything: its directory, its sockets and its Sōzus.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::metrics::Metrics;
use super::super::sockets::{self, Holder, Sockets};
use super::super::sozu::{self, Kin, Maker, Sozu, Wire};
use super::twin::{self, Twin, Wanted};
use super::{EdgeError, EdgeSettings, SozuOrigin, changed};

/// A control plane has this long to say what is newest before a running Sōzu is compared with the copy on disk. Requests that
/// the filter decides wait meanwhile.
const HEARD_FIRST: Duration = Duration::from_secs(2);

/// The sockets by which Sōzu reaches the filter proxy, or the launcher that has them.
pub(super) fn hold(settings: &EdgeSettings) -> Result<Holder, EdgeError> {
    let dir = settings.sozu.dir(&settings.runtime_dir);
    match &settings.sozu {
        SozuOrigin::Spawn { .. } => {
            let sockets = Sockets::open(dir, settings.sozu_budget().buffer_bytes);
            sockets.map(Holder::Here).map_err(|(path, source)| EdgeError::File { path, source })
        }
        SozuOrigin::Adopt(_) => Ok(Holder::Launcher(dir.to_owned())),
    }
}

/// Its Sōzus: empty ones made, or adopted, of which one is there.
pub(super) async fn start(settings: &EdgeSettings, wire: Wire, wanted: &watch::Sender<Wanted>) -> Result<Vec<Twin>, EdgeError> {
    let adopts = matches!(settings.sozu, SozuOrigin::Adopt(_));
    let family = Kin::family(settings.capacity.sozus(), adopts);
    let keep = |started, kin: &Kin| twin::keep(&settings.name, started, (wire.clone(), kin.clone()), wanted.subscribe());
    let SozuOrigin::Spawn { program, log_level } = &settings.sozu else {
        let adopt = |(kin, dir): (&Kin, PathBuf)| keep(Err(Maker::Adopt(dir.join(sozu::COMMAND_SOCKET))), kin);
        let mut twins: Vec<Twin> = family.iter().zip(settings.sozu_dirs()).map(adopt).collect();
        while twins.iter().all(|twin| !twin.stand.borrow().up) {
            changed(&mut twins).await;
        }
        return Ok(twins);
    };
    for dir in settings.sozu_dirs() {
        private_directory(&dir).map_err(|source| EdgeError::File { path: dir, source })?;
    }
    let makers = settings.sozu_dirs().map(|dir| Maker::Spawn(settings.spawn(program, log_level, dir)));
    let started = makers.zip(&family).map(|(maker, kin)| Sozu::start(maker, wire.clone(), kin.clone()));
    let started = try_join_all(started).await?;
    Ok(started.into_iter().zip(&family).map(|(sozu, kin)| keep(Ok(sozu), kin)).collect())
}

/// Before a Sōzu that serves already is compared with the copy on disk, which may be older than what it holds, the control
/// plane is heard.
pub(super) async fn hear_first(metrics: &Metrics, twins: &[Twin]) {
    if twins.iter().any(|twin| twin.stand.borrow().stranger) {
        let mut connected = metrics.connected.subscribe();
        let heard = timeout(HEARD_FIRST, connected.wait_for(|connected| *connected)).await;
        tracing::debug!(heard = heard.is_ok(), "taking over a running Sōzu");
    }
}

/// A listening unix socket of our own.
pub(super) fn bind(path: &Path) -> Result<UnixListener, EdgeError> {
    sockets::bind(path).and_then(UnixListener::from_std).map_err(|source| EdgeError::File { path: path.to_owned(), source })
}

/// Makes a directory that only this user can enter.
///
/// # Errors
/// When it cannot be made, or is there and others can enter it.
pub fn private_directory(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(std::io::Error::other("the runtime directory can be entered by others: its mode must be 0700"));
    }
    Ok(())
}
