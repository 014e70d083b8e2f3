//! Randomness that can be repeated.

/// A generator whose seed is printed; `RRR_SEED` sets it.
pub fn random() -> fastrand::Rng {
    let given = std::env::var("RRR_SEED").ok();
    let seed = given.map_or_else(|| fastrand::u64(..), |text| text.parse().expect("a number"));
    println!("RRR_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
