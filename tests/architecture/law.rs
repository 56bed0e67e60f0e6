//! The law as two tables, and the walk that finds what breaks it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// A room, the rooms of ours that it may use, and the crates or std modules that it may not.
struct Room {
    name: &'static str,
    may_use: &'static [&'static str],
    never: &'static [&'static str],
}

const CLOCKS_AND_IO: &[&str] =
    &["tokio", "hyper", "std::time::SystemTime", "std::time::Instant", "std::fs", "std::net::TcpStream", "std::env", "std::process"];

const ROOMS: &[Room] = &[
    Room { name: "model", may_use: &["model"], never: &["kube", "k8s_openapi", "tokio", "std::time", "std::fs", "std::env"] },
    Room { name: "api", may_use: &["api", "model"], never: &["tokio", "std::fs", "std::env"] },
    Room { name: "snapshot", may_use: &["snapshot", "model"], never: &["kube", "k8s_openapi"] },
    Room { name: "translate", may_use: &["translate", "api", "model", "snapshot", "report"], never: &[] },
    Room { name: "report", may_use: &["report", "api", "model", "snapshot"], never: CLOCKS_AND_IO },
    Room { name: "store", may_use: &["store", "api", "model"], never: &[] },
    Room {
        name: "controller",
        may_use: &[
            "controller",
            "api",
            "model",
            "snapshot",
            "report",
            "store",
            "translate",
            "edge",
            "leader",
            "provision",
            "observe",
            "settings",
        ],
        never: &[],
    },
    Room { name: "leader", may_use: &["leader"], never: &[] },
    Room { name: "provision", may_use: &["provision", "api", "model", "translate"], never: CLOCKS_AND_IO },
    Room { name: "series", may_use: &["series"], never: CLOCKS_AND_IO },
    Room { name: "access_log", may_use: &["access_log", "model"], never: &["kube", "k8s_openapi"] },
    Room { name: "traffic", may_use: &["traffic", "model"], never: &["kube", "k8s_openapi", "tokio", "std::fs", "std::env"] },
    Room { name: "edge", may_use: &["edge", "model", "snapshot", "series", "traffic", "access_log"], never: &["kube", "k8s_openapi"] },
    Room { name: "trace", may_use: &["trace", "model", "snapshot", "edge", "filter"], never: CLOCKS_AND_IO },
    Room { name: "filter", may_use: &["filter", "model", "snapshot", "traffic", "access_log"], never: &["kube", "k8s_openapi"] },
];

/// What translation may never see, whatever the path to it: it is pure.
const TRANSLATE_NEVER: &[&str] =
    &["tokio", "hyper", "std::time", "std::fs", "std::net::TcpStream", "std::env", "std::process", "kube::Client", "kube::Api"];

/// A crate and the only folder that may name it.
const CONFINED: &[(&str, &str)] = &[("sozu_command_lib", "edge/sozu"), ("gateway_api", "api")];

/// All violations under a source folder, sorted, each once.
pub fn violations(root: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    for file in rust_files(root) {
        let relative = file.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&file).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{relative}: {error}"));
        let mut paths = Paths { module: module_of(&relative), found: BTreeSet::new() };
        paths.visit_file(&parsed);
        judge(&relative, &paths.found, &mut found);
    }
    found.into_iter().collect()
}

fn judge(file: &str, paths: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    let room_name = file.split(['/', '.']).next().unwrap_or_default();
    for path in paths {
        for (confined, folder) in CONFINED {
            if is_below(path, confined) && !file.starts_with(&format!("{folder}/")) && file != format!("{folder}.rs") {
                found.insert(format!("{file}: only {folder} may use {confined}"));
            }
        }
        let Some(room) = ROOMS.iter().find(|room| room.name == room_name) else { continue };
        if let Some(ours) = path.strip_prefix("crate::") {
            let target = ours.split("::").next().unwrap_or_default();
            let known = ROOMS.iter().any(|room| room.name == target) || ["cli", "observe", "settings", "standalone"].contains(&target);
            if known && !room.may_use.contains(&target) {
                found.insert(format!("{file}: {room_name} uses kakehi::{target}"));
            }
        }
        let never = if room_name == "translate" { TRANSLATE_NEVER } else { room.never };
        for forbidden in never {
            if is_below(path, forbidden) {
                found.insert(format!("{file}: {room_name} uses {forbidden}"));
            }
        }
    }
}

fn is_below(path: &str, parent: &str) -> bool {
    path == parent || path.strip_prefix(parent).is_some_and(|rest| rest.starts_with("::"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// `edge/sozu/state.rs` is the module edge, sozu, state.
fn module_of(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
    stem.split('/').map(str::to_owned).collect()
}

/// Collects every path of a file, outside `#[cfg(test)]` modules, with `use` trees flattened, `super` resolved and the
/// tokens of macros read too.
struct Paths {
    module: Vec<String>,
    found: BTreeSet<String>,
}

impl Paths {
    fn insert(&mut self, path: &str) {
        let ups = path.split("::").take_while(|part| *part == "super").count();
        if ups == 0 || ups > self.module.len() {
            self.found.insert(path.to_owned());
            return;
        }
        let above = self.module.iter().take(self.module.len() - ups).map(String::as_str);
        let rest = path.split("::").skip(ups);
        self.found.insert(["crate"].into_iter().chain(above).chain(rest).collect::<Vec<_>>().join("::"));
    }

    fn flatten(&mut self, prefix: &str, tree: &syn::UseTree) {
        let join = |name: &syn::Ident| if prefix.is_empty() { name.to_string() } else { format!("{prefix}::{name}") };
        match tree {
            syn::UseTree::Path(path) => self.flatten(&join(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.insert(&join(&name.ident)),
            syn::UseTree::Rename(rename) => self.insert(&join(&rename.ident)),
            syn::UseTree::Glob(_) => self.insert(prefix),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.flatten(prefix, item)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let for_tests = module.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
        });
        if !for_tests {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.flatten("", &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let text: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.insert(&text.join("::"));
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        let text = invocation.tokens.to_string().replace(" :: ", "::");
        for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            if word.contains("::") {
                self.insert(word.trim_matches(':'));
            }
        }
        syn::visit::visit_macro(self, invocation);
    }
}
