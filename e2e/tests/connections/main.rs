//! The caps on live connections: over all workers, whatever ends a connection, and whoever comes at once.

mod crowd;
mod ends;
mod pushed;
mod races;
mod refusals;
mod replaced;
mod stage;
