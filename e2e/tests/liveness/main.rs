//! Heartbeats and deadlines on connections on which nobody says anything, which a filter on a stock Envoy
//! keeps by itself.

mod drips;
mod heartbeats;
mod held_up;
mod pings;
mod silent;
mod stage;
