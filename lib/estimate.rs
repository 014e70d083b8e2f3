//! Estimates: how long a spec file of a class is expected to take.
//!
//! Written by rrr-persist from the trials of finished tasksets; read by rrr-submit.

use crate::key;
use crate::record::Document;
use crate::store::Store;

/// Mixes what each file took into its estimate, half old and half new.
pub fn learn(store: &mut Store, document: &Document) -> anyhow::Result<()> {
    let class = document.taskset.class();
    let mut files: Vec<(&str, u64)> = Vec::new();
    for task in &document.tasks {
        let good = task.trials.iter().filter(|trial| trial.is_good());
        let durations: Vec<u64> = good
            .filter_map(|trial| u64::try_from(trial.duration_ms?).ok())
            .collect();
        if !durations.is_empty() {
            let mean = durations.iter().sum::<u64>() / durations.len() as u64;
            files.push((task.spec_file(), mean));
        }
    }
    for chunk in files.chunks(500) {
        let old: Vec<Option<u64>> = store.call(|c, _| {
            let mut command = redis::cmd("HMGET");
            command.arg(key::estimate_ms(class));
            for (file, _) in chunk {
                command.arg(*file);
            }
            command.query(c)
        })?;
        store.call(|c, _| {
            let mut pipe = redis::pipe();
            for ((file, new), old) in chunk.iter().zip(&old) {
                let ms = old.map_or(*new, |old| (old + *new) / 2);
                let sec = ms.div_ceil(1000).max(1);
                pipe.cmd("HSET")
                    .arg(key::estimate_ms(class))
                    .arg(*file)
                    .arg(ms)
                    .ignore();
                pipe.cmd("HSET")
                    .arg(key::estimate_sec(class))
                    .arg(*file)
                    .arg(sec)
                    .ignore();
            }
            pipe.query::<()>(c)
        })?;
    }
    Ok(())
}
