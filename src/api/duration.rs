//! Durations as the specs hold them.

use jiff::SignedDuration;

/// A duration in Go's form (`1h30m`, `90s`), or `None` where the text is none. Everything that admission lets pass is one,
/// and so is what Go would take besides (`1.5h`, `500ms`).
pub fn parse_duration(text: &str) -> Option<SignedDuration> {
    let parsed: kube::core::Duration = text.parse().ok()?;
    let negative = parsed.is_negative();
    let magnitude = SignedDuration::try_from(std::time::Duration::from(parsed)).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_form_is_read() {
        for (text, seconds) in
            [("90m", 5400), ("1h30m", 5400), ("24h0m0s", 86400), ("768h", 2_764_800), ("0s", 0), ("-5m", -300)]
        {
            assert_eq!(parse_duration(text), Some(SignedDuration::from_secs(seconds)), "{text}");
        }
        for text in ["", "soon", "30d", "10", "h", "99999999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
