//! The dynamic module in the place of the one of WebAssembly: its filters as they are shipped, and the names of its metrics.

use super::template::quoted;

/// The shipped filters.
const SHIPPED: &str = include_str!("../../../../e2e/dynamic-module/filters.yaml");

/// The shipped network filter.
const SHIPPED_NETWORK: &str = include_str!("../../../../e2e/dynamic-module/network-filter.yaml");

/// The file of the library in the shipped filters.
const LIBRARY: &str = "filename: /etc/envoy/libpostern.so}";

/// The first line of the shipped filters that is of the filters, and that of the network filter.
const FILTERS: &str = "# Envoy calls a filter no more";
const NETWORK_FILTER: &str = "# By it Pings and Closes";

/// The lines of a whole configuration between which its filter is, and those between which the labels of its metrics are.
const FILTER: [&str; 2] =
    ["                  - name: postern\n", "                  - name: envoy.filters.http.router\n"];
const LABELS: [&str; 2] = ["# Postern counts under names such as\n", "# Whoever reaches this port"];

/// The line of a whole configuration before which its network filters stand.
const MANAGER: &str = "            - name: envoy.filters.network.http_connection_manager\n";

/// The columns before a filter of a whole configuration, and before a network filter.
const INDENT: usize = 18;
const NETWORK_INDENT: usize = 12;

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
    let filters = of_library(SHIPPED, FILTERS, path, INDENT);
    let network = of_library(SHIPPED_NETWORK, NETWORK_FILTER, path, NETWORK_INDENT);
    let configuration = configuration.replacen(MANAGER, &format!("{network}{MANAGER}"), 1);
    between(&configuration, FILTER, &filters).replacen(
        TRAPS,
        "Envoy cuts by this whatever Postern should have lost.",
        1,
    )
}

/// Returns shipped filters from the line `first` on, of the library under `path`, and as far to the right as they stand.
fn of_library(shipped: &str, first: &str, path: &str, indent: usize) -> String {
    let body = shipped.find(first).and_then(|begin| shipped.get(begin..)).unwrap_or(shipped);
    let library = format!("filename: {}}}", quoted(path));
    let indent = " ".repeat(indent);
    body.replace(LIBRARY, &library).lines().map(|line| format!("{indent}{line}\n")).collect()
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
        for part in [FILTER, LABELS].concat().into_iter().chain([MANAGER, TRAPS]) {
            assert_eq!(whole.matches(part).count(), 1, "{part}");
        }
        assert_eq!(SHIPPED.matches(FILTERS).count(), 1);
        assert_eq!(SHIPPED.matches(LIBRARY).count(), 2, "of the sender, and of the filter that judges");
        assert_eq!(SHIPPED_NETWORK.matches(NETWORK_FILTER).count(), 1);
        assert_eq!(SHIPPED_NETWORK.matches(LIBRARY).count(), 1);
    }
}
