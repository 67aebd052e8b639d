//! Moments on the wire: XEP-0082 date-times in UTC with milliseconds.
//!
//! Every message carries one, so the usual form is read and written digit by digit; all other forms are left to chrono.

use chrono::DateTime;

use super::Timestamp;

/// 0001-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z: what four digits of a year can say in XML (there is no year 0).
const FIRST_MS: i64 = -62_135_596_800_000;
const LAST_MS: i64 = 253_402_300_799_999;
const DAY_MS: i64 = 86_400_000;
/// The usual form, with zeros where the digits go.
const FORM: [u8; 24] = *b"0000-00-00T00:00:00.000Z";
/// Longest text that is looked at.
const LONGEST_BYTES: usize = 64;

/// A moment as text.
pub(super) struct Wire([u8; 24]);

impl Wire {
    pub(super) fn as_str(&self) -> &str {
        // Digits and punctuation only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Timestamp {
    pub(super) fn wire(self) -> Wire {
        let ms = self.0.clamp(FIRST_MS, LAST_MS);
        let (year, month, day) = date(ms.div_euclid(DAY_MS));
        let of_day = ms.rem_euclid(DAY_MS);
        let mut text = FORM;
        put(&mut text[0..4], year);
        put(&mut text[5..7], month);
        put(&mut text[8..10], day);
        put(&mut text[11..13], of_day / 3_600_000);
        put(&mut text[14..16], of_day / 60_000 % 60);
        put(&mut text[17..19], of_day / 1000 % 60);
        put(&mut text[20..23], of_day % 1000);
        Wire(text)
    }

    /// As written on the wire: `2026-11-22T09:00:00.123Z`. What lies outside of the years 1 to 9999 becomes the nearest
    /// moment within.
    #[must_use]
    pub fn to_wire(self) -> String {
        self.wire().as_str().to_owned()
    }

    /// From the wire; any offset and any precision is understood, none is an error.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Timestamp> {
        let usual = text.as_bytes().first_chunk().filter(|_| text.len() == FORM.len()).and_then(usual);
        let other = |short: &str| DateTime::parse_from_rfc3339(short).ok().map(|t| Timestamp(t.timestamp_millis()));
        let at = usual.or_else(|| Some(text).filter(|t| t.len() <= LONGEST_BYTES).and_then(other))?;
        (FIRST_MS..=LAST_MS).contains(&at.0).then_some(at)
    }
}

fn put(digits: &mut [u8], mut value: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn usual(text: &[u8; FORM.len()]) -> Option<Timestamp> {
    let like = |(given, form): (&u8, &u8)| if *form == b'0' { given.is_ascii_digit() } else { given == form };
    if !text.iter().zip(&FORM).all(like) {
        return None;
    }
    let get = |from: usize, to: usize| text[from..to].iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
    let (year, month, day) = (get(0, 4), get(5, 7), get(8, 10));
    let (hours, minutes, seconds) = (get(11, 13), get(14, 16), get(17, 19));
    // A date is real if it comes back as it went. (Leap seconds are chrono's business.)
    let days = days(year, month, day);
    if !(1..=12).contains(&month) || hours > 23 || minutes > 59 || seconds > 59 || date(days) != (year, month, day) {
        return None;
    }
    Some(Timestamp(days * DAY_MS + ((hours * 60 + minutes) * 60 + seconds) * 1000 + get(20, 23)))
}

/// Days since 1970 of a date of the Gregorian calendar. Years are counted from March, so that a leap day is their last day;
/// 400 years have 146,097 days, and 719,468 days lie between the first of March of year 0 and 1970.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - 719_468
}

/// The date (year, month, day) of a day since 1970; see [`days`].
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use chrono::{SecondsFormat, Utc};

    use super::*;

    #[test]
    fn every_day_of_the_calendar_is_what_chrono_says() {
        for day in FIRST_MS / DAY_MS..=LAST_MS.div_euclid(DAY_MS) {
            let at = Timestamp(day * DAY_MS + 1 + (day * 7919).rem_euclid(DAY_MS - 1));
            let text = at.to_wire();
            let chrono = DateTime::<Utc>::from_timestamp_millis(at.0).unwrap();
            if day % 13 == 0 {
                assert_eq!(text, chrono.to_rfc3339_opts(SecondsFormat::Millis, true));
            }
            assert_eq!(usual(text.as_bytes().first_chunk().unwrap()), Some(at), "{text}");
        }
    }

    #[test]
    fn other_forms_are_understood_and_nonsense_is_not() {
        let at = Timestamp(1_795_343_122_123);
        for text in ["2026-11-22T10:25:22.123Z", "2026-11-22T11:25:22.1234567+01:00", "2026-11-22t10:25:22.123z"] {
            assert_eq!(Timestamp::from_wire(text), Some(at), "{text}");
        }
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T10:25:22.123",
            "2026-02-29T10:25:22.123Z",
            "2026-13-01T10:25:22.123Z",
            "2026-00-01T10:25:22.123Z",
            "2026-01-00T10:25:22.123Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:60:00.000Z",
            "0001-01-01T00:00:00.000+23:59",
            "0000-12-31T23:59:59.999Z",
            "20\u{e4}6-11-22T10:25:22.12Z",
        ] {
            assert_eq!(Timestamp::from_wire(text), None, "{text}");
        }
        assert_eq!(Timestamp(i64::MAX).to_wire(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp(i64::MIN).to_wire(), "0001-01-01T00:00:00.000Z");
    }
}
