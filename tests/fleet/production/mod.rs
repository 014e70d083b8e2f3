//! rrr in production: installed, confined as by systemd, with a secured Redis, signed, monitored.

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
