use std::collections::BTreeMap;
use std::io::Write;

use prost::Message;
use sozu_command_lib::proto::command::{HttpEndpoint, ProtobufAccessLog, ProtobufEndpoint, Uint128, protobuf_endpoint};

use super::{Damage, FILE, NEGLECTED, Records, frames, trim};

fn frame(route: &str, path: &str, status: Option<u32>) -> Vec<u8> {
    let http = HttpEndpoint { method: Some("GET".into()), path: Some(path.into()), status, ..Default::default() };
    let log = ProtobufAccessLog {
        request_id: Uint128 { low: 7, high: 0 },
        cluster_id: Some("shop/api:80".into()),
        backend_id: Some("127.0.0.1:80".into()),
        protocol: "HTTP".into(),
        endpoint: ProtobufEndpoint { inner: Some(protobuf_endpoint::Inner::Http(http)) },
        tags: BTreeMap::from([("else".to_owned(), "no".to_owned()), ("route".to_owned(), route.to_owned())]),
        time: Uint128 { low: 1, high: 0 },
        start_time: Some(Uint128 { low: 1, high: 0 }),
        request_time: Some(1_500),
        ..Default::default()
    };
    let mut bytes = log.encode_length_delimited_to_vec();
    bytes.extend([0, 0]);
    bytes
}

type Seen = Vec<(String, u16, u64)>;

fn read(bytes: &[u8]) -> (Seen, usize, u64) {
    let mut seen = Vec::new();
    let (used, lost) = frames(bytes, &mut Damage::default(), |record| {
        assert_eq!((record.cluster, record.reached), (Some(b"shop/api:80".as_slice()), true));
        seen.push((String::from_utf8(record.route.unwrap().to_vec()).unwrap(), record.status, record.micros));
    });
    (seen, used, lost)
}

#[test]
fn whole_frames_are_read_and_a_part_is_left() {
    let bytes = [frame("a", "/", Some(200)), frame("b", "/x", None)].concat();
    let wanted = vec![("a".to_owned(), 200, 1_500), ("b".to_owned(), 0, 1_500)];
    assert_eq!(read(&bytes), (wanted.clone(), bytes.len(), 0));
    for cut in 0..bytes.len() {
        let (seen, used, lost) = read(&bytes[..cut]);
        assert_eq!(lost, 0, "cut at {cut}");
        let (more, _, _) = read(&bytes[used..]);
        assert_eq!([seen, more].concat(), wanted, "cut at {cut}");
    }
}

#[test]
fn a_frame_between_the_parts_of_another_costs_no_more_than_the_two() {
    let (first, torn, long, last) =
        (frame("a", "/", Some(200)), frame("b", "/", Some(200)), frame("c", &"x".repeat(5000), Some(404)), frame("d", "/", Some(200)));
    for cut in 1..torn.len() {
        let bytes = [&first, &torn[..cut], &long, &torn[cut..], &last, &first].concat();
        let (seen, used, lost) = read(&bytes);
        let names: Vec<&str> = seen.iter().map(|(name, ..)| name.as_str()).collect();
        assert!(names.first() == Some(&"a") && names.last() == Some(&"a") && names.len() >= 3, "cut at {cut}: {names:?}");
        assert!(names.iter().all(|name| *name != "b") && (1..4).contains(&lost), "cut at {cut}: {names:?}, {lost} lost");
        assert_eq!(used, bytes.len(), "cut at {cut}");
    }
}

#[test]
fn noise_is_skipped() {
    let bytes = [b"\x05noise".to_vec(), vec![0xff; 40], vec![0, 0], frame("a", "/", Some(200))].concat();
    let (seen, used, lost) = read(&bytes);
    assert_eq!((seen.len(), used, lost), (1, bytes.len(), 1));
}

fn all(log: &mut Records) -> usize {
    let mut seen = 0;
    while log.read(|_| seen += 1).unwrap() {}
    seen
}

#[test]
fn a_file_is_followed_emptied_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let append = || std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let mut log = Records::of(dir.path());
    assert_eq!(all(&mut log), 0);
    let (one, mut file) = (frame("a", &"p".repeat(400), Some(200)), append());
    file.write_all(&one).unwrap();
    assert_eq!(all(&mut log), 0, "what was there before is left out");
    for _ in 0..3 {
        file.write_all(&one.repeat(4000)).unwrap();
        assert_eq!(all(&mut log), 4000);
    }
    use std::os::unix::fs::MetadataExt;
    let there = file.metadata().unwrap();
    assert!(there.blocks() * 512 < there.len() / 2, "{} of {} bytes are still there", there.blocks() * 512, there.len());
    std::fs::remove_file(&path).unwrap();
    file.write_all(&one).unwrap();
    append().write_all(&one.repeat(2)).unwrap();
    assert_eq!(all(&mut log), 3, "the end of the old file and the new one");
    append().set_len(0).unwrap();
    append().write_all(&one).unwrap();
    assert_eq!(all(&mut log), 1, "a file that was cut off");
    assert_eq!(log.lost(), 0);
}

#[test]
fn a_neglected_file_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    trim(dir.path()).unwrap();
    let path = dir.path().join(FILE);
    let written = usize::try_from(NEGLECTED).unwrap() + 4096;
    std::fs::write(&path, vec![1; 4096]).unwrap();
    trim(dir.path()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096);
    std::fs::write(&path, vec![1; written]).unwrap();
    trim(dir.path()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
}

/// However the file is cut into reads, the same records come out, and no more than a part of a frame is kept.
#[test]
fn damage_is_skipped_alike_wherever_a_read_ends() {
    let frame = frame("a", "/", Some(200));
    for noise in [&b"\xff\0\0\0"[..], b"noise \0 with one zero\0\0", b"\0\0\0\0", &[b'x'; 300]] {
        let bytes = [&frame[..], noise, &frame, &frame].concat();
        let whole = pieces(&bytes, bytes.len());
        assert!(whole.0 >= 2, "{noise:?}");
        for step in 1..bytes.len() {
            assert_eq!(pieces(&bytes, step), whole, "{noise:?} in steps of {step}");
        }
    }
}

/// How many records some bytes are in reads of so many, and how many places are lost.
fn pieces(bytes: &[u8], step: usize) -> (usize, u64) {
    let (mut records, mut lost, mut buffer, mut damage) = (0, 0, Vec::new(), Damage::default());
    for part in bytes.chunks(step) {
        buffer.extend_from_slice(part);
        let (used, some) = frames(&buffer, &mut damage, |_| records += 1);
        buffer.drain(..used);
        lost += some;
        assert!(buffer.len() < 300, "what is noise is kept");
    }
    (records, lost)
}
