//! Step by step against a real file system: what happened is in the kernel's queue when the call that caused it returns.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use kube::runtime::watcher;
use tempfile::TempDir;

use super::Source;
use crate::api::Object;
use crate::store::directory::definitions::Definitions;
use crate::store::directory::tests::{config_map, put, value};
use crate::store::directory::watch::Watches;
use crate::store::directory::{Loaded, Settings};

struct Fixture {
    base: TempDir,
    source: Source,
}

impl Fixture {
    /// A source for `manifests` in a temporary directory, which holds these files.
    fn new(files: &[(&str, String)]) -> Self {
        let base = tempfile::tempdir().unwrap();
        files.iter().for_each(|(file, content)| put(base.path(), file, content));
        Self::of(base)
    }

    fn of(base: TempDir) -> Self {
        let settings = Settings::new(base.path().join("manifests"));
        let watches = Some(Watches::new().unwrap());
        Self { source: Source::new(settings, Definitions::offered(None, 0).unwrap(), watches), base }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.base.path().join(file)
    }

    fn put(&self, file: &str, content: impl AsRef<[u8]>) {
        put(self.base.path(), file, content);
    }

    /// What changed since the last call: ConfigMaps as `name=value`, deleted ones as `-name`; refusals as their text.
    fn step(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let outcome = self.source.refresh().unwrap();
            said.extend(outcome.events.iter().filter_map(|event| match event {
                watcher::Event::Apply(object) => Some(format!("{}={}", name(object)?, value(object)?)),
                watcher::Event::Delete(object) => Some(format!("-{}", name(object)?)),
                _ => None,
            }));
            for (file, refusals) in outcome.refusals {
                said.extend(refusals.iter().map(ToString::to_string));
                if refusals.is_empty() {
                    said.push(format!("{file}: fine again"));
                }
            }
            if !self.source.is_pending() {
                return said;
            }
        }
    }

    /// All ConfigMaps, as `name=value`.
    fn all(&self) -> Vec<String> {
        all(&self.source.catalog().objects())
    }

    /// Step by step has come to what a fresh look comes to.
    fn is_as_loaded(&self) {
        let loaded = self.load();
        assert_eq!(self.all(), all(&loaded.objects));
        assert_eq!(self.source.catalog().all_refusals(), loaded.refusals);
    }

    fn load(&self) -> Loaded {
        crate::store::directory::tests::load(&self.path("manifests"))
    }
}

fn name(object: &Object) -> Option<String> {
    match object {
        Object::ConfigMap(map) => Some(map.name().to_owned()),
        _ => None,
    }
}

fn all(objects: &[Object]) -> Vec<String> {
    objects.iter().filter_map(|object| Some(format!("{}={}", name(object)?, value(object)?))).collect()
}

#[test]
fn a_half_written_file_changes_nothing() {
    let mut fixture = Fixture::new(&[("manifests/a.yaml", format!("{}---\n{}", config_map("a", "1"), config_map("b", "1")))]);
    assert_eq!(fixture.step(), ["a=1", "b=1"]);
    let mut file = File::create(fixture.path("manifests/a.yaml")).unwrap();
    assert_eq!(fixture.step(), [""; 0], "emptied");
    file.write_all(config_map("a", "2").as_bytes()).unwrap();
    assert_eq!(fixture.step(), [""; 0], "good as far as it goes");
    file.write_all(format!("---\n{}", config_map("b", "2")).as_bytes()).unwrap();
    drop(file);
    assert_eq!(fixture.step(), ["a=2", "b=2"]);
}

#[test]
fn a_file_that_is_being_written_when_everything_is_looked_at_waits_for_its_writer() {
    let mut fixture = Fixture::new(&[("manifests/a.yaml", config_map("a", "1")), ("manifests/b.yaml", config_map("b", "1"))]);
    fixture.step();
    let mut file = File::create(fixture.path("manifests/a.yaml")).unwrap();
    fs::rename(fixture.path("manifests"), fixture.path("elsewhere")).unwrap();
    fs::rename(fixture.path("elsewhere"), fixture.path("manifests")).unwrap();
    assert_eq!(fixture.step(), [""; 0]);
    file.write_all(config_map("a", "2").as_bytes()).unwrap();
    drop(file);
    assert_eq!(fixture.step(), ["a=2"]);
}

#[test]
fn links_as_a_config_map_mount_makes_them() {
    let mut fixture = Fixture::new(&[("manifests/..one/a.yaml", config_map("a", "1"))]);
    symlink("..one", fixture.path("manifests/..data")).unwrap();
    symlink("..data/a.yaml", fixture.path("manifests/a.yaml")).unwrap();
    assert_eq!(fixture.step(), ["a=1"]);
    fixture.put("manifests/..two/a.yaml", config_map("a", "2"));
    symlink("..two", fixture.path("manifests/..new")).unwrap();
    fs::rename(fixture.path("manifests/..new"), fixture.path("manifests/..data")).unwrap();
    fs::remove_dir_all(fixture.path("manifests/..one")).unwrap();
    assert_eq!(fixture.step(), ["a=2"]);
    fixture.put("manifests/..two/a.yaml", config_map("a", "3"));
    assert_eq!(fixture.step(), ["a=3"]);
    fixture.is_as_loaded();
}

#[test]
fn links_out_of_the_directory_are_followed_and_watched() {
    let mut fixture = Fixture::new(&[("elsewhere/x/a.yaml", config_map("a", "1")), ("elsewhere/b", config_map("b", "1"))]);
    fs::create_dir(fixture.path("manifests")).unwrap();
    symlink(fixture.path("elsewhere"), fixture.path("way")).unwrap();
    symlink("../way/x", fixture.path("manifests/x")).unwrap();
    symlink("../way/b", fixture.path("manifests/b.yaml")).unwrap();
    assert_eq!(fixture.step(), ["a=1", "b=1"]);
    fixture.put("elsewhere/x/a.yaml", config_map("a", "2"));
    fixture.put("elsewhere/b", config_map("b", "2"));
    assert_eq!(fixture.step(), ["a=2", "b=2"]);
    fixture.put("other/x/a.yaml", config_map("a", "3"));
    symlink(fixture.path("other"), fixture.path("new")).unwrap();
    fs::rename(fixture.path("new"), fixture.path("way")).unwrap();
    let said = fixture.step();
    assert!(said.contains(&"a=3".to_owned()) && said[1].starts_with("b.yaml: cannot be read"), "{said:?}");
    fixture.is_as_loaded_except_last_good("b=2");
    fs::remove_file(fixture.path("manifests/b.yaml")).unwrap();
    assert_eq!(fixture.step(), ["-b", "b.yaml: fine again"]);
    fs::remove_file(fixture.path("manifests/x")).unwrap();
    assert_eq!(fixture.step(), ["-a", "./: holds no manifest: files *.yaml, *.yml and *.json are read, also of directories below"]);
    fixture.put("other/x/a.yaml", config_map("a", "4"));
    assert_eq!(fixture.step(), [""; 0]);
}

impl Fixture {
    fn is_as_loaded_except_last_good(&self, kept: &str) {
        let mut ours = self.all();
        ours.retain(|object| object != kept);
        assert_eq!(ours, all(&self.load().objects));
    }
}

#[test]
fn links_to_what_is_read_anyway_count_once() {
    let mut fixture = Fixture::new(&[("manifests/x/a.yaml", config_map("a", "1"))]);
    symlink("x", fixture.path("manifests/y")).unwrap();
    symlink("..", fixture.path("manifests/x/loop")).unwrap();
    symlink("x/a.yaml", fixture.path("manifests/b.yaml")).unwrap();
    assert_eq!(fixture.step(), ["a=1"]);
    fs::rename(fixture.path("manifests/x"), fixture.path("manifests/z")).unwrap();
    let said = fixture.step();
    assert!(said[0].starts_with("b.yaml: cannot be read: No such file"), "{said:?}");
    assert_eq!(fixture.all(), ["a=1"]);
}

#[test]
fn a_link_that_leads_nowhere_is_read_when_it_leads_somewhere() {
    let mut fixture = Fixture::new(&[("manifests/a.yaml", config_map("a", "1"))]);
    symlink("../far/away/b.yaml", fixture.path("manifests/b.yaml")).unwrap();
    assert!(fixture.step()[1].starts_with("b.yaml: cannot be read: No such file"));
    fixture.put("far/away/b.yaml", config_map("b", "1"));
    assert_eq!(fixture.step(), ["b=1", "b.yaml: fine again"]);
    symlink("loop.yaml", fixture.path("manifests/loop.yaml")).unwrap();
    assert!(fixture.step()[0].contains("too many levels of symbolic links"));
}

#[test]
fn the_directory_may_come_late_go_and_be_replaced() {
    let mut fixture = Fixture::new(&[]);
    assert_eq!(fixture.step(), ["./: is not there"]);
    fixture.put("manifests/a.yaml", config_map("a", "1"));
    assert_eq!(fixture.step(), ["a=1", "./: fine again"]);
    fs::rename(fixture.path("manifests"), fixture.path("old")).unwrap();
    assert_eq!(fixture.step(), ["./: is not there; what it held last stays in force"]);
    assert_eq!(fixture.all(), ["a=1"]);
    fixture.put("old/a.yaml", config_map("a", "no more"));
    fixture.put("new/a.yaml", config_map("a", "2"));
    fixture.put("new/b.yaml", config_map("b", "2"));
    fs::rename(fixture.path("new"), fixture.path("manifests")).unwrap();
    assert_eq!(fixture.step(), ["a=2", "b=2", "./: fine again"]);
    fixture.put("manifests/b.yaml", config_map("b", "3"));
    assert_eq!(fixture.step(), ["b=3"]);
    fixture.is_as_loaded();
}

#[test]
fn directories_may_change_places() {
    let mut fixture = Fixture::new(&[("manifests/x/a.yaml", config_map("a", "1")), ("manifests/y/a.yaml", config_map("b", "1"))]);
    fixture.step();
    fs::rename(fixture.path("manifests/x"), fixture.path("manifests/z")).unwrap();
    fs::rename(fixture.path("manifests/y"), fixture.path("manifests/x")).unwrap();
    fs::rename(fixture.path("manifests/z"), fixture.path("manifests/y")).unwrap();
    fixture.step();
    fixture.put("manifests/x/a.yaml", config_map("b", "2"));
    fixture.put("manifests/y/a.yaml", config_map("a", "2"));
    assert_eq!(fixture.step(), ["a=2", "b=2"]);
    fixture.is_as_loaded();
}

#[test]
fn events_that_the_kernel_lost_are_made_up_for() {
    let mut fixture = Fixture::new(&[("manifests/a.yaml", config_map("a", "1")), ("manifests/b.yaml", config_map("b", "1"))]);
    fixture.step();
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // Equal events in a row count once.
    for index in 0..=limit {
        let file = fixture.path(["manifests/a.yaml", "manifests/b.yaml"][index % 2]);
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    fixture.put("manifests/a.yaml", config_map("a", "2"));
    fs::remove_file(fixture.path("manifests/b.yaml")).unwrap();
    fixture.put("manifests/c/d/e.yaml", config_map("c", "1"));
    assert_eq!(fixture.step(), ["a=2", "-b", "c=1"]);
    fixture.put("manifests/c/d/e.yaml", config_map("c", "2"));
    assert_eq!(fixture.step(), ["c=2"]);
}

#[test]
fn hard_links_are_complete_from_the_start_and_other_files_are_no_manifests() {
    let mut fixture = Fixture::new(&[("manifests/a.yaml", config_map("a", "1")), ("source", config_map("b", "1"))]);
    fixture.step();
    fs::hard_link(fixture.path("source"), fixture.path("manifests/b.yaml")).unwrap();
    assert_eq!(fixture.step(), ["b=1"]);
    fixture.put("manifests/notes.txt", "kind: [");
    fs::create_dir(fixture.path("manifests/directory.yaml")).unwrap();
    let _pipe = std::os::unix::net::UnixListener::bind(fixture.path("manifests/socket.yaml")).unwrap();
    assert_eq!(fixture.step(), [""; 0]);
    fixture.is_as_loaded();
}

#[test]
fn names_that_are_no_utf8_are_reported() {
    let mut fixture = Fixture::new(&[("manifests/a.yaml", config_map("a", "1"))]);
    fixture.step();
    let odd = fixture.path("manifests").join(std::ffi::OsStr::from_bytes(b"\xff.yaml"));
    fs::write(&odd, config_map("b", "1")).unwrap();
    assert_eq!(fixture.step(), ["./: holds names that are no UTF-8, which are not read: \u{fffd}.yaml"]);
    fixture.is_as_loaded();
    fs::remove_file(&odd).unwrap();
    assert_eq!(fixture.step(), ["./: fine again"]);
}

#[test]
fn a_file_becomes_a_directory_and_back() {
    let mut fixture = Fixture::new(&[("manifests/a.yaml", config_map("a", "1"))]);
    fixture.step();
    fs::remove_file(fixture.path("manifests/a.yaml")).unwrap();
    fixture.put("manifests/a.yaml/b.yaml", config_map("b", "1"));
    assert_eq!(fixture.step(), ["-a", "b=1"]);
    fs::remove_dir_all(fixture.path("manifests/a.yaml")).unwrap();
    fixture.put("manifests/a.yaml", config_map("a", "2"));
    assert_eq!(fixture.step(), ["a=2", "-b"]);
    fixture.is_as_loaded();
}

/// Run by root, permissions refuse nothing, and there is nothing to see.
#[test]
fn what_may_not_be_read_keeps_what_it_said_and_is_read_again_when_it_may() {
    let mut fixture = Fixture::new(&[("manifests/x/a.yaml", config_map("a", "1"))]);
    fixture.step();
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (directory, file) = (fixture.path("manifests/x"), fixture.path("manifests/x/a.yaml"));
    fixture.put("manifests/x/a.yaml", config_map("a", "2"));
    set(&file, 0o000);
    let said = fixture.step();
    if File::open(&file).is_ok() {
        return;
    }
    assert!(said[0].starts_with("x/a.yaml: cannot be read: Permission denied"), "{said:?}");
    set(&file, 0o644);
    assert_eq!(fixture.step(), ["a=2", "x/a.yaml: fine again"]);
    set(&directory, 0o000);
    fixture.source.pending.insert(super::TOP.to_owned());
    assert!(fixture.step()[0].starts_with("x/: cannot be read"));
    set(&directory, 0o755);
    assert_eq!(fixture.step(), ["x/: fine again"]);
}
