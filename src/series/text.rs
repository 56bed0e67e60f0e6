//! Prometheus's text format.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Kind, Series};

/// A page of samples that all have the same first label.
#[derive(Debug)]
pub struct Text {
    text: String,
    first: (&'static str, String),
}

impl Text {
    /// An empty page whose samples carry this label first.
    pub fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self { text: String::new(), first: (name, value.into()) }
    }

    /// Begins a family: what is appended until the next one belongs to it.
    pub fn family(&mut self, series: &Series) {
        let Series { name, kind, help, .. } = series;
        // Writing to a string does not fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.name());
    }

    /// A family of one sample.
    pub fn only(&mut self, series: &Series, value: f64) {
        self.family(series);
        self.sample(series, &[], value);
    }

    /// A sample of the family that was begun last, with values for the labels of its row.
    pub fn sample(&mut self, series: &Series, labels: &[&str], value: f64) {
        debug_assert_eq!(labels.len(), series.labels.len(), "{}", series.name);
        self.line(series.name, "", series.labels.iter().copied().zip(labels.iter().copied()), value);
    }

    /// The samples of a histogram: counts up to and including each bound, their sum, and the count of all.
    pub fn histogram(&mut self, series: &Series, labels: &[&str], bounds: &[f64], (counts, sum): (&[u64], f64)) {
        debug_assert_eq!(series.kind, Kind::Histogram, "{}", series.name);
        let named = || series.labels.iter().copied().zip(labels.iter().copied());
        let mut total = 0;
        for (position, count) in counts.iter().enumerate() {
            total += count;
            let bound = bounds.get(position).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.line(series.name, "_bucket", named().chain([("le", bound.as_str())]), of_count(total));
        }
        self.line(series.name, "_sum", named(), sum);
        self.line(series.name, "_count", named(), of_count(total));
    }

    fn line<'a>(&mut self, name: &str, suffix: &str, labels: impl Iterator<Item = (&'a str, &'a str)>, value: f64) {
        let _ = write!(self.text, "{name}{suffix}{{{}=\"{}\"", self.first.0, escaped(&self.first.1));
        for (name, value) in labels {
            let _ = write!(self.text, ",{name}=\"{}\"", escaped(value));
        }
        let _ = writeln!(self.text, "}} {value}");
    }

    /// The page.
    pub fn finish(self) -> String {
        self.text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A count as a sample. Counts above 2⁵³ lose their last digits, as everywhere in Prometheus.
#[allow(clippy::cast_precision_loss, reason = "the format has no other numbers")]
pub fn of_count(count: u64) -> f64 {
    count as f64
}

/// One page of several: a family may stand on a page only once.
pub fn merge(pages: impl IntoIterator<Item = String>) -> String {
    let mut order = Vec::new();
    let mut families: BTreeMap<String, (String, String)> = BTreeMap::new();
    for page in pages {
        let mut current = String::new();
        for line in page.lines() {
            let mut words = line.splitn(4, ' ');
            let heading = match (words.next(), words.next(), words.next()) {
                (Some("#"), Some("HELP" | "TYPE"), Some(name)) => {
                    name.clone_into(&mut current);
                    true
                }
                _ => false,
            };
            let (headings, samples) = families.entry(current.clone()).or_insert_with(|| {
                order.push(current.clone());
                Default::default()
            });
            let part = if heading { headings } else { samples };
            if !heading || !part.lines().any(|held| held == line) {
                part.push_str(line);
                part.push('\n');
            }
        }
    }
    let texts = order.iter().filter_map(|name| families.get(name)).map(|(headings, samples)| format!("{headings}{samples}"));
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::{Text, merge};
    use crate::series::{EDGE_APPLY, SOZU_LISTENERS, SOZU_WORKERS};

    fn page(edge: &str) -> String {
        let mut text = Text::new("edge", edge);
        text.only(&SOZU_WORKERS, 1.0);
        text.family(&SOZU_LISTENERS);
        text.sample(&SOZU_LISTENERS, &["bo\"u\\nd"], 2.0);
        text.finish()
    }

    #[test]
    fn labels_are_escaped() {
        assert!(page("a/b").contains("kakehi_sozu_listeners{edge=\"a/b\",state=\"bo\\\"u\\\\nd\"} 2\n"), "{}", page("a/b"));
    }

    #[test]
    fn a_histogram_accumulates() {
        let mut text = Text::new("edge", "e");
        text.histogram(&EDGE_APPLY, &[], &[0.5, 1.0], (&[1, 0, 2], 7.5));
        let lines: Vec<String> = text.finish().lines().map(|line| line.replace("kakehi_edge_apply_seconds", "")).collect();
        let wanted = [
            "_bucket{edge=\"e\",le=\"0.5\"} 1",
            "_bucket{edge=\"e\",le=\"1\"} 1",
            "_bucket{edge=\"e\",le=\"+Inf\"} 3",
            "_sum{edge=\"e\"} 7.5",
            "_count{edge=\"e\"} 3",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn merged_pages_have_each_family_once() {
        let merged = merge([page("a"), page("b")]);
        assert_eq!(merged.matches("# TYPE kakehi_sozu_workers gauge").count(), 1);
        let position = |text: &str| merged.find(text).unwrap();
        assert!(position("kakehi_sozu_workers{edge=\"b\"}") < position("# HELP kakehi_sozu_listeners"), "{merged}");
    }
}
