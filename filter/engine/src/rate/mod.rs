//! How often: token buckets, and the table of those that all workers share.

mod bucket;
mod table;

pub use bucket::{Charged, Quota};
pub use table::{Charge, Outcome, charge};

pub(crate) use bucket::Bucket;
