//! The calls to other services, which the main thread makes, and what services answer.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::abi::{Handle, module};
use crate::configurations::Configurations;
use crate::log;
use crate::random::Random;
use crate::stream::Field;

const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"stub","x":"YoxEFkiM2p0PmOxIEGUC9ps4UFyvkg_Cw26avg_Q_DE"}]}"#;
const REVOKED: &[u8] = br#"{"jti": ["another"], "sub": {}, "sid": []}"#;

/// A call that has no answer yet.
#[derive(Debug)]
struct Callout {
    configuration: Handle,
    id: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Keys,
    List,
    RateLimit,
}

thread_local! {
    static CALLOUTS: RefCell<Vec<Callout>> = RefCell::default();
}

/// How many calls were made.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Takes a call; `None` if its cluster is not known, as each now and then.
pub(crate) fn begin(
    configuration: Handle,
    cluster: &[u8],
    fields: &[Field],
    message: Option<&[u8]>,
) -> Option<u64> {
    let kind = match (cluster, message) {
        (b"keys", None) => Kind::Keys,
        (b"lists", None) => Kind::List,
        (b"ratelimit", Some(_)) => Kind::RateLimit,
        _ => {
            log::broken(format!("a call goes to {}", String::from_utf8_lossy(cluster)));
            return None;
        }
    };
    if fields.is_empty() {
        log::broken("a call has no fields".to_owned());
    }
    let id = MADE.fetch_add(1, Ordering::Relaxed) + 1;
    if id.is_multiple_of(31) {
        return None;
    }
    CALLOUTS.with_borrow_mut(|callouts| callouts.push(Callout { configuration, id, kind }));
    Some(id)
}

/// Returns how many calls were made.
pub(crate) fn made() -> u64 {
    MADE.load(Ordering::Relaxed)
}

/// Ends the calls of a configuration.
pub(crate) fn forget(configuration: Handle) {
    CALLOUTS.with_borrow_mut(|callouts| callouts.retain(|callout| callout.configuration != configuration));
}

/// Answers one of the calls that wait, any of them.
pub(crate) fn answer(configurations: &Configurations, random: &mut Random) {
    let callout = CALLOUTS.with_borrow_mut(|callouts| match callouts.len() {
        0 => None,
        waiting => Some(callouts.swap_remove(random.below(waiting))),
    });
    let Some(Callout { configuration, id, kind }) = callout else { return };
    let Some(configuration) = configurations.find(configuration) else { return };
    let place = (configuration.handle, configuration.in_module);
    match kind {
        Kind::RateLimit => answer_stream(place, id, random),
        Kind::Keys => answer_fetch(place, id, KEYS, random),
        Kind::List => answer_fetch(place, id, REVOKED, random),
    }
}

fn field(name: &[u8], value: &[u8]) -> Field {
    (name.to_vec(), value.to_vec())
}

fn answer_fetch(place: (usize, usize), id: u64, document: &[u8], random: &mut Random) {
    let module = module();
    match random.below(8) {
        0 => module.config_callout_done(place, id, 1, &[], &[]),
        1 => module.config_callout_done(place, id, 0, &[field(b":status", b"503")], &[]),
        2 => module.config_callout_done(place, id, 0, &[field(b":status", b"200")], &[b"{".to_vec()]),
        _ => {
            let body = random.split(document);
            module.config_callout_done(place, id, 0, &[field(b":status", b"200")], &body);
        }
    }
}

/// Answers the rate limit service's question: it allows, denies, fails, breaks off, or says nothing that can be read.
fn answer_stream(place: (usize, usize), id: u64, random: &mut Random) {
    let module = module();
    let ends = random.below(10);
    if ends == 0 {
        module.config_stream_end(place, id, true);
        return;
    }
    let trailers_only = ends == 1;
    let mut fields = vec![field(b":status", b"200")];
    fields.extend(trailers_only.then(|| field(b"grpc-status", b"14")));
    module.config_stream_fields(place, id, &fields, false);
    if !trailers_only {
        // A length, and a RateLimitResponse whose overall_code is OK or OVER_LIMIT.
        let message: &[u8] = match random.below(12) {
            0 => &[0, 0, 0, 0, 2, 8, 2],
            1 => &[0, 0, 0, 9, 9, 8],
            _ => &[0, 0, 0, 0, 2, 8, 1],
        };
        for piece in random.split(message) {
            module.config_stream_data(place, id, &random.split(&piece));
        }
        if ends == 2 {
            module.config_stream_end(place, id, true);
            return;
        }
        module.config_stream_fields(place, id, &[field(b"grpc-status", b"0")], true);
    }
    module.config_stream_end(place, id, false);
}
