//! The answers of the rate limit service. They are read as those of a stranger: what is none is no answer.

use std::time::Duration;

use prost::Message;

/// The longest time that a client is told to stay away, whatever the service says.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The outcome of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The count is within its limit, or nothing limits it.
    Within,
    /// The count is over its limit, which is so until this time has passed, where the service says when.
    Over(Option<Duration>),
    /// There is no answer that can be understood.
    None,
}

/// `envoy.service.ratelimit.v3.RateLimitResponse`, as far as it is read.
#[derive(Clone, PartialEq, Message)]
struct RateLimitResponse {
    #[prost(int32, tag = "1")]
    overall_code: i32,
    #[prost(message, repeated, tag = "2")]
    statuses: Vec<DescriptorStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct DescriptorStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(message, optional, tag = "4")]
    duration_until_reset: Option<prost_types::Duration>,
}

const OK: i32 = 1;
const OVER_LIMIT: i32 = 2;

impl Answer {
    /// Reads the message that answered a call.
    pub(super) fn read(message: &[u8]) -> Self {
        let Ok(response) = RateLimitResponse::decode(message) else { return Self::None };
        match response.overall_code {
            OK => Self::Within,
            OVER_LIMIT => {
                let over = response.statuses.iter().filter(|status| status.code == OVER_LIMIT);
                let waits = over.filter_map(|status| status.duration_until_reset);
                let waits = waits.filter_map(|wait| Duration::try_from(wait).ok());
                Self::Over(waits.max().map(|wait| wait.min(LONGEST_WAIT)))
            }
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(overall_code: i32, statuses: &[(i32, Option<(i64, i32)>)]) -> Vec<u8> {
        let duration = |(seconds, nanos)| prost_types::Duration { seconds, nanos };
        let statuses = statuses
            .iter()
            .map(|(code, wait)| DescriptorStatus { code: *code, duration_until_reset: wait.map(duration) });
        RateLimitResponse { overall_code, statuses: statuses.collect() }.encode_to_vec()
    }

    #[test]
    fn an_answer_is_what_the_overall_code_says() {
        let seconds = Duration::from_secs;
        for (message, answer) in [
            (response(1, &[]), Answer::Within),
            (response(1, &[(2, Some((9, 0)))]), Answer::Within),
            (response(2, &[]), Answer::Over(None)),
            (response(2, &[(2, None)]), Answer::Over(None)),
            (response(2, &[(1, Some((9, 0))), (2, Some((7, 500_000_000)))]), {
                Answer::Over(Some(Duration::from_millis(7500)))
            }),
            (response(2, &[(2, Some((i64::MAX, 0)))]), Answer::Over(Some(seconds(86_400)))),
            (response(2, &[(2, Some((-1, 0)))]), Answer::Over(None)),
            (response(0, &[]), Answer::None),
            (response(3, &[]), Answer::None),
            (response(-1, &[]), Answer::None),
        ] {
            assert_eq!(Answer::read(&message), answer, "{message:?}");
        }
    }

    #[test]
    fn what_is_no_message_is_no_answer() {
        let sound = response(2, &[(2, Some((7, 0)))]);
        for len in 1..sound.len() {
            // Cut behind its first field it is a message of its own.
            let expected = if len == 2 { Answer::Over(None) } else { Answer::None };
            assert_eq!(Answer::read(&sound[..len]), expected, "{len}");
        }
        for message in [&b"\xff\xff\xff"[..], b"{\"overall_code\":1}", b"", b"\x0a\x01\x01"] {
            assert_eq!(Answer::read(message), Answer::None, "{message:?}");
        }
    }

    #[test]
    fn fields_that_are_not_read_do_no_harm() {
        let message =
            [response(2, &[(2, Some((3, 0)))]), b"\x2a\x03raw\x3a\x00\xc2\x3e\x01x".to_vec()].concat();
        assert_eq!(Answer::read(&message), Answer::Over(Some(Duration::from_secs(3))));
    }
}
