//! Rates and caps: token buckets, live connections, the tables of both that all workers share, and leases of what a
//! VM holds in them.

pub mod advance;
mod bucket;
pub(crate) mod bucket_keys;
pub mod lease;
pub mod live;
mod shared;
pub mod slots;
mod table;

pub(crate) use bucket::Bucket;
pub use bucket::{Charged, Quota};
pub use shared::Shared;
pub use table::{BucketRequest, Outcome, charge, look};
