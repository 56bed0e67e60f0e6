//! The one table of Prometheus series, and their exposition text.
//!
//! Every series that Kakehi exports is a row here; `config/metrics.md` is generated from the rows, and the Grafana dashboard
//! may ask for nothing else (`tests/generated.rs`).

mod control;
mod edge;
mod text;

pub use control::*;
pub use edge::*;
pub use text::{Text, merge, of_count};

/// What a series measures over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until its process starts anew.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Counts by size, with the sum.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One series.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// Its name.
    pub name: &'static str,
    /// What it measures.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Series {
    Series { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Series {
    Series { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Series {
    Series { name, kind: Kind::Histogram, labels, help }
}

/// A part of Kakehi with the series that it exports.
pub struct Part {
    /// Heading of its list.
    pub title: &'static str,
    /// Where to scrape it.
    pub place: &'static str,
    /// Its series.
    pub series: &'static [&'static Series],
}

/// Every series there is.
pub const PARTS: &[Part] = &[
    Part { title: "Control plane", place: "Standalone mode and every operator replica, on the admin port (`--admin`).", series: CONTROL },
    Part { title: "Operator", place: "Operator replicas only, on the same port.", series: OPERATOR },
    Part {
        title: "Edge",
        place: "Every edge pod, on its health port (19902); in standalone mode all edges appear on the admin port. Every series here has the label `edge` too.",
        series: EDGE,
    },
];
