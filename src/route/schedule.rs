//! The state of a schedule at a time.

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::plan::{HolidayRow, ScheduleRow, Target, WindowRow};
use crate::resources::common::Day;

/// The state of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Open.
    Open,
    /// Closed by the weekly windows.
    Closed,
    /// Closed for a holiday.
    Holiday,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Holiday => "closed for a holiday",
        })
    }
}

/// A time zone by its exact IANA name. The database is built in, so the compiler and every switch know the
/// same zones, whatever their hosts have installed.
pub fn zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    // jiff accepts names in any case, and has a zone named "unknown".
    (zone.iana_name() == Some(name) && !zone.is_unknown()).then_some(zone)
}

/// The state of a schedule at a time. Windows are read on the wall clock of the zone, so daylight saving
/// does not shift opening hours.
pub fn state(schedule: &ScheduleRow, zone: &TimeZone, now: Timestamp) -> State {
    let local = zone.to_datetime(now);
    let today = local.date();
    if is_holiday(&schedule.holidays, today) {
        return State::Holiday;
    }
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    // A window that runs past midnight belongs to the day it started on, holidays included.
    let yesterday = today.yesterday().ok().filter(|day| !is_holiday(&schedule.holidays, *day));
    let open = schedule.weekly.iter().any(|window| {
        let started_today = starts_on(window, today) && minute >= window.from_minute;
        if window.from_minute < window.to_minute {
            return started_today && minute < window.to_minute;
        }
        started_today || yesterday.is_some_and(|day| starts_on(window, day) && minute < window.to_minute)
    });
    if open { State::Open } else { State::Closed }
}

/// Where a schedule sends calls at a time.
pub fn target<'a>(schedule: &'a ScheduleRow, zone: &TimeZone, now: Timestamp) -> &'a Target {
    match state(schedule, zone, now) {
        State::Open => &schedule.open,
        State::Closed => &schedule.closed,
        State::Holiday => schedule.holiday.as_ref().unwrap_or(&schedule.closed),
    }
}

fn is_holiday(holidays: &[HolidayRow], date: Date) -> bool {
    holidays.iter().any(|holiday| {
        holiday.month == date.month()
            && holiday.day == date.day()
            && holiday.year.is_none_or(|year| year == date.year())
    })
}

fn starts_on(window: &WindowRow, date: Date) -> bool {
    let day = match date.weekday() {
        Weekday::Monday => Day::Mon,
        Weekday::Tuesday => Day::Tue,
        Weekday::Wednesday => Day::Wed,
        Weekday::Thursday => Day::Thu,
        Weekday::Friday => Day::Fri,
        Weekday::Saturday => Day::Sat,
        Weekday::Sunday => Day::Sun,
    };
    window.days.contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::common::DestinationKind;

    fn target_to(name: &str) -> Target {
        Target { kind: DestinationKind::Extension, name: name.to_owned() }
    }

    fn office(weekly: Vec<WindowRow>, holidays: Vec<HolidayRow>) -> ScheduleRow {
        ScheduleRow {
            time_zone: "Europe/Berlin".into(),
            weekly,
            holidays,
            open: target_to("open"),
            closed: target_to("closed"),
            holiday: None,
        }
    }

    fn window(days: &[Day], from: i32, to: i32) -> WindowRow {
        WindowRow { days: days.to_vec(), from_minute: from * 60, to_minute: to * 60 }
    }

    fn at(schedule: &ScheduleRow, time: &str) -> State {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let now = time.parse::<jiff::civil::DateTime>().unwrap().to_zoned(zone.clone()).unwrap();
        state(schedule, &zone, now.timestamp())
    }

    #[test]
    fn opens_and_closes_on_the_minute() {
        let schedule = office(vec![window(&[Day::Mon], 9, 17)], vec![]);
        assert_eq!(at(&schedule, "2026-11-23T08:59:59"), State::Closed);
        assert_eq!(at(&schedule, "2026-11-23T09:00:00"), State::Open);
        assert_eq!(at(&schedule, "2026-11-23T16:59:59"), State::Open);
        assert_eq!(at(&schedule, "2026-11-23T17:00:00"), State::Closed);
        assert_eq!(at(&schedule, "2026-11-24T10:00:00"), State::Closed);
    }

    #[test]
    fn a_night_shift_belongs_to_the_day_it_starts_on() {
        let schedule = office(vec![window(&[Day::Fri], 22, 6)], vec![]);
        assert_eq!(at(&schedule, "2026-11-27T23:00:00"), State::Open);
        assert_eq!(at(&schedule, "2026-11-28T05:59:00"), State::Open);
        assert_eq!(at(&schedule, "2026-11-28T06:00:00"), State::Closed);
        assert_eq!(at(&schedule, "2026-11-27T05:00:00"), State::Closed);
    }

    #[test]
    fn the_end_of_the_day_is_twenty_four() {
        let schedule = office(vec![window(&[Day::Sat], 0, 24)], vec![]);
        assert_eq!(at(&schedule, "2026-11-28T00:00:00"), State::Open);
        assert_eq!(at(&schedule, "2026-11-28T23:59:59"), State::Open);
        assert_eq!(at(&schedule, "2026-11-29T00:00:00"), State::Closed);
    }

    #[test]
    fn holidays_close_every_year_or_once_and_end_the_night_before_them() {
        let days = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
        let new_year = HolidayRow { name: "New Year".into(), year: None, month: 1, day: 1 };
        let once = HolidayRow { name: "Once".into(), year: Some(2026), month: 6, day: 18 };
        let schedule = office(vec![window(&days, 18, 6)], vec![new_year, once]);
        assert_eq!(at(&schedule, "2026-12-31T23:00:00"), State::Open);
        assert_eq!(at(&schedule, "2027-01-01T05:00:00"), State::Holiday);
        // What would have started on the holiday does not run into the next day.
        assert_eq!(at(&schedule, "2027-01-02T05:00:00"), State::Closed);
        assert_eq!(at(&schedule, "2026-06-18T19:00:00"), State::Holiday);
        assert_eq!(at(&schedule, "2027-06-18T19:00:00"), State::Open);
    }

    #[test]
    fn daylight_saving_moves_the_clock_not_the_opening_hours() {
        let days = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
        let schedule = office(vec![window(&days, 9, 17)], vec![]);
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        // 07:30 UTC is 08:30 in winter and 09:30 in summer.
        assert_eq!(state(&schedule, &zone, "2026-03-28T07:30:00Z".parse().unwrap()), State::Closed);
        assert_eq!(state(&schedule, &zone, "2026-03-29T07:30:00Z".parse().unwrap()), State::Open);
        assert_eq!(state(&schedule, &zone, "2026-10-24T07:30:00Z".parse().unwrap()), State::Open);
        assert_eq!(state(&schedule, &zone, "2026-10-25T07:30:00Z".parse().unwrap()), State::Closed);
    }
}
