//! Requests to stop: SIGTERM, SIGINT, or a closed stdout.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGURG};
use signal_hook::iterator::Signals;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

static COUNT: AtomicUsize = AtomicUsize::new(0);
/// The last signal; 0 if there was none. The handler sets it directly: a wait that a signal
/// interrupts may continue before the signal thread runs, and would then be restarted.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);
/// Whether a signal ends this process at once.
static ENDS: AtomicBool = AtomicBool::new(false);
static PIPE: OnceLock<(UnixStream, UnixStream)> = OnceLock::new();
/// Called repeatedly after a request to stop.
static AFTERWARDS: OnceLock<fn()> = OnceLock::new();

/// Signals within this time of another one belong to the same request.
const ECHO: Duration = Duration::from_millis(200);
/// Time between two calls of the function given to [`afterwards`].
const TURN: Duration = Duration::from_millis(20);

fn pipe() -> &'static (UnixStream, UnixStream) {
    PIPE.get_or_init(|| {
        let pair = UnixStream::pair().expect("a socket pair");
        for end in [&pair.0, &pair.1] {
            end.set_nonblocking(true).expect("a non-blocking socket");
        }
        pair
    })
}

/// Whether the parent process wants the signal ignored, as nohup does.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: the action is only read, into a local variable.
    unsafe {
        let mut action = std::mem::zeroed::<nix::libc::sigaction>();
        nix::libc::sigaction(signal, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == nix::libc::SIG_IGN
    }
}

/// Starts listening for SIGTERM, and for SIGINT and SIGHUP unless they are ignored.
pub(crate) fn listen() -> std::io::Result<()> {
    pipe();
    let heard = |signal: &i32| *signal == SIGTERM || !is_ignored(*signal);
    let ours: Vec<i32> = [SIGTERM, SIGINT, SIGHUP]
        .into_iter()
        .filter(heard)
        .collect();
    for &signal in &ours {
        signal_hook::flag::register_usize(signal, SIGNAL.clone(), signal as usize)?;
    }
    // SIGURG, which nothing else here uses, only interrupts.
    let signals = Signals::new(ours.iter().chain(&[SIGURG]))?;
    std::thread::Builder::new()
        .name("signals".into())
        .stack_size(64 << 10)
        .spawn(move || heed(signals))?;
    Ok(())
}

/// Turns signals into requests to stop; after one, also calls the function given to [`afterwards`].
fn heed(mut signals: Signals) {
    let mut last: Option<Instant> = None;
    loop {
        for signal in arrived(&mut signals).filter(|signal| *signal != SIGURG) {
            if ENDS.load(Ordering::SeqCst) {
                std::process::exit(128 + signal);
            }
            // timeout(1) signals its child, and then the child's process group.
            if last.is_none_or(|last| last.elapsed() > ECHO) {
                last = Some(Instant::now());
                request();
            }
        }
        if let Some(afterwards) = AFTERWARDS.get().filter(|_| requested()) {
            afterwards();
        }
    }
}

/// The next signals: waits for one, but after a request to stop no longer than [`TURN`].
fn arrived(signals: &mut Signals) -> impl Iterator<Item = i32> {
    if requested() {
        std::thread::sleep(TURN);
        signals.pending()
    } else {
        signals.wait()
    }
}

/// Sets the function that is called every 20 ms after a request to stop; only the first call has an
/// effect.
pub(crate) fn afterwards(function: fn()) {
    let _ = AFTERWARDS.set(function);
}

/// Interrupts a system call of a thread of this process, which must be alive.
pub(crate) fn interrupt(thread: std::os::unix::thread::RawPthread) {
    // SAFETY: the caller keeps the thread alive; the signal has a handler since `listen`.
    unsafe { nix::libc::pthread_kill(thread, SIGURG) };
}

/// Makes a signal end this process at once, while there is nothing to complete: a wait for Redis
/// would delay a graceful stop.
pub(crate) fn end_at_once(ends: bool) {
    ENDS.store(ends, Ordering::SeqCst);
}

/// Requests that this process stop, as a signal would.
pub(crate) fn request() {
    COUNT.fetch_add(1, Ordering::SeqCst);
    let _ = (&pipe().1).write(&[1]);
    // Wakes the signal thread, if a thread of this process made the request.
    let _ = signal_hook::low_level::raise(SIGURG);
}

/// Whether this process was asked to stop.
pub(crate) fn requested() -> bool {
    count() > 0 || SIGNAL.load(Ordering::SeqCst) > 0
}

/// The number of requests: the second Ctrl-C means more than the first.
pub(crate) fn count() -> usize {
    COUNT.load(Ordering::SeqCst)
}

/// The name of a signal, such as `SIGSEGV`; its number if it has none.
pub(crate) fn name(signal: i32) -> String {
    let known = nix::sys::signal::Signal::try_from(signal);
    known.map_or_else(|_| format!("signal {signal}"), |known| known.to_string())
}

/// The exit code of a process ended by a signal: 128 + its number.
pub(crate) fn signal_code() -> u8 {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => crate::process::exit::PIPE_CLOSED,
        signal => 128 + signal as u8,
    }
}

/// The file descriptor that becomes readable after [`request`]; for poll loops.
pub(crate) fn fd() -> BorrowedFd<'static> {
    pipe().0.as_fd()
}

/// Sleeps, but returns early on a request to stop.
pub(crate) fn sleep(duration: Duration) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    if requested() {
        return;
    }
    let fd = fd();
    let timeout = Timespec::try_from(duration).unwrap_or(Timespec {
        tv_sec: 60,
        tv_nsec: 0,
    });
    let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout));
}

/// Sleeps like [`sleep`], but a [`nudge`] does not end the sleep and stays pending for the next
/// poll.
pub(crate) fn sleep_through(duration: Duration) {
    let until = Instant::now() + duration;
    while !requested() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// Drains the bytes that made [`fd`] readable; the request itself stays.
pub(crate) fn drain() {
    let mut buffer = [0; 64];
    while matches!((&pipe().0).read(&mut buffer), Ok(n) if n > 0) {}
}

/// Makes [`fd`] readable without a request to stop: something else happened.
pub(crate) fn nudge() {
    let _ = (&pipe().1).write(&[0]);
}

/// Makes [`fd`] readable whenever a child exits.
pub(crate) fn nudge_on_child_exit() -> std::io::Result<()> {
    let sender = pipe().1.try_clone()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, sender)?;
    Ok(())
}
