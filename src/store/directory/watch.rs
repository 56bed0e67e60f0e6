//! inotify: which directories are watched, and what happened in them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// What happened to one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It is being written; a [`What::Settled`] will follow.
    Writing,
    /// It was closed after writing, renamed, or deleted.
    Settled,
    /// It was created: a directory, a link, or a file that nobody has written yet.
    Created,
    /// Its owner, mode or link count changed.
    Attributes,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// To a name in a watched directory.
    Name {
        /// The directory, as given to [`Watches::add`].
        directory: PathBuf,
        /// The name in it.
        name: OsString,
        /// What.
        what: What,
    },
    /// The kernel lost events: everything may have changed.
    Overflow,
}

/// The set of watched directories.
pub struct Watches {
    inotify: OwnedFd,
    by_descriptor: HashMap<i32, PathBuf>,
    by_path: HashMap<PathBuf, i32>,
}

impl Watches {
    /// An empty set.
    ///
    /// # Errors
    /// The limit of inotify instances is reached.
    pub fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { inotify, by_descriptor: HashMap::new(), by_path: HashMap::new() })
    }

    /// Watches a directory, given without symbolic links.
    ///
    /// # Errors
    /// It does not exist or cannot be read, or the limit of watches is reached.
    pub fn add(&mut self, directory: &Path) -> io::Result<()> {
        let mask = WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        let descriptor = inotify::add_watch(&self.inotify, directory, mask)?;
        // Another directory may have taken the place of one that was watched under this path.
        let replaced = self.by_path.insert(directory.to_owned(), descriptor).filter(|old| *old != descriptor);
        if let Some(old) = replaced.filter(|old| self.is_at(*old, directory)) {
            self.drop_descriptor(old);
        }
        self.by_descriptor.insert(descriptor, directory.to_owned());
        Ok(())
    }

    /// Watches it no more.
    pub fn remove(&mut self, directory: &Path) {
        if let Some(descriptor) = self.by_path.remove(directory).filter(|descriptor| self.is_at(*descriptor, directory)) {
            self.drop_descriptor(descriptor);
        }
    }

    /// A directory that was renamed keeps its descriptor, under its new path.
    fn is_at(&self, descriptor: i32, directory: &Path) -> bool {
        self.by_descriptor.get(&descriptor).is_some_and(|path| path == directory)
    }

    fn drop_descriptor(&mut self, descriptor: i32) {
        self.by_descriptor.remove(&descriptor);
        // It is gone already when the directory was deleted.
        let _ = inotify::remove_watch(&self.inotify, descriptor);
    }

    /// Everything that happened and was not read yet. Does not wait.
    ///
    /// # Errors
    /// Reading failed, which no state of the file system causes.
    pub fn read(&mut self) -> io::Result<Vec<Happened>> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut happened = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(happened),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                happened.push(Happened::Overflow);
            } else if event.events().contains(ReadFlags::IGNORED) {
                if let Some(path) = self.by_descriptor.remove(&event.wd())
                    && self.by_path.get(&path) == Some(&event.wd())
                {
                    self.by_path.remove(&path);
                }
            } else if let (Some(directory), Some(name)) = (self.by_descriptor.get(&event.wd()), event.file_name()) {
                let name = OsStr::from_bytes(name.to_bytes()).to_owned();
                happened.push(Happened::Name { directory: directory.clone(), name, what: what(event.events()) });
            }
        }
    }
}

impl AsFd for Watches {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

fn what(events: ReadFlags) -> What {
    if events.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO | ReadFlags::DELETE) {
        What::Settled
    } else if events.contains(ReadFlags::CREATE) {
        What::Created
    } else if events.contains(ReadFlags::MODIFY) {
        What::Writing
    } else {
        What::Attributes
    }
}
