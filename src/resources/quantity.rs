//! Quantities as Kubernetes writes them.

/// The units of [`QUANTITY_PATTERN`](super::pattern::QUANTITY_PATTERN), and their bytes.
const UNITS: [(&str, u64); 8] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// Decimal places that count.
const DECIMAL_PLACES: usize = 3;

/// The bytes of a quantity such as `20Gi` or `1.5G`; `None` for other text. Ignores decimals beyond thousandths
/// of the unit.
pub fn bytes(text: &str) -> Option<u64> {
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit) = unit.unwrap_or((text, 1));
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(part) {
        return None;
    }
    let thousandths: u64 =
        part.chars().chain("000".chars()).take(DECIMAL_PLACES).collect::<String>().parse().ok()?;
    let whole = whole.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(unit);
    let part = u64::try_from(u128::from(unit) * u128::from(thousandths) / 1000).ok()?;
    Some(whole.saturating_add(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_bytes() {
        for (text, expected) in [
            ("0", 0),
            ("17", 17),
            ("20Gi", 20 << 30),
            ("1.5Ki", 1536),
            ("2k", 2_000),
            ("0.25M", 250_000),
            ("1.0009k", 1_000),
            ("99999999999999999999T", u64::MAX),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "Gi", "1.Gi", ".5", "-1", "1 Gi", "1Zi", "1e3"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
