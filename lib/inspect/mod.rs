//! Looking at an installation from outside, changing nothing.

pub(crate) mod fsck;
pub(crate) mod stat;
