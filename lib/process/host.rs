//! The name of this host.

/// The name of this machine.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    name.replace(|c: char| c == ':' || c.is_whitespace(), "-")
}
