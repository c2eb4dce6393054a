//! Why a request falls under its policy.

use postern_config::DefaultPolicy;

use super::{Engine, RouteFacts, annotation};
use crate::http::request::RequestHead;

/// What chooses the policy of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// `default_policy`, since no line of `routes` matches.
    Default,
    /// `default_policy: deny`: there is no policy.
    Denied,
    /// The line of `routes` at this place, the first that matches.
    Line(usize),
    /// The metadata of Envoy's route.
    Metadata,
    /// `default_policy: pass`: the request passes unjudged.
    Passed,
    /// Nothing: host or path of the request are such that no line of `routes` can be asked.
    Unclear,
}

impl Engine {
    /// Says what chooses the policy that `head` falls under.
    pub fn choice(&self, head: &RequestHead, route: &RouteFacts) -> Choice {
        match annotation(route) {
            Ok(None) => {}
            Ok(Some((_, said))) if !said.contains_key("policy") => {}
            Ok(Some(_)) | Err(_) => return Choice::Metadata,
        }
        match self.line(head, route) {
            Err(_) => Choice::Unclear,
            Ok(Some(line)) => Choice::Line(line),
            Ok(None) => match self.config.default_policy {
                DefaultPolicy::Deny => Choice::Denied,
                DefaultPolicy::Pass => Choice::Passed,
                DefaultPolicy::Policy(_) => Choice::Default,
            },
        }
    }
}
