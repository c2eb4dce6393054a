//! A row of the tables: what is asked and done, and the line of Envoy's log that then tells of it.

use postern_e2e::{Frame, Request, Response, json};

use crate::documented;
use crate::stage::Stage;

/// An act of a client or its service, beside the request of the row.
#[derive(Debug)]
pub(crate) enum Act {
    /// Nothing: the handshake is refused.
    Asks,
    /// The client sends this before the answer to the handshake.
    SendsEarly(Vec<u8>),
    /// The client sends this.
    Sends(Vec<u8>),
    /// The service sends this.
    Hears(Vec<u8>),
    /// Nobody says anything.
    Waits,
    /// The service leaves this unfinished, while the client goes on with Pongs.
    HearsUnfinished(Vec<u8>),
    /// The client ends its stream of HTTP/2 with trailers.
    SendsTrailers,
    /// A client at another address sends this token until none of that address is judged any more.
    Guesses(String),
    /// The list of revoked tokens grows by this id.
    IsRevoked(&'static str),
    /// Another connection is opened by this request.
    MakesWay(Request),
}

/// The way in which a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// The handshake is refused.
    Refuses,
    /// An open connection is closed.
    Closes,
}

/// The end of a row, as its client sees it.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The handshake is answered.
    Refused(Response),
    /// A Close comes.
    Closed(Frame),
}

/// A reason, how it is provoked, and what is told of it.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its fault, for the message of a failed test.
    pub(crate) name: &'static str,
    /// The policy, as the log names it.
    pub(crate) policy: String,
    /// A request ahead of the row's own, whose connection stays, and the status that it is answered with.
    pub(crate) before: Option<(Request, u16)>,
    /// The request.
    pub(crate) request: Request,
    /// The act that follows.
    pub(crate) act: Act,
    /// The id of the reason.
    pub(crate) reason: &'static str,
    /// The line of the log from `rule=` to the client's address.
    pub(crate) told: String,
}

impl Row {
    /// A row whose request falls under the policy that its path names, `/ws/<policy>`.
    pub(crate) fn new(
        name: &'static str,
        request: Request,
        act: Act,
        reason: &'static str,
        told: impl Into<String>,
    ) -> Self {
        let policy = policy_of(&request);
        let told = told.into();
        Self { name, policy, before: None, request, act, reason, told }
    }

    /// The row with a request ahead of its own, which is let in.
    pub(crate) fn after(self, request: Request) -> Self {
        Self { before: Some((request, 101)), ..self }
    }

    /// The row with a request ahead of its own, which is refused with this status.
    pub(crate) fn after_refusal(self, request: Request, status: u16) -> Self {
        Self { before: Some((request, status)), ..self }
    }

    /// The row under no policy.
    pub(crate) fn without_policy(self) -> Self {
        Self { policy: "none".to_owned(), ..self }
    }

    /// The way in which it ends.
    pub(crate) fn way(&self) -> Way {
        match self.act {
            Act::Asks | Act::SendsEarly(_) | Act::Guesses(_) => Way::Refuses,
            _ => Way::Closes,
        }
    }

    /// Asserts that client, access log and log are told the same of `ending`, as the documentation has it. `case` is the
    /// id of the request that ended so.
    pub(crate) async fn assert_told(&self, stage: &Stage, case: &str, ending: &Ending) {
        let Self { name, policy, reason, told, .. } = self;
        let (verb, status) = self.assert_documented(ending);
        let line = stage.scene.access_line(case).await;
        let rule = told.trim_start_matches("rule=").split(' ').next().unwrap_or_default();
        let logged = ["status", "reason", "policy", "rule"].map(|field| &line[field]);
        let expected = [json!(status), json!(reason), json!(policy), json!(rule)];
        assert_eq!(logged, expected.each_ref(), "{name}: access log");
        let id = line["request_id"].as_str().unwrap_or_else(|| panic!("{name}: no request id in {line}"));
        if let Ending::Refused(response) = ending {
            assert_eq!(response.json()["instance"], format!("urn:uuid:{id}"), "{name}");
        }
        let lines = stage.scene.envoy().logged(&format!(" request={id} ")).await;
        let expected =
            format!(" postern: {verb} policy={policy} reason={reason} request={id} {told} address=");
        let is_told = lines.len() == 1 && lines.iter().all(|line| line.contains(&expected));
        assert!(is_told, "{name}:\n  {lines:?} instead of\n  {expected}");
    }

    /// Asserts that the client is told as the documentation has it, and returns the verb of the log and the status.
    fn assert_documented(&self, ending: &Ending) -> (&'static str, u16) {
        let Self { name, reason, .. } = self;
        let table = documented::table();
        let documented = table.get(reason).unwrap_or_else(|| panic!("{name}: {reason} is not documented"));
        match ending {
            Ending::Refused(response) => {
                let told = (Some(response.status), response.reason());
                assert_eq!(told, (documented.status, Some((*reason).to_owned())), "{name}: {response:?}");
                assert_eq!(response.json()["title"], documented.title, "{name}");
                ("refused", response.status)
            }
            Ending::Closed(close) => {
                let told = (close.code(), close.reason());
                assert_eq!(told, (documented.close, (*reason).to_owned()), "{name}");
                ("closed", 101)
            }
        }
    }
}

/// The name behind `/ws/` in the path of the request.
fn policy_of(request: &Request) -> String {
    let bytes = request.bytes();
    let head = String::from_utf8_lossy(&bytes);
    let behind = head.split("/ws/").nth(1).unwrap_or_default();
    behind.chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// The end of a line about a client's doing.
pub(crate) fn by_client(rule: &str, cause: &str) -> String {
    format!("rule={rule} side=client cause=\"{cause}\"")
}

/// The end of a line about a service's doing.
pub(crate) fn by_service(rule: &str, cause: &str) -> String {
    format!("rule={rule} side=upstream cause=\"{cause}\"")
}
