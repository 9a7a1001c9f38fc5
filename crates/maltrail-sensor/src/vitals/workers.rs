//! How many analysis workers a configuration gives.

use maltrail_core::config::Workers;

/// Workers at most unless `CAPTURE_WORKERS` asks for more: beyond that, other things are the limit.
const USUAL_MOST: u32 = 4;
/// Bounds of `CAPTURE_WORKERS`.
const MOST: u32 = 1024;

/// Workers of this setting on a machine with so many cores; at least one.
pub fn worker_count(setting: Workers, cores: u32) -> u32 {
    let usual = cores.clamp(1, USUAL_MOST);
    match setting {
        Workers::AtMost(wanted) => wanted.clamp(1, usual),
        Workers::Exactly(wanted) => wanted.clamp(1, MOST),
        Workers::PerCore => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_say_sixteen_and_get_what_the_machine_has() {
        for (setting, cores, wanted) in [
            (Workers::AtMost(16), 8, 4),
            (Workers::AtMost(16), 2, 2),
            (Workers::AtMost(1), 8, 1),
            (Workers::AtMost(0), 8, 1),
            (Workers::Exactly(16), 8, 16),
            (Workers::Exactly(0), 8, 1),
            (Workers::Exactly(9999), 8, 1024),
            (Workers::PerCore, 64, 4),
            (Workers::PerCore, 0, 1),
        ] {
            assert_eq!(
                worker_count(setting, cores),
                wanted,
                "{setting:?} on {cores}"
            );
        }
    }
}
