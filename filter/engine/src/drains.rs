//! The policies that go away, alone or with their Envoy, and the time that each of their connections has.
//!
//! Owns what the configurations of a VM have said of that. Sends nobody away: [`Input::Drain`](crate::Input::Drain) and
//! [`Input::DrainWithEnvoy`](crate::Input::DrainWithEnvoy) tell a session.

use std::collections::BTreeMap;
use std::time::Duration;

/// The policies that go away, for each filter of a VM. `Plugin` tells the filters apart; a root is one
/// configuration of a filter.
#[derive(Debug)]
pub struct Drains<Plugin> {
    by: BTreeMap<(Plugin, String), Drain>,
    /// The times by which connections end with their Envoy, for each filter that goes with it, since the Unix epoch.
    with_envoy: BTreeMap<Plugin, Duration>,
}

/// The end of a policy.
#[derive(Clone, Copy, Debug)]
struct Drain {
    /// The time by which its connections end, since the Unix epoch.
    by: Duration,
    /// The root of the configuration that ends the policy.
    root: u32,
}

impl<Plugin> Default for Drains<Plugin> {
    fn default() -> Self {
        Self { by: BTreeMap::new(), with_envoy: BTreeMap::new() }
    }
}

impl<Plugin: Clone + Ord> Drains<Plugin> {
    /// Takes the configuration of `root` as the one that holds for `plugin`: these policies go away, each
    /// within so long from `at` on, and no others.
    pub fn set<'a>(
        &mut self,
        plugin: &Plugin,
        root: u32,
        at: Duration,
        policies: impl Iterator<Item = (&'a str, Duration)>,
    ) {
        self.by.retain(|(of, _), _| of != plugin);
        self.by.extend(policies.map(|(policy, over)| {
            ((plugin.clone(), policy.to_owned()), Drain { by: at.saturating_add(over), root })
        }));
    }

    /// Returns the time by which a connection must end that opens now under `policy`, having begun under the
    /// configuration of `root`: the policy may have been told to go away while the handshake was under way. A
    /// connection that the same configuration has let in all the same, by an override for its route, stays.
    pub fn ends_by(&self, plugin: &Plugin, policy: &str, root: u32) -> Option<Duration> {
        let drain = self.by.get(&(plugin.clone(), policy.to_owned()))?;
        (drain.root != root).then_some(drain.by)
    }

    /// Takes what the configuration that holds for `plugin` knows at `now`: that its connections end with their Envoy, within
    /// `over`, or that they do not. Says whether that is new.
    pub fn follow_envoy(&mut self, plugin: &Plugin, over: Option<Duration>, now: Duration) -> bool {
        let drains = self.with_envoy.contains_key(plugin);
        match over {
            Some(over) if !drains => {
                self.with_envoy.insert(plugin.clone(), now.saturating_add(over));
            }
            None => {
                self.with_envoy.remove(plugin);
            }
            Some(_) => {}
        }
        drains != over.is_some()
    }

    /// Says whether the connections of any filter end with their Envoy.
    pub fn is_any_with_envoy(&self) -> bool {
        !self.with_envoy.is_empty()
    }

    /// Forgets what the configurations of `plugin` have said, which is gone.
    pub fn forget(&mut self, plugin: &Plugin) {
        self.by.retain(|(of, _), _| of != plugin);
        self.with_envoy.remove(plugin);
    }

    /// Moves all times with a clock that was set back by so much.
    pub fn set_back(&mut self, by: Duration) {
        let times = self.by.values_mut().map(|drain| &mut drain.by).chain(self.with_envoy.values_mut());
        for time in times {
            *time = time.saturating_sub(by);
        }
    }

    /// Returns the time by which a connection must end that opens now, having begun before its Envoy drained.
    pub fn ends_with_envoy_by(&self, plugin: &Plugin) -> Option<Duration> {
        self.with_envoy.get(plugin).copied()
    }
}

/// Returns the times by which `open` connections end, one after the other, the last `over` after `at`.
pub fn spread(at: Duration, over: Duration, open: usize) -> impl Iterator<Item = Duration> {
    let open = u32::try_from(open).unwrap_or(u32::MAX);
    let share = over / open.max(1);
    (1..=open).map(move |turn| at.saturating_add(share.saturating_mul(turn)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Duration = Duration::from_secs(1_800_000_000);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn connections_end_one_after_the_other_within_the_time_that_there_is() {
        let ends: Vec<_> = spread(AT, seconds(10), 4).map(|at| at - AT).collect();
        assert_eq!(ends, [2_500, 5_000, 7_500, 10_000].map(Duration::from_millis));
        assert_eq!(spread(AT, seconds(10), 0).count(), 0);
        assert!(spread(Duration::MAX, seconds(10), 3).all(|at| at == Duration::MAX), "no sum wraps");
    }

    #[test]
    fn who_opens_late_ends_with_the_policy_but_for_who_came_by_the_configuration_that_says_so() {
        let mut drains = Drains::default();
        drains.set(&"edge", 7, AT, [("chat", seconds(10))].into_iter());
        assert_eq!(drains.ends_by(&"edge", "chat", 6), Some(AT + seconds(10)));
        assert_eq!(drains.ends_by(&"edge", "chat", 7), None, "an override of its route keeps it");
        assert_eq!(drains.ends_by(&"edge", "feed", 6), None);
        assert_eq!(drains.ends_by(&"other", "chat", 6), None, "another filter's policy of that name");
    }

    #[test]
    fn the_end_with_envoy_is_told_once_and_lasts_until_envoy_lives_again() {
        let mut drains = Drains::default();
        assert!(!drains.follow_envoy(&"edge", None, AT));
        assert!(drains.follow_envoy(&"edge", Some(seconds(30)), AT));
        assert!(!drains.follow_envoy(&"edge", Some(seconds(30)), AT + seconds(1)));
        assert_eq!(
            drains.ends_with_envoy_by(&"edge"),
            Some(AT + seconds(30)),
            "by the first time it was told"
        );
        assert_eq!(
            drains.ends_with_envoy_by(&"other"),
            None,
            "another filter's configuration does not say so"
        );
        assert!(drains.follow_envoy(&"edge", None, AT + seconds(2)));
        assert_eq!(drains.ends_with_envoy_by(&"edge"), None);
        assert!(drains.follow_envoy(&"edge", Some(seconds(30)), AT + seconds(9)));
        assert_eq!(drains.ends_with_envoy_by(&"edge"), Some(AT + seconds(39)));
    }

    #[test]
    fn a_clock_that_is_set_back_takes_every_end_with_it() {
        let mut drains = Drains::default();
        drains.set(&"edge", 7, AT, [("chat", seconds(10))].into_iter());
        drains.follow_envoy(&"edge", Some(seconds(30)), AT);
        drains.set_back(seconds(3600));
        let at = AT - seconds(3600);
        assert_eq!(drains.ends_by(&"edge", "chat", 6), Some(at + seconds(10)));
        assert_eq!(drains.ends_with_envoy_by(&"edge"), Some(at + seconds(30)));
    }

    #[test]
    fn of_several_filters_one_is_enough_to_drain_and_one_that_is_gone_is_none() {
        let mut drains = Drains::default();
        drains.set(&"edge", 7, AT, [("chat", seconds(10))].into_iter());
        drains.follow_envoy(&"edge", Some(seconds(30)), AT);
        drains.follow_envoy(&"other", Some(seconds(30)), AT);
        drains.follow_envoy(&"other", None, AT);
        assert!(drains.is_any_with_envoy());
        drains.forget(&"edge");
        assert!(!drains.is_any_with_envoy());
        assert_eq!(drains.ends_by(&"edge", "chat", 6), None);
    }

    #[test]
    fn a_configuration_takes_back_what_the_one_before_said_of_the_same_filter() {
        let mut drains = Drains::default();
        drains.set(&"edge", 7, AT, [("chat", seconds(10))].into_iter());
        drains.set(&"other", 8, AT, [("chat", seconds(10))].into_iter());
        drains.set(&"edge", 9, AT, std::iter::empty());
        assert_eq!(drains.ends_by(&"edge", "chat", 6), None);
        assert_eq!(drains.ends_by(&"other", "chat", 6), Some(AT + seconds(10)));
    }
}
