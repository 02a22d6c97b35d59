//! Processor and memory of a server, as people type them.

use crate::config::value::parse_size;

/// Less is surely a number of cores, or of GHz.
const LEAST_MHZ: f64 = 100.0;

/// Less is surely a number of GB.
const LEAST_MB: u64 = 32;

/// Core MHz, or MHz or GHz with the unit: `2000`, `2000MHz`, `2.4GHz`.
pub fn cpu(text: &str) -> Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    let (number, factor) = match (lower.strip_suffix("ghz"), lower.strip_suffix("mhz")) {
        (Some(number), _) => (number, 1000.0),
        (None, Some(number)) => (number, 1.0),
        (None, None) => (&*lower, 1.0),
    };
    let mhz = number.trim_end().parse::<f64>().ok().map(|number| (number * factor).round());
    match mhz.filter(|mhz| (LEAST_MHZ..1e6).contains(mhz)) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is in range, and whole"
        )]
        Some(mhz) => Ok(mhz as u32),
        None => Err(format!("expected core MHz, as in 2000, or GHz with the unit, as in 2GHz; got `{text}`")),
    }
}

/// Megabytes, or a size with its unit: `1024`, `512M`, `2G`.
pub fn memory(text: &str) -> Result<u32, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let mb = match (text.parse::<u64>(), parse_size(text)) {
        (Ok(mb), _) if is_plain => Some(mb),
        (_, Ok(bytes)) if !is_plain && bytes.is_multiple_of(1 << 20) => Some(bytes >> 20),
        _ => None,
    };
    let mb = mb.filter(|mb| *mb >= LEAST_MB).and_then(|mb| u32::try_from(mb).ok());
    mb.ok_or_else(|| format!("expected MB, as in 1024, or a size with its unit, as in 2G; got `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::{cpu, memory};

    #[test]
    fn processors_are_in_mhz_and_memory_in_mb() {
        let mhz = ["2000", "2000MHz", "2GHz", "2.4 ghz", "100"].map(|text| cpu(text).unwrap());
        assert_eq!(mhz, [2000, 2000, 2000, 2400, 100]);
        let mb = ["1024", "512M", "2G", "32"].map(|text| memory(text).unwrap());
        assert_eq!(mb, [1024, 512, 2048, 32]);
        for wrong in ["2", "", "GHz", "-2000", "2e9", "nan", "two", "2G"] {
            assert!(cpu(wrong).unwrap_err().contains("as in 2GHz; got"), "{wrong}");
        }
        for wrong in ["2", "", "1500k", "M", "99999999999", "8191T", "-1"] {
            assert!(memory(wrong).unwrap_err().contains("as in 2G; got"), "{wrong}");
        }
    }
}
