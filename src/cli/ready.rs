//! `kakehi ready`: whether an operator or an edge is ready, for images without a shell.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Flags of `kakehi ready`.
#[derive(Args, Debug)]
pub(super) struct Settings {
    /// Admin port of an operator, or health port of an edge
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// Seconds that it may take to become ready
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    within: u64,
}

/// One question takes no longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two questions.
const PAUSE: Duration = Duration::from_millis(500);
/// More of an answer is not read.
const LONGEST: u64 = 4096;

#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let until = Instant::now() + Duration::from_secs(settings.within);
    loop {
        match ask(&settings.address).await {
            Ok(()) => {
                println!("{} is ready", settings.address);
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) if Instant::now() >= until => return Err(error.context(format!("{} is not ready", settings.address))),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Asks once.
async fn ask(address: &str) -> anyhow::Result<()> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, asked).await.context("no answer")??;
    let answer = String::from_utf8_lossy(&answer);
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => bail!("it answers {:?}", answer.lines().next().unwrap_or_default()),
    }
}
