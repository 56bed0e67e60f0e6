//! Which release of Gateway API is installed.

use std::collections::BTreeSet;

/// Annotation of a definition with the release that it is of (`consts.BundleVersionAnnotation`).
pub const VERSION: &str = "gateway.networking.k8s.io/bundle-version";
/// Annotation of a definition with its channel (`consts.ChannelAnnotation`).
pub const CHANNEL: &str = "gateway.networking.k8s.io/channel";
/// The newest minor release of version 1 whose kinds are understood; those before it are.
const NEWEST: u32 = 6;
/// The newest release whose kinds are understood.
pub const GATEWAY_API: &str = "1.6";

/// What the definitions of Gateway API say of themselves. Empty texts stand for definitions that say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Their releases.
    pub versions: BTreeSet<String>,
    /// Their channels.
    pub channels: BTreeSet<String>,
}

impl Bundle {
    /// Whether all of them are of releases that are understood.
    pub fn is_supported(&self) -> bool {
        self.versions.iter().all(|version| minor(version).is_some_and(|minor| minor <= NEWEST))
    }

    /// Whether all of them are of the experimental channel, and so have its fields.
    pub fn is_experimental(&self) -> bool {
        !self.channels.is_empty() && self.channels.iter().all(|channel| channel == "experimental")
    }

    /// The releases, for people.
    pub fn version(&self) -> String {
        joined(&self.versions)
    }

    /// The channels, for people.
    pub fn channel(&self) -> String {
        joined(&self.channels)
    }
}

fn joined(texts: &BTreeSet<String>) -> String {
    texts.iter().map(|text| if text.is_empty() { "unknown" } else { text }).collect::<Vec<_>>().join(", ")
}

/// The minor number of a release of version 1.
fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("v1.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Bundle;

    #[test]
    fn releases_of_version_1_up_to_ours_are_supported() {
        let supports = |versions: &[&str]| {
            Bundle { versions: versions.iter().map(|version| (*version).to_owned()).collect(), ..Bundle::default() }.is_supported()
        };
        assert!(supports(&["v1.0.0", "v1.6.1", "v1.5.0-rc.1"]));
        assert!(!supports(&["v1.7.0"]) && !supports(&["v0.8.1"]) && !supports(&["v1.6.1", ""]) && !supports(&["v2.1.0"]));
    }
}
