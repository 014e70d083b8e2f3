//! Looking at an installation from outside, changing nothing.

pub mod fsck;
pub mod stat;
