//! How a line of the log reads: as words and fields, or as one JSON object.
//!
//! Whatever a peer wrote is escaped and bounded before it comes here ([`Shown`]); in JSON all is escaped once
//! more. So a line is a line, and none begins in the middle of another.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use postern_config::LogFormat;
use serde::{Serialize, Serializer};

use super::timestamp::Timestamp;
use crate::auth::subject_key::SubjectHash;
use crate::decision::Violation;
use crate::decision::cause::Shown;

/// A rule that did not hold on some stream, and all that a line says of both. Its `Display` is the line as text.
#[derive(Clone, Copy, Debug)]
pub struct Incident<'i> {
    /// The word for what became of it, such as `refused`.
    pub event: &'i str,
    /// The policy.
    pub policy: &'i str,
    /// The rule, with reason, side and cause.
    pub violation: &'i Violation,
    /// The name of the request, which its problem document has as `instance`.
    pub request: &'i str,
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// The Origin of the handshake.
    pub origin: Option<&'i Shown>,
    /// The hash that stands for the user.
    pub subject: Option<SubjectHash>,
}

/// Something else worth a line.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'n> {
    /// The word by which a JSON object tells it from others.
    pub event: &'n str,
    /// The line as text.
    pub text: &'n str,
    /// The members of the JSON object, with their names.
    pub details: &'n [(&'n str, Detail<'n>)],
}

/// A member of the JSON object of a notice.
#[derive(Clone, Copy, Debug)]
pub enum Detail<'n> {
    /// A list of texts.
    List(&'n [&'n str]),
    /// A number.
    Number(u64),
    /// A text.
    Text(&'n str),
}

impl Incident<'_> {
    /// Returns the line, written at `now`.
    pub fn line(&self, format: LogFormat, now: Duration) -> String {
        let Violation { rule, reason, side, cause } = self.violation;
        let texts = match format {
            LogFormat::Text => return self.to_string(),
            LogFormat::Json => [
                ("policy", Some(self.policy.to_owned())),
                ("rule", Some(rule.to_string())),
                ("reason", Some(reason.id().to_owned())),
                ("cause", cause.as_ref().map(ToString::to_string)),
                ("side", side.map(|side| side.to_string())),
                ("request_id", Some(self.request.to_owned())),
                ("address", self.address.map(|address| address.to_string())),
                ("origin", self.origin.map(|origin| origin.as_str().to_owned())),
                ("subject", self.subject.map(|subject| subject.to_string())),
            ],
        };
        let members = texts.iter().map(|(name, text)| (*name, text.as_deref().map(Detail::Text)));
        object(self.event, &Timestamp(now).to_string(), members)
    }
}

impl fmt::Display for Incident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, policy, violation, request, address, origin, subject } = self;
        let reason = violation.reason.id();
        write!(f, "postern: {event} policy={policy} reason={reason} request={request} {violation}")?;
        if let Some(address) = address {
            write!(f, " address={address}")?;
        }
        if let Some(origin) = origin {
            write!(f, " origin=\"{}\"", origin.as_str())?;
        }
        if let Some(subject) = subject {
            write!(f, " subject={subject}")?;
        }
        Ok(())
    }
}

impl Notice<'_> {
    /// Returns the line, written at `now`.
    pub fn line(&self, format: LogFormat, now: Duration) -> String {
        match format {
            LogFormat::Text => self.text.to_owned(),
            LogFormat::Json => object(
                self.event,
                &Timestamp(now).to_string(),
                self.details.iter().map(|(name, detail)| (*name, Some(*detail))),
            ),
        }
    }
}

impl Serialize for Detail<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::List(texts) => texts.serialize(serializer),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
        }
    }
}

/// Returns a JSON object on one line. `postern` is its first member, by which collectors know it.
fn object<'m>(
    event: &'m str,
    time: &'m str,
    members: impl Iterator<Item = (&'m str, Option<Detail<'m>>)>,
) -> String {
    let head = [("postern", Some(Detail::Text(event))), ("time", Some(Detail::Text(time)))];
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut line);
    // Texts and numbers, which can all be written.
    let _ = serializer.collect_map(head.into_iter().chain(members));
    String::from_utf8(line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::decision::cause::{Cause, FrameFault};
    use crate::decision::{Reason, Rule};
    use crate::peer::Peer;

    const NOW: Duration = Duration::from_millis(1_800_000_000_250);

    fn shown(text: &[u8]) -> Shown {
        Shown::of([text].into_iter())
    }

    fn refused<'i>(violation: &'i Violation, origin: Option<&'i Shown>) -> Incident<'i> {
        Incident {
            event: "refused",
            policy: "chat",
            violation,
            request: "0a1b2c3d-0000-4000-8000-00000000abcd",
            address: Some("2001:db8::1".parse().unwrap()),
            origin,
            subject: None,
        }
    }

    #[test]
    fn a_line_of_text_has_its_new_fields_behind_the_others_and_leaves_out_what_is_not_known() {
        let violation = Violation::by(Peer::Client, Rule::Protocol, Reason::ProtocolError)
            .because(FrameFault::ReservedBit);
        let origin = shown(b"https://app.example.com");
        let line = refused(&violation, Some(&origin)).line(LogFormat::Text, NOW);
        assert_eq!(
            line,
            "postern: refused policy=chat reason=protocol_error request=0a1b2c3d-0000-4000-8000-00000000abcd \
             rule=protocol side=client cause=\"a reserved bit is set\" address=2001:db8::1 \
             origin=\"https://app.example.com\""
        );
        let violation = Violation::new(Rule::Drain, Reason::Drain);
        let bare = Incident { event: "closed", address: None, ..refused(&violation, None) };
        assert_eq!(
            bare.line(LogFormat::Text, NOW),
            "postern: closed policy=chat reason=drain request=0a1b2c3d-0000-4000-8000-00000000abcd rule=drain"
        );
    }

    #[test]
    fn a_line_of_json_has_every_member_in_one_order_and_null_for_what_is_not_known() {
        let violation = Violation::new(Rule::Drain, Reason::Drain);
        assert_eq!(
            refused(&violation, None).line(LogFormat::Json, NOW),
            "{\"postern\":\"refused\",\"time\":\"2027-01-15T08:00:00.250Z\",\"policy\":\"chat\",\"rule\":\"drain\",\
             \"reason\":\"drain\",\"cause\":null,\"side\":null,\
             \"request_id\":\"0a1b2c3d-0000-4000-8000-00000000abcd\",\"address\":\"2001:db8::1\",\
             \"origin\":null,\"subject\":null}"
        );
    }

    #[test]
    fn what_a_peer_wrote_stays_within_its_field_in_both_forms() {
        let evil = b"https://a\"\r\npostern: refused \x1b[31m\x7f\xc2\x85\\{\"postern\":\"closed\"}";
        let origin = shown(evil);
        let violation = Violation::by(Peer::Client, Rule::Origins, Reason::OriginDenied)
            .because(Cause::Origin(origin.clone()));
        let incident = refused(&violation, Some(&origin));
        let [text, json] = [LogFormat::Text, LogFormat::Json].map(|format| incident.line(format, NOW));
        for line in [&text, &json] {
            assert!(line.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{line}");
        }
        assert_eq!(text.matches(" origin=\"").count(), 1);
        assert!(text.ends_with(r#"\\{\"postern\":\"closed\"}""#), "{text}");
        let object: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(object["origin"], json!(evil.escape_ascii().to_string()));
        assert_eq!(object["postern"], "refused");
    }

    #[test]
    fn a_notice_is_its_text_or_its_members() {
        let notice = Notice {
            event: "suppressed",
            text: "postern: suppressed policy=chat count=7",
            details: &[
                ("policy", Detail::Text("chat")),
                ("count", Detail::Number(7)),
                ("policies", Detail::List(&["a", "b"])),
            ],
        };
        assert_eq!(notice.line(LogFormat::Text, NOW), notice.text);
        assert_eq!(
            notice.line(LogFormat::Json, NOW),
            r#"{"postern":"suppressed","time":"2027-01-15T08:00:00.250Z","policy":"chat","count":7,"policies":["a","b"]}"#
        );
    }
}
