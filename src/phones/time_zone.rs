//! The time zone of a phone, as numbers: every vendor wants the offset and the rules of daylight saving in a
//! syntax of its own, and none of them can be trusted to know today's rules by the zone's name.
//!
//! The rules are derived from the next two real transitions, and not from the POSIX text of the zone's file: so
//! negative daylight saving (Dublin, in some databases), hours past midnight (`/24`, `/26`, `/-1`) and zones whose
//! dates follow another calendar (Casablanca) need no cases of their own. For a zone whose days no weekday rule
//! describes, the rules hold until the next change, and a phone that reads its configuration once a day follows.

use jiff::Timestamp;
use jiff::civil::{DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};
use serde::Serialize;

/// How far ahead the two changes of a year are looked for, in seconds: 13 months.
const AHEAD: i64 = 400 * 24 * 60 * 60;

/// The clock of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// IANA name of the zone.
    pub name: String,
    /// Minutes east of UTC, without daylight saving.
    pub base_minutes: i32,
    /// Daylight saving; `None` where the clock does not change in the next 13 months.
    pub saving: Option<Saving>,
}

/// Daylight saving: the two changes of a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Saving {
    /// Minutes by which the clock is put forward.
    pub minutes: i32,
    /// When it is put forward, by the clock before the change.
    pub start: Change,
    /// When it is put back, by the clock before the change.
    pub end: Change,
}

/// The moment of a change in each year, by the clock before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Month, from 1.
    pub month: i8,
    /// Which of the month's weekdays: 1 to 4, or 5 for the last.
    pub week: i8,
    /// Day of the week, from Monday 1 to Sunday 7.
    pub weekday: i8,
    /// Hour, 0 to 23.
    pub hour: i8,
    /// Minute.
    pub minute: i8,
}

impl Change {
    /// The rule that a change at this wall time follows.
    fn at(wall: DateTime) -> Self {
        let day = wall.day();
        let week = if day + 7 > wall.days_in_month() { 5 } else { (day + 6) / 7 };
        let weekday = wall.weekday().to_monday_one_offset();
        Self { month: wall.month(), week, weekday, hour: wall.hour(), minute: wall.minute() }
    }

    /// Day of the week, from Sunday 0 to Saturday 6.
    pub fn weekday_from_sunday(self) -> i8 {
        self.weekday % 7
    }

    /// The first day of the month on which the rule can fall, of a rule that does not name the last week.
    pub fn first_day(self) -> i8 {
        (self.week - 1) * 7 + 1
    }

    /// Whether it is the last such weekday of the month.
    pub fn is_last(self) -> bool {
        self.week == 5
    }

    /// The wall time in a year, as a phone works it out from the rule.
    pub fn in_year(self, year: i16) -> Option<DateTime> {
        let weekday = Weekday::from_monday_one_offset(self.weekday).ok()?;
        let first = jiff::civil::Date::new(year, self.month, 1).ok()?;
        let nth = if self.is_last() { -1 } else { self.week };
        Some(first.nth_weekday_of_month(nth, weekday).ok()?.at(self.hour, self.minute, 0, 0))
    }
}

impl Clock {
    /// The clock of a zone, with the changes that come after `now`.
    pub fn new(name: &str, zone: &TimeZone, now: Timestamp) -> Self {
        let saving = saving(zone, now);
        let base = saving.map_or_else(|| zone.to_offset(now), |(base, _)| base);
        Self {
            name: name.to_owned(),
            base_minutes: base.seconds() / 60,
            saving: saving.map(|(_, saving)| saving),
        }
    }

    /// Sign, hours and minutes of the offset: `('-', 3, 30)`.
    pub fn offset(&self) -> (char, i32, i32) {
        let sign = if self.base_minutes < 0 { '-' } else { '+' };
        let minutes = self.base_minutes.abs();
        (sign, minutes / 60, minutes % 60)
    }
}

/// The next change forward and the next change back, and the smaller of the offsets.
fn saving(zone: &TimeZone, now: Timestamp) -> Option<(Offset, Saving)> {
    let (mut start, mut end) = (None, None);
    let mut before = zone.to_offset(now);
    for transition in zone.following(now) {
        if transition.timestamp().as_second() - now.as_second() > AHEAD || (start.is_some() && end.is_some())
        {
            break;
        }
        let after = transition.offset();
        // A change of the abbreviation alone is none.
        if after != before {
            let change = (before, after, Change::at(before.to_datetime(transition.timestamp())));
            let first = if after > before { &mut start } else { &mut end };
            first.get_or_insert(change);
        }
        before = after;
    }
    let ((base, forward, start), (summer, back, end)) = (start?, end?);
    // Anything else is a zone that changes its offset for good, and no daylight saving.
    let is_pair = base == back && forward == summer;
    let minutes = (forward.seconds() - base.seconds()) / 60;
    is_pair.then_some((base, Saving { minutes, start, end }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::schedule;

    fn clock(name: &str, now: &str) -> Clock {
        Clock::new(name, &schedule::zone(name).unwrap(), format!("{now}T12:00:00Z").parse().unwrap())
    }

    /// Offset and minutes saved, then month, week, weekday, hour and minute of both changes.
    fn rules(name: &str, now: &str) -> String {
        let clock = clock(name, now);
        let change = |c: Change| format!("{}/{}/{} {}:{:02}", c.month, c.week, c.weekday, c.hour, c.minute);
        let saving =
            clock.saving.map(|s| format!(" +{} {} to {}", s.minutes, change(s.start), change(s.end)));
        format!("{}{}", clock.base_minutes, saving.unwrap_or_default())
    }

    #[test]
    fn zones_with_plain_rules() {
        for (name, expected) in [
            ("UTC", "0"),
            ("Europe/Berlin", "60 +60 3/5/7 2:00 to 10/5/7 3:00"),
            ("Europe/London", "0 +60 3/5/7 1:00 to 10/5/7 2:00"),
            ("America/New_York", "-300 +60 3/2/7 2:00 to 11/1/7 2:00"),
            ("Asia/Tokyo", "540"),
            ("America/Sao_Paulo", "-180"),
            // Hours that are not whole.
            ("Asia/Kolkata", "330"),
            ("Asia/Kathmandu", "345"),
            ("America/St_Johns", "-210 +60 3/2/7 2:00 to 11/1/7 2:00"),
            ("Pacific/Chatham", "765 +60 9/5/7 2:45 to 4/1/7 3:45"),
            // Half an hour is saved.
            ("Australia/Lord_Howe", "630 +30 10/1/7 2:00 to 4/1/7 2:00"),
            // Southern zones start in spring there.
            ("Australia/Sydney", "600 +60 10/1/7 2:00 to 4/1/7 3:00"),
            ("Pacific/Auckland", "720 +60 9/5/7 2:00 to 4/1/7 3:00"),
        ] {
            for now in ["2026-11-30", "2027-01-10", "2027-06-30", "2027-12-31"] {
                assert_eq!(rules(name, now), expected, "{name} on {now}");
            }
        }
    }

    #[test]
    fn dublin_saves_in_summer_whatever_the_database_calls_it() {
        assert_eq!(rules("Europe/Dublin", "2026-11-30"), rules("Europe/London", "2026-11-30"));
        // A database whose winter is the saving, with a negative amount.
        let negative = TimeZone::posix("IST-1GMT0,M10.5.0,M3.5.0/1").unwrap();
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let clock = Clock::new("Europe/Dublin", &negative, now);
        assert_eq!(clock, self::clock("Europe/Dublin", "2026-11-30"));
        assert_eq!(clock.base_minutes, 0);
    }

    #[test]
    fn a_day_after_the_nth_weekday_is_in_another_week_in_some_years() {
        // M3.4.4/26: the Friday after the fourth Thursday, which is the last Friday, or the one before.
        assert_eq!(rules("Asia/Jerusalem", "2028-12-01"), "120 +60 3/4/5 2:00 to 10/5/7 2:00"); // 23 March
        assert_eq!(rules("Asia/Jerusalem", "2023-12-01"), "120 +60 3/5/5 2:00 to 10/5/7 2:00"); // 29 March
        // M9.1.6/24: the Sunday after the first Saturday.
        assert_eq!(rules("America/Santiago", "2027-05-01"), "-240 +60 9/1/7 0:00 to 4/1/7 0:00"); // 5 September
        assert_eq!(rules("America/Santiago", "2030-05-01"), "-240 +60 9/2/7 0:00 to 4/1/7 0:00"); // 8 September
    }

    #[test]
    fn hours_outside_the_day_fall_on_the_day_beside_it() {
        // M3.5.0/-1: Saturday 23:00.
        assert_eq!(rules("America/Nuuk", "2026-12-01"), "-120 +60 3/5/6 23:00 to 10/5/7 0:00");
        // M10.5.4/24: Friday 0:00.
        assert_eq!(rules("Africa/Cairo", "2026-12-01"), "120 +60 4/5/5 0:00 to 10/5/5 0:00");
        // Hour 50 in March: two days and two hours after the Thursday.
        assert!(rules("Asia/Gaza", "2026-12-01").starts_with("120 +60 3/5/6 2:00"));
    }

    #[test]
    fn casablanca_puts_the_clock_back_for_ramadan() {
        // From 23 February to 6 April 2025.
        assert_eq!(rules("Africa/Casablanca", "2024-12-01"), "0 +60 4/1/7 2:00 to 2/5/7 3:00");
    }

    #[test]
    fn a_zone_that_moves_for_good_has_no_daylight_saving() {
        // Volgograd went from UTC+4 to UTC+3 on 27 December 2020.
        assert_eq!(rules("Europe/Volgograd", "2020-06-01"), "240");
        assert_eq!(rules("Europe/Volgograd", "2021-06-01"), "180");
    }

    /// What a phone works out from the rules is what the zone does, for every zone of the database.
    #[test]
    fn the_rules_name_the_next_changes_of_every_zone() {
        let mut with_saving = 0;
        for name in jiff::tz::TimeZoneDatabase::bundled().available() {
            let Some(zone) = schedule::zone(name.as_str()) else { continue };
            for year in 2026..2038 {
                let now: Timestamp = format!("{year}-06-15T12:00:00Z").parse().unwrap();
                let clock = Clock::new(name.as_str(), &zone, now);
                let Some(saving) = clock.saving else { continue };
                with_saving += 1;
                let base = Offset::from_seconds(clock.base_minutes * 60).unwrap();
                let summer = Offset::from_seconds((clock.base_minutes + saving.minutes) * 60).unwrap();
                for (change, before) in [(saving.start, base), (saving.end, summer)] {
                    let of_years = (year..year + 3).filter_map(|year| change.in_year(year));
                    let next = of_years.map(|wall| before.to_timestamp(wall).unwrap()).find(|at| *at > now);
                    let is_change = zone.following(now).take(8).any(|t| Some(t.timestamp()) == next);
                    assert!(is_change, "{name:?} in {year}: {change:?}");
                }
            }
        }
        assert!(with_saving > 1000, "{with_saving}");
    }
}
