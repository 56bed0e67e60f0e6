//! A backend that logs bytes, reads requests as strictly as can be, and says what a less strict one could read otherwise.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backends::listen;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What reached it since it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Requests that came whole; of a broken one a part may have come, and no end.
    pub requests: usize,
    /// Every byte.
    pub bytes: Vec<u8>,
    /// What could be read in two ways.
    pub unclean: Vec<String>,
}

/// The backend.
#[derive(Clone)]
pub struct Backend {
    pub address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

impl Backend {
    pub async fn start() -> Self {
        let log = Arc::<Mutex<Log>>::default();
        let own = log.clone();
        let address = listen(move |stream| serve(stream, own.clone())).await;
        Self { address, log }
    }

    /// Takes the log, once it has as many requests and no more come.
    pub async fn take(&self, expected: usize) -> Log {
        for _ in 0..100 {
            if self.log.lock().unwrap().requests >= expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

async fn serve(mut stream: TcpStream, log: Arc<Mutex<Log>>) {
    let (mut seen, mut buffer) = (Vec::new(), vec![0; 65536]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        log.lock().unwrap().bytes.extend_from_slice(&buffer[..read]);
        seen.extend_from_slice(&buffer[..read]);
        while let Some(length) = whole(&seen) {
            let request: Vec<u8> = seen.drain(..length).collect();
            {
                let mut log = log.lock().unwrap();
                log.requests += 1;
                let unclean = unclean(&request);
                log.unclean.extend(unclean);
            }
            if stream.write_all(OK).await.is_err() {
                return;
            }
        }
    }
}

fn head_of(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The value of each line of a field, lower-cased.
fn values(head: &str, name: &str) -> Vec<String> {
    let of = |line: &str| {
        line.split_once(':').filter(|(own, _)| own.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_lowercase())
    };
    head.split("\r\n").skip(1).filter_map(of).collect()
}

/// The length of the request that these bytes begin with, once it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let begin = head_of(bytes)?;
    let head = String::from_utf8_lossy(&bytes[..begin]).into_owned();
    if values(&head, "transfer-encoding").iter().any(|coding| coding.contains("chunked")) {
        return chunks(bytes, begin);
    }
    let length = values(&head, "content-length").first().and_then(|length| length.parse().ok()).unwrap_or(0);
    (bytes.len() >= begin + length).then_some(begin + length)
}

fn chunks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let line = bytes.get(at..)?.windows(2).position(|window| window == b"\r\n")?;
        let size = String::from_utf8_lossy(&bytes[at..at + line]).into_owned();
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap_or(0);
        at += line + 2;
        if size > 0 {
            at += size + 2;
            continue;
        }
        // Trailers end with an empty line.
        loop {
            let line = bytes.get(at..)?.windows(2).position(|window| window == b"\r\n")?;
            at += line + 2;
            if line == 0 {
                return Some(at);
            }
        }
    }
}

/// What another server could read otherwise, or would refuse.
fn unclean(request: &[u8]) -> Vec<String> {
    let head = &request[..head_of(request).unwrap()];
    let text = String::from_utf8_lossy(head).into_owned();
    let count = |name| values(&text, name).len();
    let (lengths, codings) = (count("content-length"), count("transfer-encoding"));
    let lines = text.split("\r\n").skip(1);
    let named = lines.filter(|line| !line.is_empty());
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let strange = named.clone().any(|line| {
        let name = line.split(':').next().unwrap_or_default();
        name.is_empty() || !line.contains(':') || !name.bytes().all(token)
    });
    let bare = head.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r' || pair[0] == b'\r' && pair[1] != b'\n');
    let line = text.split("\r\n").next().unwrap_or_default().to_owned();
    let words: Vec<&str> = line.split(' ').collect();
    let checks = [
        (count("host") != 1, "hosts"),
        (lengths > 0 && codings > 0, "length and chunked"),
        (lengths > 1, "lengths"),
        (codings > 1 || values(&text, "transfer-encoding").iter().any(|coding| coding != "chunked"), "codings"),
        (codings > 0 && line.ends_with("HTTP/1.0"), "chunked of HTTP/1.0"),
        (strange, "names"),
        (bare, "bare line ends"),
        (head.contains(&0), "NUL"),
        (words.len() != 3 || !line.ends_with(" HTTP/1.1"), "request line"),
        (words.len() > 1 && !words[1].starts_with('/'), "target"),
        (words.len() > 1 && words[1].bytes().any(|byte| !(0x21..0x7f).contains(&byte)), "target bytes"),
    ];
    checks.iter().filter(|(wrong, _)| *wrong).map(|(_, what)| (*what).to_owned()).collect()
}
