//! `compression`: the part of the client's offers of extensions that goes up.

use postern_config::{Backlog, Compression, Mode};

use super::Turn;
use crate::handshake::Handshake;
use crate::handshake::extensions::Offers;
use crate::handshake::waiting::Stop;
use crate::ruleset::{Ruleset, judged_compression};

/// Refuses offers that are not well formed, unless all of them are taken out.
pub(super) fn judge(handshake: &mut Handshake, _turn: &mut Turn<'_>) -> Result<(), Stop> {
    let policy = &handshake.ruleset.policy;
    // Which tier is in force is not known yet, and may change.
    let drops = handshake.ruleset.all().any(|Ruleset { policy, .. }| {
        policy.backpressure.is_some_and(|limit| limit.on_exceed == Backlog::Drop)
            || policy.upstream_messages.content.drops()
    });
    handshake.messages_alone &= policy.compression != Compression::Pass;
    // Nothing is taken out of what is only observed, and nothing added.
    let alone = (drops || handshake.messages_alone) && policy.mode == Mode::Enforce;
    let compression = judged_compression(policy);
    // Whatever their form.
    let stays = compression != policy.compression;
    handshake.extensions = match Offers::read(compression, alone, handshake.head.headers()) {
        Err(_) if stays => Offers::default(),
        offers => offers?,
    };
    Ok(())
}
