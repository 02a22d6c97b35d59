//! Random places that are the same for the same seed, so that a run can be repeated.

/// Returns an endless sequence of numbers below `upto`, drawn from `seed`. `upto` must not be 0.
pub fn places(seed: &str, upto: u64) -> impl Iterator<Item = u64> {
    let mut random = blake3::Hasher::new().update(seed.as_bytes()).finalize_xof();
    std::iter::repeat_with(move || {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        u64::from_le_bytes(bytes) % upto.max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn a_seed_always_gives_the_same_row() {
        let first: Vec<u64> = places("a", 1000).take(100).collect();
        assert_eq!(first, places("a", 1000).take(100).collect::<Vec<_>>());
        assert_ne!(first, places("b", 1000).take(100).collect::<Vec<_>>());
        assert!(first.iter().all(|n| *n < 1000));
        assert!(first.iter().any(|n| *n < 500) && first.iter().any(|n| *n >= 500));
    }
}
