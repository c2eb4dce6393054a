//! How often: token buckets, and the table of those that all workers share.

mod bucket;
mod table;

pub use bucket::{Charged, Quota};
pub use table::{BucketKey, Charge, KeySpace, Outcome, SLOTS, charge};

pub(crate) use bucket::Bucket;
