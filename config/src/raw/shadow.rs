//! The key `policies.*.shadow`: ids of rules, each of which the policy has.

use crate::path::Path;
use crate::policy::Policy;
use crate::problem::ProblemKind;
use crate::raw::list::{List, distinct};
use crate::report::Report;
use crate::shadow::{self, NotShadowable, ShadowedRules};
use crate::words::{shown, suggestion};

/// Returns the rules that are shadowed in `policy`, which has its tiers.
pub(super) fn read(
    written: List<String>,
    policy: &Policy,
    at: &Path,
    report: &mut Report,
) -> Option<ShadowedRules> {
    let read = |id: String, at: &Path, report: &mut Report| {
        let (kind, what, remedy) = match shadow::judge(&id, policy) {
            Ok(()) => return Some(id),
            Err(NotShadowable::Needed) => (
                ProblemKind::ImpossibleValue,
                format!("{} cannot be in shadow alone: nothing can be judged without it", shown(&id)),
                "leave it out, or write `mode: shadow` for the whole policy".to_owned(),
            ),
            Err(NotShadowable::NotSet) => {
                let what = format!("{} is not set in this policy", shown(&id));
                (ProblemKind::Contradiction, what, "set it, or leave it out".to_owned())
            }
            Err(NotShadowable::Unknown) => {
                let what = format!("{} is the id of no rule", shown(&id));
                (ProblemKind::UnknownName, what, suggestion(&id, &shadow::ids()))
            }
        };
        report.push(kind, at, what, remedy);
        None
    };
    distinct(written, at, report, read).map(ShadowedRules::new)
}
