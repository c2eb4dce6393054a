//! The state of an Envoy, as its admin interface tells it under `/server_info`.

use serde::Deserialize;

use super::DocumentFault;

/// The state of an Envoy. Its health check fails while it drains, be it that an operator says so or the end of its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerState {
    /// The Envoy serves.
    Live,
    /// The Envoy is about to end.
    Draining,
    /// The Envoy does not serve yet, which says nothing of how it will go on.
    Starting,
}

/// The answer of an Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    pub(crate) state: ServerState,
    /// The number of hot restarts before this Envoy.
    epoch: u32,
    /// The number of answers in a row that the next Envoy gave in the place of this one, up to [`CERTAIN`].
    by_next: u8,
    /// Says whether another source has had the answer, and this one none yet.
    pub(super) is_inherited: bool,
}

/// The number of answers in a row of the next Envoy after which this one is over: it ends, and its listeners are closed.
const CERTAIN: u8 = 2;

/// The part of an answer that is read.
#[derive(Deserialize)]
struct WrittenServerInfo {
    state: String,
    #[serde(default)]
    command_line_options: WrittenOptions,
    /// Stands in what the workers share alone.
    #[serde(default)]
    by_next: u8,
}

#[derive(Default, Deserialize)]
struct WrittenOptions {
    #[serde(default)]
    restart_epoch: u32,
}

impl ServerInfo {
    /// Reads the answer of an admin interface, or the [`document`](Self::document) that is shared of it.
    pub(super) fn read(document: &[u8]) -> Result<Self, DocumentFault> {
        let fault = || {
            DocumentFault::new(
                "the answer does not say the state of an Envoy",
                "name the cluster of this Envoy's own admin interface in `drain_with_envoy.cluster`",
            )
        };
        let written: WrittenServerInfo = serde_json::from_slice(document).map_err(|_| fault())?;
        let state = match written.state.as_str() {
            "LIVE" => ServerState::Live,
            "DRAINING" => ServerState::Draining,
            "PRE_INITIALIZING" | "INITIALIZING" => ServerState::Starting,
            _ => return Err(fault()),
        };
        let (epoch, by_next) = (written.command_line_options.restart_epoch, written.by_next);
        Ok(Self { state, epoch, by_next, is_inherited: false })
    }

    /// Returns what a source knows of this Envoy that another one was asked for before, and that has no answer yet. That the Envoy
    /// ends has to be found anew: the other source may have asked elsewhere.
    pub(super) fn inherited(self) -> Self {
        Self { by_next: self.by_next.min(CERTAIN - 1), is_inherited: true, ..self }
    }

    /// Returns what is known of this Envoy by the answer, and by what was known `before`.
    ///
    /// By a hot restart the next Envoy takes over the address of the admin interface before it has read its configuration, and has
    /// this one close its listeners once it serves. So one that starts says nothing: it may never come to serve. One that serves
    /// says that this one drains, and by its second answer in a row that it ends. Then this one may still answer itself, and that
    /// it lives, on connections that were open before.
    pub(super) fn after(self, before: Option<Self>) -> Self {
        match before {
            Some(before) if self.state == ServerState::Starting || before.by_next >= CERTAIN => before,
            Some(before) if self.epoch > before.epoch => {
                let by_next = before.by_next.saturating_add(1);
                Self { state: ServerState::Draining, epoch: before.epoch, by_next, is_inherited: false }
            }
            _ => self,
        }
    }

    /// Returns the part of an answer that the workers share: all else changes with every second.
    pub(super) fn document(self) -> Vec<u8> {
        let state = match self.state {
            ServerState::Live => "LIVE",
            ServerState::Draining => "DRAINING",
            ServerState::Starting => "INITIALIZING",
        };
        let Self { epoch, by_next, .. } = self;
        let options = format!(r#"{{"restart_epoch":{epoch}}}"#);
        format!(r#"{{"state":"{state}","command_line_options":{options},"by_next":{by_next}}}"#).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(state: ServerState, epoch: u32) -> ServerInfo {
        ServerInfo { state, epoch, by_next: 0, is_inherited: false }
    }

    #[test]
    fn an_answer_says_the_state_whatever_else_it_has() {
        let of_epoch = r#"{"state":"LIVE","command_line_options":{"base_id":"7","restart_epoch":3}}"#;
        for (answer, read) in [
            (r#"{"version":"x","state":"LIVE","uptime_current_epoch":"3s"}"#, info(ServerState::Live, 0)),
            (r#"{"state":"DRAINING"}"#, info(ServerState::Draining, 0)),
            (r#"{"state":"PRE_INITIALIZING"}"#, info(ServerState::Starting, 0)),
            (r#"{"state":"INITIALIZING"}"#, info(ServerState::Starting, 0)),
            (of_epoch, info(ServerState::Live, 3)),
        ] {
            assert_eq!(ServerInfo::read(answer.as_bytes()), Ok(read), "{answer}");
            assert_eq!(ServerInfo::read(&read.document()), Ok(read), "what is shared says the same");
        }
    }

    #[test]
    fn an_answer_of_the_next_epoch_says_that_this_envoy_drains_and_the_second_in_a_row_that_it_ends() {
        let own = info(ServerState::Live, 4);
        for next in [info(ServerState::Live, 5), info(ServerState::Draining, 5)] {
            let drains = ServerInfo { by_next: 1, ..info(ServerState::Draining, 4) };
            let ends = ServerInfo { by_next: 2, ..drains };
            assert_eq!(next.after(Some(own)), drains);
            assert_eq!(next.after(Some(drains)), ends);
            assert_eq!(next.after(Some(ends)), ends, "as often as it is asked");
            assert_eq!(own.after(Some(ends)), ends, "it answers on connections that were open before");
            assert_eq!(own.after(Some(drains)), own, "one stray answer is taken back by the next");
            for known in [drains, ends] {
                assert_eq!(ServerInfo::read(&known.document()), Ok(known), "what is shared says the same");
            }
        }
        assert_eq!(own.after(Some(info(ServerState::Draining, 4))), own, "of itself it may come back");
        let next = info(ServerState::Live, 5);
        assert_eq!(next.after(None), next, "whose answer the first is nobody can tell");
    }

    #[test]
    fn an_envoy_that_starts_changes_nothing_whatever_its_epoch() {
        let ends = ServerInfo { by_next: 2, ..info(ServerState::Draining, 4) };
        let drains = ServerInfo { by_next: 1, ..ends };
        for before in [info(ServerState::Live, 4), info(ServerState::Draining, 4), drains, ends] {
            for epoch in [3, 4, 5] {
                assert_eq!(info(ServerState::Starting, epoch).after(Some(before)), before, "{epoch}");
            }
        }
        let starts = info(ServerState::Starting, 5);
        assert_eq!(starts.after(None), starts);
    }

    #[test]
    fn what_another_source_knew_holds_until_there_is_an_answer() {
        let own = info(ServerState::Live, 4);
        let ends = ServerInfo { by_next: 2, ..info(ServerState::Draining, 4) };
        let inherited = ends.inherited();
        assert_eq!((inherited.state, inherited.is_inherited), (ServerState::Draining, true));
        assert_eq!(own.after(Some(inherited)), own, "the other source may have asked elsewhere");
        assert_eq!(info(ServerState::Live, 5).after(Some(inherited)), ends);
        assert_eq!(info(ServerState::Starting, 5).after(Some(inherited)), inherited);
        assert!(
            !ServerInfo::read(&inherited.document()).unwrap().is_inherited,
            "what is shared was answered"
        );
    }

    #[test]
    fn what_is_no_answer_of_an_envoy_says_nothing() {
        for answer in [
            "",
            "DRAINING",
            "{}",
            r#"{"state":"draining"}"#,
            r#"{"state":1}"#,
            r#"{"state":null}"#,
            r#"{"state":"LIVE","state":"DRAINING"}"#,
            r#"{"state":"DRAINING","command_line_options":{"restart_epoch":-1}}"#,
            r#"{"state":"DRAINING"}x"#,
            r#"{"state":"DRAINING""#,
            r#"[{"state":"DRAINING"}]"#,
            "<html>DRAINING</html>",
        ] {
            assert!(ServerInfo::read(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
