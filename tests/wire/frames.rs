//! Requests of HTTP/2 with any fields, also such as no client library sends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::stage::Duplex;

const PATIENCE: Duration = Duration::from_secs(12);
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field as HPACK has it in its plainest form: nothing indexed, nothing compressed.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        let length = text.len();
        if length < 127 {
            bytes.push(u8::try_from(length).unwrap());
        } else {
            bytes.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap());
        }
        bytes.extend(text);
    }
    bytes
}

/// Sends one request and says what comes of it: a status, or `refused`, by a reset of the stream or the connection's end.
pub async fn ask(mut stream: Box<dyn Duplex>, fields: &[(Vec<u8>, Vec<u8>)], body: Option<&[u8]>) -> String {
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    let pieces: Vec<&[u8]> = block.chunks(16_000).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let ends = if index + 1 == pieces.len() { END_HEADERS } else { 0 };
        let flags = if index == 0 && body.is_none() { ends | END_STREAM } else { ends };
        sent.extend(frame(if index == 0 { HEADERS } else { CONTINUATION }, flags, 1, piece));
    }
    sent.extend(body.map(|body| frame(DATA, END_STREAM, 1, body)).unwrap_or_default());
    let _ = timeout(PATIENCE, stream.write_all(&sent)).await;
    timeout(PATIENCE, told(&mut *stream)).await.unwrap_or_else(|_| "silent".to_owned())
}

async fn told(stream: &mut dyn Duplex) -> String {
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return "refused".to_owned();
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if stream.read_exact(&mut payload).await.is_err() {
            return "refused".to_owned();
        }
        match (head[3], head[4]) {
            (SETTINGS, flags) if flags & ACK == 0 => {
                let _ = stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await;
            }
            (HEADERS, _) => return status(&payload),
            (RESET, _) => return "refused".to_owned(),
            // No error: the other side only says that it will end.
            (GOAWAY, _) if payload[4..8] == [0; 4] => {}
            (GOAWAY, _) => return "refused".to_owned(),
            _ => {}
        }
    }
}

/// The status that a header block begins with.
fn status(block: &[u8]) -> String {
    // Sizes of the table may come before it.
    let block = &block[block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap_or(0)..];
    let indexed = ["200", "204", "206", "304", "400", "404", "500"];
    match block[0] {
        byte @ 0x88..=0x8e => indexed[usize::from(byte - 0x88)].to_owned(),
        // A literal whose name is that of any status in the table: not indexed, never indexed, or indexed from now on.
        byte if (8..=14).contains(&(byte & if byte & 0x40 == 0 { 0x0f } else { 0x3f })) => {
            let length = usize::from(block[1] & 0x7f);
            let text = &block[2..2 + length];
            if block[1] & 0x80 == 0 { String::from_utf8_lossy(text).into_owned() } else { digits(text) }
        }
        byte => format!("a block that begins with {byte:#x}"),
    }
}

/// Digits of the code of HPACK: 0 to 2 have five bits, the others six.
fn digits(code: &[u8]) -> String {
    let bits: Vec<u8> = code.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let (mut at, mut text) = (0, String::new());
    let number = |bits: &[u8]| bits.iter().fold(0_u8, |number, bit| number * 2 + bit);
    while text.len() < 3 && at + 5 <= bits.len() {
        let five = number(&bits[at..at + 5]);
        if five <= 2 {
            text.push(char::from(b'0' + five));
            at += 5;
        } else {
            let Some(six) = bits.get(at..at + 6).map(number) else { break };
            text.push(char::from(b'3' + six.saturating_sub(0x19)));
            at += 6;
        }
    }
    text
}
