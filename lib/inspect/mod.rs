//! Looking at an installation from outside, changing nothing.

pub(crate) mod fsck;
pub(crate) mod lookup;
pub(crate) mod stat;
