//! The headers that carry claims, against all policies of a document.

use std::collections::BTreeMap;

use crate::auth::Carrier;
use crate::header_name::is_same_to_a_gateway;
use crate::path::Path;
use crate::policy::Policy;
use crate::problem::ProblemKind;
use crate::report::Report;
use crate::words::shown;

/// Notes headers with claims in which another policy takes tokens: a client's own copy is removed from its
/// requests too, which would cost them their tokens.
pub(super) fn check(policies: &BTreeMap<String, Policy>, at: &Path, report: &mut Report) {
    let carriers = policies.iter().flat_map(|(name, policy)| {
        let carriers = policy.auth.iter().flat_map(|auth| &auth.from);
        carriers.filter_map(move |carrier| match carrier {
            Carrier::Header(header) => Some((name, header.as_str())),
            _ => None,
        })
    });
    let carriers: Vec<_> = carriers.collect();
    for (name, policy) in policies {
        for header in policy.auth.iter().flat_map(|auth| auth.forward.keys()) {
            let clash = carriers
                .iter()
                .find(|(other, carrier)| *other != name && is_same_to_a_gateway(header, carrier));
            if let Some((other, _)) = clash {
                let at = at.key(name.as_str()).key("auth").key("forward").key(header.as_str());
                let what = format!("carries the token of the policy {}", shown(other));
                report.push(ProblemKind::Contradiction, &at, what, "write a header of its own");
            }
        }
    }
}
