//! The time for which Envoy lets a connection stand on which nothing moves.
//!
//! Postern lets something move or ends the connection. So Envoy's idle timeout must be longer than that; and
//! there must be one, for the connections of a worker whose VM has trapped.

use std::time::Duration;

use postern_config::{Config, Path, Policy, parse_duration};

use crate::finding::{Code, Finding, Remark};
use crate::source::{Manager, envoy};
use crate::yaml::{Member, Node};

/// The default of Envoy's own `stream_idle_timeout`.
const DEFAULT: Duration = Duration::from_secs(300);

/// The timeout of the shipped configuration, more than the ten `idle_timeout`s that a service may leave a
/// client unread.
const SHIPPED: Duration = Duration::from_secs(330);

/// Warns of the idle timeouts of a manager with Postern, under these configurations.
pub(super) fn judge<'c>(
    manager: &Manager<'_>,
    configs: impl Iterator<Item = &'c Config>,
    findings: &mut Vec<Finding>,
) {
    let longest = configs.flat_map(|config| config.policies.values()).max_by_key(|policy| silence(policy));
    let routes = envoy::field(manager.written, "route_config");
    let hosts = routes.and_then(|routes| envoy::field(routes, "virtual_hosts")).map(Node::items);
    let routes = hosts.unwrap_or_default().iter().filter_map(|host| envoy::field(host, "routes"));
    let actions: Vec<_> =
        routes.flat_map(Node::items).filter_map(|route| envoy::field(route, "route")).collect();
    let own = actions.iter().filter_map(|action| envoy::member(action, "idle_timeout"));
    findings.extend(own.filter_map(|member| warning("idle_timeout", member, longest)));
    // No route has the timeout of the manager if every one has its own.
    let has_own = |action: &&Node| envoy::member(action, "idle_timeout").is_some();
    if !actions.is_empty() && actions.iter().all(has_own) {
        return;
    }
    match (envoy::member(manager.written, "stream_idle_timeout"), longest) {
        (Some(member), _) => findings.extend(warning("stream_idle_timeout", member, longest)),
        (None, Some(policy)) if silence(policy) >= DEFAULT => {
            let warning = too_short("stream_idle_timeout", "is missing, and 5 min by default", policy);
            findings.push(warning.at(manager.written.position));
        }
        (None, _) => {}
    }
}

fn warning(path: &str, member: &Member, longest: Option<&Policy>) -> Option<Finding> {
    let time = parse_duration(member.value.text()?)?;
    let warning = match longest.filter(|policy| silence(policy) >= time) {
        _ if time.is_zero() => Remark::new(
            Code::IdleTimeout,
            &Path::root().key(path),
            "is 0, so that after a trap of the module nothing ends the connections of its worker on which nobody says \
             anything",
            format!("write `{path}: {}s`", longest.map_or(SHIPPED, enough).as_secs()),
        ),
        Some(policy) => too_short(path, "is too short", policy),
        None => return None,
    };
    Some(warning.at(member.position))
}

fn too_short(path: &str, what: &str, policy: &Policy) -> Remark {
    let (name, seconds) = (&policy.name, silence(policy).as_secs_f64());
    let what = format!(
        "{what}: `{name}` leaves connections without a byte for {seconds} s, and Envoy cuts without a Close"
    );
    Remark::new(
        Code::IdleTimeout,
        &Path::root().key(path),
        what,
        format!("write `{path}: {}s`", enough(policy).as_secs()),
    )
}

/// Returns the longest time in which nothing moves on a connection whose service reads what it is sent.
fn silence(policy: &Policy) -> Duration {
    let live = &policy.liveness;
    let asked = live.ping_interval.map(|interval| interval.saturating_add(live.pong_timeout));
    asked.unwrap_or(live.idle_timeout).min(live.idle_timeout).saturating_add(live.close_timeout)
}

/// Returns a timeout that is longer than that.
pub(crate) fn enough(policy: &Policy) -> Duration {
    let seconds = silence(policy).saturating_add(Duration::from_secs(30)).as_secs();
    SHIPPED.max(Duration::from_secs(seconds))
}
