//! The observer: receives what the store and the entities report about the connection and about
//! skipped keys. They print nothing themselves.

use std::sync::OnceLock;

/// Observes the connection and skipped keys. The role
/// installs one; without one, nothing is reported.
pub(crate) trait Observer: Sync {
    /// Redis replied to a call.
    fn answered(&self);
    /// Redis at `address` was lost, for the reason `why`; the store waits for it.
    fn lost(&self, address: &str, why: &str);
    /// A Redis that was reported lost replies again.
    fn back(&self, address: &str);
    /// A message for people.
    fn note(&self, message: &str);
}

struct Unobserved;

impl Observer for Unobserved {
    fn answered(&self) {}
    fn lost(&self, _: &str, _: &str) {}
    fn back(&self, _: &str) {}
    fn note(&self, _: &str) {}
}

static OBSERVER: OnceLock<&'static dyn Observer> = OnceLock::new();

/// Installs the observer of this process; only the first call has an effect.
pub(crate) fn install(observer: &'static dyn Observer) {
    let _ = OBSERVER.set(observer);
}

/// The observer of this process.
pub(crate) fn observer() -> &'static dyn Observer {
    OBSERVER.get().copied().unwrap_or(&Unobserved)
}
