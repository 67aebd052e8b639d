//! Moments on the wire: XEP-0082 date-times in UTC with milliseconds.

use chrono::{DateTime, SecondsFormat, Utc};

use super::Timestamp;

impl Timestamp {
    /// As written on the wire: `2026-11-22T09:00:00.123Z`.
    #[must_use]
    pub fn to_wire(self) -> String {
        DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// From the wire; any offset and any precision is understood, none is an error.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Timestamp> {
        (text.len() <= 64).then(|| DateTime::parse_from_rfc3339(text).ok())?.map(|t| Timestamp(t.timestamp_millis()))
    }
}
