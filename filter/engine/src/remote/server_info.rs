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
    /// Says whether another Envoy has taken over from this one.
    is_superseded: bool,
}

/// The part of an answer that is read.
#[derive(Deserialize)]
struct WrittenServerInfo {
    state: String,
    #[serde(default)]
    command_line_options: WrittenOptions,
    /// Stands in what the workers share alone.
    #[serde(default)]
    is_superseded: bool,
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
        let (epoch, is_superseded) = (written.command_line_options.restart_epoch, written.is_superseded);
        Ok(Self { state, epoch, is_superseded })
    }

    /// Returns what the answer says of the Envoy that gave the one `before`. By a hot restart the next Envoy takes over the
    /// address of the admin interface, and answers in the place of one that is about to end; which may go on to answer itself, and
    /// that it lives, on connections that were open before.
    pub(super) fn after(self, before: Option<Self>) -> Self {
        match before {
            Some(before) if before.is_superseded || self.epoch > before.epoch => {
                Self { state: ServerState::Draining, epoch: before.epoch, is_superseded: true }
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
        let Self { epoch, is_superseded, .. } = self;
        let options = format!(r#"{{"restart_epoch":{epoch}}}"#);
        format!(r#"{{"state":"{state}","command_line_options":{options},"is_superseded":{is_superseded}}}"#)
            .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(state: ServerState, epoch: u32) -> ServerInfo {
        ServerInfo { state, epoch, is_superseded: false }
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
    fn an_answer_of_the_next_epoch_says_that_this_envoy_ends() {
        let (own, next) = (info(ServerState::Live, 4), info(ServerState::Live, 5));
        let ends = ServerInfo { is_superseded: true, ..info(ServerState::Draining, 4) };
        assert_eq!(next.after(Some(own)), ends);
        assert_eq!(next.after(Some(ends)), ends, "as often as it is asked");
        assert_eq!(info(ServerState::Starting, 5).after(Some(own)), ends);
        assert_eq!(own.after(Some(ends)), ends, "it answers on connections that were open before");
        assert_eq!(ServerInfo::read(&ends.document()), Ok(ends), "what is shared says the same");
        let well = info(ServerState::Live, 4);
        assert_eq!(well.after(Some(info(ServerState::Draining, 4))), well, "of itself it may come back");
        assert_eq!(next.after(None), next, "whose answer the first is nobody can tell");
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
