//! The directory's shape: which files there are, how symbolic links lead to them, and reading one with a limit.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// Links followed for one path, at most; the kernel's own limit.
const LINKS: usize = 40;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The path without symbolic links, as far as it exists.
    pub target: PathBuf,
    /// Symbolic links on the way, each without links in its parent.
    pub links: Vec<PathBuf>,
}

/// Follows all symbolic links of `name` in `parent`, which itself has none.
///
/// # Errors
/// More than 40 links, or a link that cannot be read.
pub fn resolve(parent: &Path, name: &Path) -> io::Result<Resolved> {
    let mut todo: Vec<PathBuf> = components(name);
    let mut resolved = Resolved { target: parent.to_owned(), links: Vec::new() };
    while let Some(part) = todo.pop() {
        match part.components().next() {
            Some(Component::RootDir) => resolved.target = PathBuf::from("/"),
            Some(Component::ParentDir) => drop(resolved.target.pop()),
            Some(Component::Normal(part)) => {
                let next = resolved.target.join(part);
                match fs::read_link(&next) {
                    Ok(link) => {
                        if resolved.links.len() == LINKS {
                            return Err(io::Error::other("too many levels of symbolic links"));
                        }
                        todo.extend(components(&link));
                        resolved.links.push(next);
                    }
                    // No link, or not there.
                    Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => resolved.target = next,
                    Err(error) => return Err(error),
                }
            }
            _ => {}
        }
    }
    Ok(resolved)
}

/// The components of `path`, last first.
fn components(path: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = path.components().map(|part| Path::new(part.as_os_str()).to_owned()).collect();
    parts.reverse();
    parts
}

/// Whether `target` is reached below `root` without a link and without a hidden name: then it is read there.
pub fn visible_below(root: &Path, target: &Path) -> bool {
    target.strip_prefix(root).is_ok_and(|rest| !rest.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.')))
}

/// What a directory lists, hidden names left out.
#[derive(Debug, Default)]
pub struct Listing {
    /// Names, sorted.
    pub names: Vec<String>,
    /// Names that are no UTF-8, as far as they can be shown.
    pub odd: Vec<String>,
}

/// Lists a directory.
///
/// # Errors
/// It cannot be read.
pub fn list(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(directory)? {
        match entry?.file_name().into_string() {
            Ok(name) if name.starts_with('.') => {}
            Ok(name) => listing.names.push(name),
            Err(name) => listing.odd.push(name.to_string_lossy().into_owned()),
        }
    }
    listing.names.sort();
    listing.odd.sort();
    Ok(listing)
}

/// `prefix/name`, or `name` at the top.
pub fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// In words for the user: it is too large, no regular file, no UTF-8, or cannot be read.
pub fn read(path: &Path, limit: u64) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    // A pipe put in place of a file would block an open without this flag.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("cannot be read: not a regular file".to_owned());
    }
    let too_large = |size| format!("is too large: {size} bytes, and at most {limit} are read (split it, or raise the limit)");
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    let bytes = read_at_most(&file, &metadata, limit).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    String::from_utf8(bytes).map_err(|error| format!("is not UTF-8: byte {}", error.utf8_error().valid_up_to()))
}

fn read_at_most(file: &File, metadata: &Metadata, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
