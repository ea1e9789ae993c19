//! Durations as the specs hold them.

use jiff::SignedDuration;

/// A duration of whole hours, minutes and seconds (`1h30m`, `90s`), or `None` where the text is none: whatever
/// admission lets pass, in any order of the units.
pub fn parse_duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut sum = SignedDuration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let mut after = after.chars();
        let unit = match after.next()? {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        let seconds = number.parse::<i64>().ok()?.checked_mul(unit)?;
        sum = sum.checked_add(SignedDuration::from_secs(seconds))?;
        rest = after.as_str();
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_form_is_read() {
        for (text, seconds) in [("90m", 5400), ("1h30m", 5400), ("24h0m0s", 86400), ("768h", 2_764_800), ("0s", 0)] {
            assert_eq!(parse_duration(text), Some(SignedDuration::from_secs(seconds)), "{text}");
        }
        for text in ["", "soon", "30d", "10", "h", "-5m", "1.5h", "1h 5m", "\u{664}h", "99999999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
