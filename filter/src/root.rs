//! The root context, which takes a configuration and keeps time.

use std::rc::Rc;
use std::time::Duration;

use log::Level;
use postern_engine::{Detail, Engine, Input, read_configuration, spread, wanted_log_format};

use crate::sessions::{Live, Plugin};
use crate::sources::Fetches;
use crate::stream::Stream;
use crate::{gauges, host, live, log_lines, memory, metrics, rate_limit, sessions, sources, stream, tables};

/// One configuration of the filter on one worker.
pub(crate) struct Root {
    context_id: u32,
    plugin: Plugin,
    engine: Option<Rc<Engine>>,
    fetches: Fetches,
    tick_period: Duration,
    configured_at: Duration,
}

impl Root {
    pub(crate) fn new(context_id: u32) -> Self {
        let (plugin, fetches) = (Plugin::default(), Fetches::default());
        let [tick_period, configured_at] = [Duration::ZERO; 2];
        Self { context_id, plugin, engine: None, fetches, tick_period, configured_at }
    }

    /// Puts the configuration in force for the whole VM.
    fn put_in_force(&self, engine: &Engine) {
        sessions::put_in_force(&self.plugin, self.context_id, engine);
        log_lines::put_in_force(engine);
        memory::set_budget(engine.memory_budget());
        // The clock may have been set back since.
        let at = self.configured_at.min(host::now());
        sessions::set_drains(&self.plugin, self.context_id, at, engine);
    }

    /// Sends away, one after the other, the connections that are open under policies that go away.
    fn drain(&self, engine: &Engine) {
        let now = self.configured_at;
        for (policy, over) in engine.draining() {
            let open = sessions::under(&self.plugin, policy);
            tell_draining(policy, open.len());
            tell_each(&open, spread(now, over, open.len()).map(Input::Drain), now);
        }
    }

    /// Sends away, one after the other, all connections that are open when Envoy is about to end, and keeps those that are
    /// left once it is not any more, or nobody asks any more.
    fn follow_envoy(&self, engine: &Engine, now: Duration) {
        if !sessions::is_in_force(&self.plugin, self.context_id) {
            return;
        }
        match sessions::follow_envoy(&self.plugin, engine, now) {
            Some(Some(over)) => {
                let open = sessions::of(&self.plugin);
                tell_envoy_drains(open.len());
                tell_each(&open, spread(now, over, open.len()).map(Input::DrainWithEnvoy), now);
            }
            Some(None) => {
                match engine.server_info() {
                    Some(_) => tell_envoy_lives(),
                    None => tell_envoy_unasked(),
                }
                tell_each(&sessions::of(&self.plugin), std::iter::repeat_with(|| Input::StayWithEnvoy), now);
            }
            None => {}
        }
    }

    /// Has the next tick come soon if more is due than was done in one.
    fn set_tick_period(&mut self, now: Duration, is_more_due: bool) {
        let is_soon = is_more_due || sessions::is_any_due(now);
        let period = if is_soon { sessions::SOON } else { sessions::LATEST };
        // A host may forget that the next tick is to come soon once it has come.
        if std::mem::replace(&mut self.tick_period, period) != period || is_soon {
            host::set_tick_period(period);
        }
    }

    fn compile(configuration: &[u8]) -> Result<Engine, String> {
        let config = read_configuration(configuration).map_err(|problems| problems.to_string())?;
        let seed = tables::seed().ok_or("the host has no randomness or no shared data")?;
        let env = |name: &str| std::env::var(name).ok();
        Engine::compile(config, &env, seed).map_err(|problems| problems.to_string())
    }
}

impl Root {
    /// Takes the answer to a fetch, with this number of header fields and bytes.
    pub(crate) fn on_fetched(&mut self, call: u32, fields: usize, body_len: usize) {
        let now = host::now();
        let changed = self.fetches.on_answer(call, fields, body_len, now);
        sources::tell(changed, now);
        memory::keep_within_budget(now);
        host::enter(self.context_id);
        self.set_tick_period(now, false);
    }

    /// Takes that a fetch came to nothing, since there is no such cluster.
    #[cfg(feature = "dynamic-module")]
    pub(crate) fn on_not_called(&mut self, call: u32) {
        let now = host::now();
        sources::tell(self.fetches.on_not_called(call, now), now);
        host::enter(self.context_id);
    }

    /// Takes the answer of a rate limit service, of this gRPC status and length.
    pub(crate) fn on_rate_limit_answered(&mut self, call: u32, status: u32, len: usize) {
        rate_limit::on_answer(call, status, len);
        host::enter(self.context_id);
        self.set_tick_period(host::now(), false);
    }

    /// Hands over what others are to tell or to look after: no tick comes until there is a stream.
    #[cfg(feature = "dynamic-module")]
    pub(crate) fn rest(&mut self) {
        let now = host::now();
        self.fetches.give_up(now);
        if let Some(engine) = &self.engine {
            rate_limit::on_tick(&engine.rate_limits(), now);
        }
        tables::tick(now);
        metrics::rest(now);
        log_lines::hand_over();
    }

    /// Gives back what others share, since nothing comes any more.
    pub(crate) fn on_done(&mut self) {
        self.fetches.give_up(host::now());
        tables::tick(host::now());
        gauges::end(self.context_id);
        sessions::forget(&self.plugin, self.context_id);
        metrics::envoy_drains(sessions::is_any_with_envoy());
    }

    /// Takes the configuration, once, and says whether it is valid.
    pub(crate) fn on_configure(&mut self, configuration: &[u8]) -> bool {
        match Self::compile(configuration) {
            Ok(engine) => {
                let policies: Vec<_> = engine.policies().collect();
                self.plugin = host::plugin().into();
                self.configured_at = host::now();
                follow_clock(self.configured_at);
                host::keep_metrics_of(engine.policies().chain([metrics::NO_POLICY]));
                metrics::configured(engine.policies(), self.configured_at);
                self.put_in_force(&engine);
                tell_policies(&policies);
                self.drain(&engine);
                // Envoy tries a configuration on a VM that it throws away at once, which must not take it
                // upon itself to fetch. So fetching begins with the first tick, and until then what is there
                // serves.
                gauges::begin(self.context_id);
                self.fetches.begin(&engine.sources(), host::now());
                self.engine = Some(Rc::new(engine));
                self.tick_period = sessions::LATEST;
                host::set_tick_period(self.tick_period);
                true
            }
            Err(problems) => {
                metrics::configuration_rejected();
                tell_problems(configuration, &problems);
                false
            }
        }
    }

    /// Does what is due; at the interval that [`host::set_tick_period`] was given.
    pub(crate) fn on_tick(&mut self) {
        let now = host::now();
        // What is set from now on is by the clock as it is.
        follow_clock(now);
        if let Some(engine) = &self.engine {
            if !sessions::is_any_in_force(&self.plugin) {
                // The configuration after this one is gone, and this one has streams, or was pushed again.
                self.put_in_force(engine);
            }
            let changed = self.fetches.on_tick(&engine.sources(), now);
            sources::tell(changed, now);
            self.follow_envoy(engine, now);
        }
        metrics::envoy_drains(sessions::is_any_with_envoy());
        for live in sessions::busy() {
            let mut session = live.session.borrow_mut();
            session.note_time(now);
            let tally = session.take_tally();
            metrics::tally(session.policy(), &tally);
            metrics::measures(session.policy(), session.take_measures());
        }
        if let Some(engine) = &self.engine {
            rate_limit::on_tick(&engine.rate_limits(), now);
        }
        for live in sessions::due(now) {
            if host::enter(live.context_id) {
                let mut session = live.session.borrow_mut();
                tables::handle(&mut session, Input::Timer, now);
                stream::perform(&live, &mut session, now);
            }
        }
        tables::tick(now);
        let more_are_replaced = live::tick(now);
        memory::keep_within_budget(now);
        host::enter(self.context_id);
        metrics::flush(now);
        log_lines::on_tick(now);
        self.set_tick_period(now, more_are_replaced);
    }

    /// Opens a stream under the configuration.
    pub(crate) fn open(&self, context_id: u32) -> Stream {
        let (plugin, engine) = (Rc::clone(&self.plugin), self.engine.clone());
        // A configuration that is pushed again while streams that began under it are open is not configured
        // again.
        if let Some(engine) = engine.as_ref().filter(|_| !sessions::is_in_force(&plugin, self.context_id)) {
            self.put_in_force(engine);
        }
        Stream::new(context_id, plugin, self.context_id, engine)
    }
}

/// Moves the times of all sessions with a clock that was set back.
fn follow_clock(now: Duration) {
    let Some(by) = sessions::set_back(now) else { return };
    for live in sessions::scheduled() {
        live.set_back(by);
        let mut session = live.session.borrow_mut();
        tables::handle(&mut session, Input::SetBack(by), now);
        live.schedule(session.deadline());
    }
}

/// Gives each of these connections one of the inputs.
fn tell_each(open: &[Rc<Live>], inputs: impl Iterator<Item = Input>, now: Duration) {
    for (live, input) in open.iter().zip(inputs) {
        let mut session = live.session.borrow_mut();
        tables::handle(&mut session, input, now);
        live.schedule(session.deadline());
    }
}

fn tell_policies(policies: &[&str]) {
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("postern {version}: policies {}", policies.join(", "));
    let details = [("version", Detail::Text(version)), ("policies", Detail::List(policies))];
    log_lines::write(Level::Info, "configured", &text, &details);
}

fn tell_draining(policy: &str, connections: usize) {
    let text = format!("postern: policy={policy} goes away, and {connections} connections with it");
    let details = [("policy", Detail::Text(policy)), ("connections", Detail::Number(connections as u64))];
    log_lines::write(Level::Info, "draining", &text, &details);
}

fn tell_envoy_drains(connections: usize) {
    let text = format!("postern: this Envoy drains, and {connections} connections of this worker go with it");
    let details = [("connections", Detail::Number(connections as u64))];
    log_lines::write(Level::Info, "envoy_drains", &text, &details);
}

fn tell_envoy_lives() {
    let text = "postern: this Envoy drains no more, and lets clients in again";
    log_lines::write(Level::Info, "envoy_lives", text, &[]);
}

fn tell_envoy_unasked() {
    let text = "postern: drain_with_envoy is not set any more: nobody asks whether this Envoy drains, and clients are let in again";
    log_lines::write(Level::Info, "envoy_unasked", text, &[]);
}

/// Tells every problem of the configuration, in the form that it asks for.
fn tell_problems(configuration: &[u8], problems: &str) {
    let before = log_lines::set_format(wanted_log_format(configuration));
    for problem in problems.lines() {
        let text = format!("postern: configuration refused: {problem}");
        log_lines::write(Level::Error, "configuration_refused", &text, &[("message", Detail::Text(problem))]);
    }
    log_lines::set_format(before);
}
