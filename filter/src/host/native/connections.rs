//! The clients' connections of a thread that have Postern's network filter, by which frames of ours go to the upstream: it hands
//! them to Envoy's codec as if the client had sent them. So it serves HTTP/1.1 alone, where the bytes of an upgraded stream are
//! those of its connection.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::abi::calls::Connection;

thread_local! {
    static CONNECTIONS: RefCell<Connections> = RefCell::default();
    /// The stream whose own frame is on its way to its hook, and the number of bytes of it that have not come there.
    static ON_ITS_WAY: Cell<Option<(u32, usize)>> = const { Cell::new(None) };
}

/// The connections, found either way.
#[derive(Default)]
struct Connections {
    by_id: HashMap<u64, Connection>,
    ids: HashMap<Connection, u64>,
}

/// Adds a connection.
pub(super) fn add(id: u64, connection: Connection) {
    CONNECTIONS.with_borrow_mut(|connections| {
        connections.by_id.insert(id, connection);
        connections.ids.insert(connection, id);
    });
}

/// Forgets a connection, which Envoy destroys.
pub(super) fn remove(connection: Connection) {
    CONNECTIONS.with_borrow_mut(|connections| {
        if let Some(id) = connections.ids.remove(&connection) {
            connections.by_id.remove(&id);
        }
    });
}

/// Says whether a connection has the network filter.
pub(super) fn has(id: u64) -> bool {
    CONNECTIONS.with_borrow(|connections| connections.by_id.contains_key(&id))
}

/// Has frames of ours go to the upstream of a stream by its connection, in no callback of either. Returns false if they have not
/// come to the stream's hook within the call: then nobody can tell them from the client's.
pub(super) fn inject(stream: u32, id: u64, frames: &[u8]) -> bool {
    let Some(connection) = CONNECTIONS.with_borrow(|connections| connections.by_id.get(&id).copied()) else {
        return false;
    };
    let before = ON_ITS_WAY.replace(Some((stream, frames.len())));
    connection.inject(frames);
    ON_ITS_WAY.replace(before).is_some_and(|(_, left)| left == 0)
}

/// Says whether it is frames of ours that the client's hook of a stream is called with, and counts as many bytes as come.
pub(super) fn is_own(stream: u32, len: impl FnOnce() -> usize) -> bool {
    let Some((_, left)) = ON_ITS_WAY.get().filter(|(own, _)| *own == stream) else { return false };
    let rest = left.checked_sub(len());
    if let Some(rest) = rest {
        ON_ITS_WAY.set(Some((stream, rest)));
    }
    rest.is_some()
}

/// Forgets the frames that were on their way as a hook panicked.
pub(super) fn forget_own() {
    ON_ITS_WAY.set(None);
}
