//! Rates: token buckets, the tables that all workers share, and leases of what a VM holds in them.

mod bucket;
pub(crate) mod bucket_keys;
pub(crate) mod lease;
mod shared;
pub mod slots;
mod table;

pub(crate) use bucket::Bucket;
pub use bucket::{Charged, Quota};
pub use shared::Shared;
pub use table::{BucketRequest, Outcome, charge};
