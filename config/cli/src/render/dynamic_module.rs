//! The dynamic module in the place of the one of WebAssembly: its filters as they are shipped, and the names of its metrics.

use super::template::quoted;

/// The shipped filters.
const SHIPPED: &str = include_str!("../../../../e2e/dynamic-module/filters.yaml");

/// The file of the library in the shipped filters.
const LIBRARY: &str = "filename: /etc/envoy/libpostern.so}";

/// The first line of the shipped filters that is of the filters.
const FILTERS: &str = "# Envoy calls a filter no more";

/// The lines of a whole configuration between which its filter is, and those between which the labels of its metrics are.
const FILTER: [&str; 2] =
    ["                  - name: postern\n", "                  - name: envoy.filters.http.router\n"];
const LABELS: [&str; 2] = ["# Postern counts under names such as\n", "# Whoever reaches this port"];

/// The columns before a filter of a whole configuration.
const INDENT: usize = 18;

/// The words on the idle timeout that hold for WebAssembly alone.
const TRAPS: &str = "If a worker's VM should ever trap, nobody asks for its sockets any
                            # more; Envoy cuts them by this.";

const RUNTIME: &str = "\
# Metrics have the names that the documents of Postern say, without a prefix of Envoy's. Their labels need no expressions.
layered_runtime:
  layers:
    - name: postern
      static_layer: {envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix: true}

";

/// Returns a whole configuration with the filters of this library, which Envoy finds under `path`, in the place of its own.
pub(super) fn put(configuration: &str, path: &str) -> String {
    let body = SHIPPED.find(FILTERS).and_then(|begin| SHIPPED.get(begin..)).unwrap_or(SHIPPED);
    let library = format!("filename: {}}}", quoted(path));
    let filters: String = body
        .replace(LIBRARY, &library)
        .lines()
        .map(|line| format!("{}{line}\n", " ".repeat(INDENT)))
        .collect();
    between(configuration, FILTER, &filters).replacen(
        TRAPS,
        "Envoy cuts by this whatever Postern should have lost.",
        1,
    )
}

/// Returns a whole configuration with the names that metrics of the dynamic module have in the place of the labels of the other.
pub(super) fn name_metrics(configuration: &str) -> String {
    between(configuration, LABELS, RUNTIME)
}

/// Puts `text` in the place of the line `first` and of what follows it before the line `end`.
fn between(whole: &str, [first, end]: [&str; 2], text: &str) -> String {
    let parts = whole.split_once(first).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some(format!("{before}{text}{end}{after}"))
    });
    parts.unwrap_or_else(|| whole.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exchanged_is_in_the_shipped_configurations() {
        let whole = include_str!("../../../../envoy.yaml");
        for part in [FILTER, LABELS].concat().into_iter().chain([TRAPS]) {
            assert_eq!(whole.matches(part).count(), 1, "{part}");
        }
        assert_eq!(SHIPPED.matches(FILTERS).count(), 1);
        assert_eq!(SHIPPED.matches(LIBRARY).count(), 2, "of the sender, and of the filter that judges");
    }
}
