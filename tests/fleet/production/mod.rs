//! rrr in production: installed, under systemd's rules, with a secure Redis, signed, measured.

mod attacks;
mod confined;
mod filter;
mod handed_over;
mod install;
mod notify;
mod redis_users;
mod rolling;
mod sentinel;
mod spans;
mod stamps;
mod stat;
mod tls;
mod trees;
mod trust;
mod units;
