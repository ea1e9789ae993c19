//! Durations in Go's form (`90s`, `2m`, `1h30m`), as Kubernetes users write them.

use std::time::Duration;

/// Units from the longest to the shortest, with their milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is not a duration; each message says the form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was given.
    #[error("a duration is missing; write it like 90s, 2m or 1h30m")]
    Empty,
    /// A sign stands in front.
    #[error("a duration has no sign; write it like 90s, 2m or 1h30m")]
    Signed,
    /// A number without its unit.
    #[error("{0:?} has no unit; write a duration like 90s, 2m or 1h30m")]
    NoUnit(String),
    /// A unit that is not taken; Go knows no days either.
    #[error("{0:?} is not a unit; the units are h, m, s and ms, as in 90s, 2m or 1h30m (a day is 24h)")]
    UnknownUnit(String),
    /// Something that is not a number where one belongs.
    #[error("{0:?} is not a duration; write whole numbers with units, like 90s, 2m or 1h30m")]
    NotANumber(String),
    /// More than can be counted.
    #[error("the duration is too long; write it like 90s, 2m or 1h30m, at most 2562047h")]
    TooLong,
}

/// The longest duration that Go itself can hold (2^63-1 ns), so that every tool around us takes what we take.
const MAX_MILLIS: u64 = i64::MAX as u64 / 1_000_000;

/// Reads a duration in Go's form: whole numbers, each with `h`, `m`, `s` or `ms`, added up. A lone `0` is taken, as in Go;
/// fractions and signs are not.
///
/// # Errors
/// Whatever is not of that form, and what Go's own type could not hold.
pub fn parse_go_duration(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text.starts_with(['-', '+']) {
        return Err(DurationError::Signed);
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut millis: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, after) = split_while(rest, |c| c.is_ascii_digit());
        let (unit, next) = split_while(after, |c| c.is_alphabetic() || c == 'µ');
        if digits.is_empty() || after.starts_with('.') {
            return Err(DurationError::NotANumber(text.to_owned()));
        }
        if unit.is_empty() {
            return Err(if after.is_empty() {
                DurationError::NoUnit(text.to_owned())
            } else {
                DurationError::NotANumber(text.to_owned())
            });
        }
        let (_, factor) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| DurationError::UnknownUnit(unit.to_owned()))?;
        // All digits, so the one way to fail is to be too large.
        let number: u64 = digits.parse().map_err(|_| DurationError::TooLong)?;
        millis = number
            .checked_mul(factor)
            .and_then(|part| millis.checked_add(part))
            .filter(|sum| *sum <= MAX_MILLIS)
            .ok_or(DurationError::TooLong)?;
        rest = next;
    }
    Ok(Duration::from_millis(millis))
}

/// Writes a duration in Go's form, as short as it goes: `1h30m`, `90s` as `1m30s`, nothing as `0s`. What is below a
/// millisecond is cut off.
pub fn format_go_duration(duration: Duration) -> String {
    let mut left = duration.as_millis();
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, millis) in UNITS {
        let count = left / u128::from(millis);
        left %= u128::from(millis);
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

fn split_while(text: &str, take: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !take(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_gos_form_and_writes_it_back() {
        for (text, millis, written) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("90s", 90_000, "1m30s"),
            ("2m", 120_000, "2m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("30m1h", 5_400_000, "1h30m"),
            ("1500ms", 1_500, "1s500ms"),
            ("1m500ms", 60_500, "1m500ms"),
            ("768h", 2_764_800_000, "768h"),
            ("007s", 7_000, "7s"),
        ] {
            let read = parse_go_duration(text).expect(text);
            assert_eq!(read, Duration::from_millis(millis), "{text}");
            assert_eq!(format_go_duration(read), written, "{text}");
            assert_eq!(parse_go_duration(written).expect(written), read, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_of_the_form_and_says_the_form() {
        use DurationError::*;
        for (text, want) in [
            ("", Empty),
            ("-1s", Signed),
            ("+1s", Signed),
            ("15", NoUnit("15".into())),
            ("1h30", NoUnit("1h30".into())),
            ("1d", UnknownUnit("d".into())),
            ("1M", UnknownUnit("M".into())),
            ("1µs", UnknownUnit("µs".into())),
            ("1.5h", NotANumber("1.5h".into())),
            ("h", NotANumber("h".into())),
            ("1 h", NotANumber("1 h".into())),
            (" 1h", NotANumber(" 1h".into())),
            ("1h ", NotANumber("1h ".into())),
            ("2562048h", TooLong),
            ("99999999999999999999s", TooLong),
            ("2562047h2562047h", TooLong),
        ] {
            let error = parse_go_duration(text).expect_err(text);
            assert_eq!(error, want, "{text:?}");
            assert!(error.to_string().contains("90s, 2m or 1h30m"), "{error}");
        }
    }
}
