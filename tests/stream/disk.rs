//! The last good snapshot on disk.

use std::os::unix::fs::PermissionsExt;

use kakehi::snapshot::disk::{Disk, LoadError};
use kakehi::snapshot::wire::{Stamp, Update};
use kakehi::snapshot::{Held, Snapshot};

use crate::rig::{backend, set};

fn held(ports: impl IntoIterator<Item = u16>) -> Held {
    Held::new(Snapshot::from_resources(ports.into_iter().map(|port| backend(port, 1).as_ref().clone())))
}

const STAMP: Stamp = Stamp { epoch: 4, seq: 2 };

#[test]
fn what_is_saved_is_loaded_and_nobody_else_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path().to_owned());
    assert!(disk.load().unwrap().is_none());
    // Left behind by a process that was killed while it wrote.
    std::fs::write(dir.path().join("snapshot.json.new"), "half").unwrap();
    disk.save(STAMP, &held(1..50)).unwrap();
    let kept = disk.load().unwrap().unwrap();
    assert_eq!((kept.stamp, kept.whole, kept.held.snapshot()), (STAMP, true, held(1..50).snapshot()));
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_file_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, path) = (Disk::new(dir.path().to_owned()), dir.path().join("snapshot.json"));
    disk.save(STAMP, &held(1..50)).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(matches!(disk.load(), Err(LoadError::Json(_))));
    std::fs::write(&path, good.replacen("10.0.0.1", "10.0.0.2", 1)).unwrap();
    assert!(matches!(disk.load(), Err(LoadError::Damaged)));
    std::fs::write(&path, "").unwrap();
    assert!(disk.load().is_err());
    std::fs::write(&path, [0xff; 100]).unwrap();
    assert!(disk.load().is_err());
    std::fs::write(&path, good).unwrap();
    assert!(disk.load().unwrap().is_some());
}

#[test]
fn what_cannot_be_saved_leaves_what_was() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path().to_owned());
    disk.save(STAMP, &held([1])).unwrap();
    // Nothing can be written under this name.
    std::fs::create_dir(dir.path().join("snapshot.json.new")).unwrap();
    assert!(disk.save(STAMP, &held([1, 2])).is_err());
    assert_eq!(disk.load().unwrap().unwrap().held.snapshot().len(), 1);
}

/// A snapshot of which this version understood a part is served again, but differences to it are not asked for.
#[test]
fn a_part_is_known_to_be_a_part() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path().to_owned());
    let theirs = held([7]).hash();
    let update = Update { stamp: STAMP, full: true, delta: set([(1, 1)]), hash: theirs, hashes: vec![theirs], requires: Vec::new() };
    disk.save(STAMP, &Held::default().after(&update).unwrap()).unwrap();
    let kept = disk.load().unwrap().unwrap();
    assert_eq!((kept.whole, kept.held.snapshot().len()), (false, 1));
}
