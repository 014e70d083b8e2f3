//! rrr
