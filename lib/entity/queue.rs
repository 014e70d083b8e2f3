//! Queues that are read without popping: only the script that applies a message's effect pops the
//! message.
//!
//! A consumer peeks; then one script checks that the same message is still at the head, applies its
//! effect and pops it. A crash in between loses nothing, two consumers cannot count a message
//! twice, and a consumer that only uses BLPOP can share the queue.

use crate::lua;
use crate::process::signals;
use crate::protocol::key;
use crate::store::observer::observer;
use crate::store::script::Script;
use crate::store::{Store, read};
use std::time::Duration;

/// The first `count` messages of `queue`, waiting at most `wait` seconds for one. One round trip;
/// nothing is popped.
pub(crate) fn peek(
    store: &mut Store,
    queue: &str,
    count: usize,
    wait: f64,
) -> anyhow::Result<Vec<Vec<u8>>> {
    store.blocking_call(Duration::from_secs_f64(wait), |c, attempt| {
        // A stop signal interrupts the wait, which must not begin again.
        if attempt > 0 && signals::requested() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        pipe.cmd("BLMOVE").arg(queue).arg(queue);
        pipe.arg("LEFT").arg("LEFT").arg(wait);
        pipe.cmd("LRANGE").arg(queue).arg(0).arg(count - 1);
        // Replies are read one by one: a signal ends the wait for the first reply, and code that
        // reads a whole pipeline would then wait for the second.
        c.send_packed_command(&pipe.get_packed_pipeline())?;
        c.recv_response()?.extract_error()?;
        Ok(redis::from_redis_value(
            c.recv_response()?.extract_error()?,
        )?)
    })
}

/// The length of `queue`.
pub(crate) fn length(store: &mut Store, queue: &str) -> anyhow::Result<u64> {
    store.call(|c, _| redis::cmd("LLEN").arg(queue).query(c))
}

/// The refused messages of `queue`, oldest first: JSON objects with the reason.
pub(crate) fn dead(store: &mut Store, queue: &str) -> anyhow::Result<Vec<String>> {
    read::texts(store, &key::dead(queue))
}

static POP: Script = lua!("queue_pop");

/// Pops `messages` from the head of `queue`, as far as they are still there.
pub(crate) fn pop(store: &mut Store, queue: &str, messages: &[Vec<u8>]) -> anyhow::Result<usize> {
    store.call(|c, _| POP.key(queue).arg(messages).invoke(c))
}

static ROTATE: Script = lua!("queue_rotate");

/// Moves `message` from the head of `queue` to its tail.
pub(crate) fn rotate(store: &mut Store, queue: &str, message: &[u8]) -> anyhow::Result<()> {
    store.call(|c, _| ROTATE.key(queue).arg(message).invoke::<i64>(c))?;
    Ok(())
}

static BURY: Script = lua!("queue_bury");

/// Moves an invalid message to the queue's dead list, with the reason, and reports it.
pub fn bury(store: &mut Store, queue: &str, message: &[u8], reason: &str) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(message);
    let kept: String = text.chars().take(1000).collect();
    let record = serde_json::json!({
        "message": kept,
        "reason": reason,
        "time": crate::protocol::time::now(),
    })
    .to_string();
    let moved: i64 = store.call(|c, _| {
        BURY.key(queue)
            .key(key::dead(queue))
            .arg(message)
            .arg(record.as_str())
            .invoke(c)
    })?;
    if moved == 1 {
        observer().note(&format!(
            "refused a message in {queue}: '{}': {reason}",
            kept.escape_debug()
        ));
    }
    Ok(())
}

static KICK: Script = lua!("queue_kick");

/// Moves the messages of the queue's dead list back into the queue; returns their number.
pub(crate) fn kick(store: &mut Store, queue: &str) -> anyhow::Result<u64> {
    store.call(|c, _| KICK.key(queue).key(key::dead(queue)).invoke(c))
}
