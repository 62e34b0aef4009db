//! Stretches of the calendar over which a budget counts.

use std::fmt;

use crate::Timestamp;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Over what a budget counts; each period begins anew, by UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// From minute to minute.
    Minute,
    /// From hour to hour.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the next one's.
    Month,
}

impl Period {
    /// The names that settings use.
    pub const NAMES: [(&'static str, Self); 4] =
        [("minute", Self::Minute), ("hour", Self::Hour), ("day", Self::Day), ("month", Self::Month)];

    /// The first moment of the period that `at` lies in, and that of the next one.
    pub fn around(self, at: Timestamp) -> (Timestamp, Timestamp) {
        let every = |ms: u64| {
            let start = at.0 - at.0 % ms;
            (Timestamp(start), Timestamp(start + ms))
        };
        match self {
            Self::Minute => every(MINUTE_MS),
            Self::Hour => every(HOUR_MS),
            Self::Day => every(DAY_MS),
            Self::Month => {
                let (year, month) = month_of(at.0 / DAY_MS);
                let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                (
                    Timestamp(days_before(year, month) * DAY_MS),
                    Timestamp(days_before(next.0, next.1) * DAY_MS),
                )
            }
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, period)| period == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// Year and month of a day after 1970-01-01 in the Gregorian calendar (Hinnant, *chrono-Compatible Low-Level Date
/// Algorithms*, `civil_from_days`).
fn month_of(day: u64) -> (u64, u64) {
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    if month < 10 { (era * 400 + year, month + 3) } else { (era * 400 + year + 1, month - 9) }
}

/// Days from 1970-01-01 to the first of a month (`days_from_civil` of the same).
fn days_before(year: u64, month: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year) = (year / 400, year % 400);
    era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_where_the_calendar_says() {
        // 2024-02-29T12:34:56.789Z, and December, where the year ends.
        let leap = Timestamp(1_709_210_096_789);
        let cases = [
            (Period::Minute, leap, 1_709_210_040_000, 1_709_210_100_000),
            (Period::Hour, leap, 1_709_208_000_000, 1_709_211_600_000),
            (Period::Day, leap, 1_709_164_800_000, 1_709_251_200_000),
            (Period::Month, leap, 1_706_745_600_000, 1_709_251_200_000),
            (Period::Month, Timestamp(1_766_000_000_000), 1_764_547_200_000, 1_767_225_600_000),
            (Period::Month, Timestamp(0), 0, 2_678_400_000),
        ];
        for (period, at, since, until) in cases {
            assert_eq!(period.around(at), (Timestamp(since), Timestamp(until)), "{period} of {}", at.0);
        }
    }
}
