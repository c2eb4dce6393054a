//! The memory that connections may take at worst, against the budget.

use postern_config::{Config, Problem};
use postern_engine::{judge_budget, most_held};

/// Returns the problems of the budget, which are of one policy each.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    config.policies.values().filter_map(|policy| judge_budget(config.memory.budget, policy)).collect()
}

/// Returns a line for each policy: the most memory of one connection, and the number of such connections that
/// the budget has room for.
pub(super) fn worst_cases(config: &Config) -> Vec<String> {
    let budget = config.memory.budget;
    let line = |policy: &postern_config::Policy| match most_held(policy) {
        0 => format!("memory: `{}` holds nothing of what peers send", policy.name),
        most => format!(
            "memory: `{}` holds up to {} of a connection; `memory.budget` of {} has room for {} of these in a worker",
            policy.name,
            shown(most),
            shown(budget),
            budget / most,
        ),
    };
    config.policies.values().map(line).collect()
}

/// Writes a size in the largest unit of which it has one, rounded up.
fn shown(bytes: u64) -> String {
    match bytes {
        0..0x400 => format!("{bytes} bytes"),
        0x400..0x10_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_connections_may_hold_at_worst_is_told_for_each_policy() {
        let config = Config::from_value(json!({
            "policies": {
                "binary": {"origins": {"allow": ["*"]}, "auth": "none", "messages": {"types": ["binary"]}},
                "chat": {"origins": {"allow": ["*"]}, "auth": "none"},
            },
            "memory": {"budget": "1MiB"},
        }));
        let lines = worst_cases(&config.unwrap());
        assert_eq!(
            lines,
            [
                "memory: `binary` holds nothing of what peers send",
                "memory: `chat` holds up to 69 KiB of a connection; `memory.budget` of 1 MiB has room for 14 of these \
                 in a worker",
            ]
        );
    }
}
