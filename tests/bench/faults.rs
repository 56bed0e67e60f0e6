//! Processes that die or hang under load.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::stand::{self, WAYS, Way};
use super::{http, wants};

/// Clients of each stage on kept connections, and on new ones.
const CLIENTS: (usize, usize) = (8, 4);
/// Pause of a client between requests.
const PACE: Duration = Duration::from_millis(10);
/// Load before the fault, and after it.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(12);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(8);

/// A request that failed.
#[derive(Debug)]
struct Failure {
    way: Way,
    sent: Option<Instant>,
    failed: Instant,
    what: String,
}

/// The processes, by role and place among those of the role: of Sōzu the main processes of both twins come first.
const PROCESSES: [(&str, &str, usize); 5] =
    [("sozu worker", "sozu", 2), ("sozu main", "sozu", 0), ("filter", "filter", 0), ("supervisor", "edge", 0), ("launcher", "launch", 0)];

/// Measures and prints; whether no failure was ours.
pub async fn measure() -> bool {
    let mut clean = true;
    for (signal, verb) in [(Signal::KILL, "kill -9"), (Signal::STOP, "SIGSTOP")] {
        for (name, role, place) in PROCESSES {
            let row = format!("{verb} {name}");
            if wants(&row) {
                clean &= fault(&row, signal, (role, place)).await;
            }
        }
    }
    clean
}

async fn fault(row: &str, signal: Signal, (role, place): (&str, usize)) -> bool {
    let rig = stand::start(&[]).await;
    let (stop, stopped) = watch::channel(false);
    let mut clients = Vec::new();
    for way in WAYS {
        for number in 0..CLIENTS.0 + CLIENTS.1 {
            clients.push(tokio::spawn(client((way, way.port(&rig)), number < CLIENTS.0, stopped.clone())));
        }
    }
    sleep(BEFORE).await;
    let pid = rig.pids_of(role)[place];
    // A worker shares the fate of its main process, and so does what it holds.
    let fate: Vec<u32> = match (role, place) {
        ("sozu", 0) => workers(pid).chain([pid]).collect(),
        _ => vec![pid],
    };
    let at = Instant::now();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
    let gone = tokio::select! {
        gone = gone(&fate) => gone,
        () = sleep(AFTER) => Instant::now(),
    };
    sleep((at + AFTER).saturating_duration_since(Instant::now())).await;
    stop.send_replace(true);
    let (mut requests, mut failures) = (0, Vec::new());
    for client in clients {
        let (count, failed) = client.await.unwrap();
        requests += count;
        failures.extend(failed);
    }
    // A process that only hangs holds what was sent until it is replaced, or wakes.
    let (inherent, ours): (Vec<_>, Vec<_>) = failures.iter().partition(|failure| failure.sent.is_some_and(|sent| sent < gone));
    let seconds = failures.iter().map(|failure| failure.failed - at).max().unwrap_or_default().as_secs_f64();
    println!("{row:<34} {requests:>8} {:>8} {:>8} {seconds:>8.2}", inherent.len(), ours.len());
    for way in WAYS {
        let mut texts: Vec<_> = ours.iter().filter(|failure| failure.way == way).map(|failure| failure.what.as_str()).collect();
        texts.sort_unstable();
        let number = texts.len();
        texts.dedup();
        if number > 0 {
            println!("    {} ours {}: {}", number, way.name(), texts.join("; "));
        }
    }
    if signal == Signal::STOP {
        // It may still be there, and could not end.
        if let Some(pid) = Pid::from_raw(i32::try_from(pid).unwrap()) {
            let _gone = kill_process(pid, Signal::CONT);
        }
    }
    rig.stop().await;
    ours.is_empty()
}

fn workers(main: u32) -> impl Iterator<Item = u32> {
    let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>().into_iter()
}

/// Resolves when these processes are gone.
async fn gone(pids: &[u32]) -> Instant {
    let alive = |pid: &u32| {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    };
    while pids.iter().any(alive) {
        sleep(Duration::from_millis(1)).await;
    }
    Instant::now()
}

async fn client((way, address): (Way, SocketAddr), keeps: bool, stop: watch::Receiver<bool>) -> (usize, Vec<Failure>) {
    let (mut requests, mut failures) = (0, Vec::new());
    let mut kept: Option<TcpStream> = None;
    let request = http::get(way.host(), "/", if keeps { "" } else { "Connection: close\r\n" });
    let mut received = Vec::new();
    while !*stop.borrow() {
        requests += 1;
        // Clients look whether a connection has ended before they use it again.
        let open = kept
            .take()
            .filter(|stream| matches!(stream.try_read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock));
        let stream = match open {
            Some(stream) => Ok(stream),
            None => timeout(PATIENCE, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())),
        };
        let mut note = |sent, what: String| failures.push(Failure { way, sent, failed: Instant::now(), what });
        match stream {
            Err(error) => note(None, format!("connect: {error}")),
            Ok(mut stream) => {
                let sent = Instant::now();
                match timeout(PATIENCE, http::exchange(&mut stream, &request, &mut received)).await {
                    Ok(Ok(answer)) if answer.status == 200 => kept = (keeps && answer.reusable).then_some(stream),
                    Ok(Ok(answer)) => note(Some(sent), format!("status {}", answer.status)),
                    Ok(Err(error)) => note(Some(sent), format!("exchange: {error}")),
                    Err(_) => note(Some(sent), "no answer".to_owned()),
                }
            }
        }
        sleep(PACE).await;
    }
    (requests, failures)
}
