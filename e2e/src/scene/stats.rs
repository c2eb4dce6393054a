//! The metrics that Envoy has at `/stats/prometheus`.

use std::collections::BTreeMap;

/// One line of the metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// The metric's labels.
    pub labels: BTreeMap<String, String>,
    /// The metric's value.
    pub value: f64,
}

/// All lines of the metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats(pub Vec<Sample>);

impl Stats {
    /// Reads the Prometheus text format; lines that are no samples are left out.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(Sample::parse).collect())
    }

    /// Returns the sum over the samples of `name` that have all these labels; 0 without any.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.with(name, labels).map(|sample| sample.value).sum()
    }

    /// Returns the samples of `name` that have all these labels.
    pub fn with<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Sample> {
        let has = |sample: &&Sample| {
            labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        };
        self.0.iter().filter(move |sample| sample.name == name).filter(has)
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split("\",").filter_map(|pair| {
            let (label, value) = pair.split_once("=\"")?;
            Some((label.to_owned(), value.trim_end_matches('"').to_owned()))
        });
        Some(Self { name: name.to_owned(), labels: labels.collect(), value: value.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_over_the_labels_that_are_not_asked_for() {
        let text =
            "# TYPE a counter\na{policy=\"chat\",reason=\"x\"} 2\na{policy=\"chat\",reason=\"y\"} 3\nb{} 7\n";
        let stats = Stats::parse(text);
        assert_eq!(stats.sum("a", &[("policy", "chat")]), 5.0);
        assert_eq!(stats.sum("a", &[("policy", "chat"), ("reason", "y")]), 3.0);
        assert_eq!(stats.sum("a", &[("policy", "other")]), 0.0);
        assert_eq!(stats.sum("b", &[]), 7.0);
    }
}
