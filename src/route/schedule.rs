//! What a schedule says at a time.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::holidays;
use crate::plan::{HolidayRow, OverrideRow, ScheduleRow, Target, WindowRow};
use crate::resources::schedule::ScheduleState;

const MINUTES_OF_A_DAY: i32 = 1440;

/// What a schedule says at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<'a> {
    /// Where calls go.
    pub target: &'a Target,
    rule: Rule<'a>,
}

/// Which rule of a schedule decides.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule<'a> {
    Override(&'a OverrideRow),
    Holiday(&'a HolidayRow, ScheduleState),
    Week(ScheduleState),
}

impl Reading<'_> {
    /// What decides, for people: `open`, `closed for the holiday Thanksgiving`.
    pub fn describe(&self, zone: &TimeZone) -> String {
        let name = |state| if state == ScheduleState::Open { "open" } else { "closed" };
        match self.rule {
            Rule::Week(state) => name(state).to_owned(),
            Rule::Holiday(row, ScheduleState::Open) => format!("open on the holiday {}", row.name),
            Rule::Holiday(row, _) => format!("closed for the holiday {}", row.name),
            Rule::Override(row) => {
                let what = row.state.map_or("decided", |state| match state {
                    ScheduleState::Holiday => "closed as on a holiday",
                    state => name(state),
                });
                let until = row.until.map(|until| {
                    format!(" until {}", until.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Q"))
                });
                format!("{what} by its override{}", until.unwrap_or_default())
            }
        }
    }
}

/// A time zone by its exact IANA name. The database is built in, so the compiler and every switch know the
/// same zones, whatever their hosts have installed.
pub fn zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    // jiff accepts names in any case, and has a zone named "unknown".
    (zone.iana_name() == Some(name) && !zone.is_unknown()).then_some(zone)
}

/// What a schedule says at a time. Hours are read on the wall clock of the zone, so daylight saving does not
/// shift opening hours.
pub fn read<'a>(schedule: &'a ScheduleRow, zone: &TimeZone, now: Timestamp) -> Reading<'a> {
    let of_state = |state| match state {
        ScheduleState::Open => &schedule.open,
        ScheduleState::Closed => &schedule.closed,
        ScheduleState::Holiday => schedule.holiday.as_ref().unwrap_or(&schedule.closed),
    };
    let overridden = schedule
        .overridden
        .as_ref()
        .filter(|row| row.from.is_none_or(|from| from <= now) && row.until.is_none_or(|until| now < until));
    if let Some(row) = overridden
        && let Some(target) = row.target.as_ref().or(row.state.map(of_state))
    {
        return Reading { target, rule: Rule::Override(row) };
    }
    let local = zone.to_datetime(now);
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    match holiday(schedule, local.date(), minute) {
        Some((row, state)) => Reading { target: of_state(state), rule: Rule::Holiday(row, state) },
        None => {
            let state = week(schedule, local.date(), minute);
            Reading { target: of_state(state), rule: Rule::Week(state) }
        }
    }
}

/// The first holiday that names a time, and the state in which it is then.
fn holiday(schedule: &ScheduleRow, day: Date, minute: i32) -> Option<(&HolidayRow, ScheduleState)> {
    schedule.holidays.iter().find_map(|row| {
        let (first, last) = holidays::span(&row.days, day)?;
        if !row.open.is_empty() {
            let open = row.open.iter().any(|hours| (hours.from_minute..hours.to_minute).contains(&minute));
            return Some((row, if open { ScheduleState::Open } else { ScheduleState::Holiday }));
        }
        let from = if day == first { row.from_minute } else { 0 };
        let to = if day == last { row.to_minute } else { MINUTES_OF_A_DAY };
        (from..to).contains(&minute).then_some((row, ScheduleState::Holiday))
    })
}

/// The state by the weekly windows, at a time that no holiday names.
fn week(schedule: &ScheduleRow, today: Date, minute: i32) -> ScheduleState {
    // A window that runs past midnight belongs to the day it started on, and ends with the day when a
    // holiday names its last minute.
    let before = today.yesterday().ok().filter(|day| holiday(schedule, *day, MINUTES_OF_A_DAY - 1).is_none());
    let open = schedule.weekly.iter().any(|window| {
        let started_today = starts_on(window, today) && minute >= window.from_minute;
        if window.from_minute < window.to_minute {
            return started_today && minute < window.to_minute;
        }
        started_today || before.is_some_and(|day| starts_on(window, day) && minute < window.to_minute)
    });
    if open { ScheduleState::Open } else { ScheduleState::Closed }
}

fn starts_on(window: &WindowRow, date: Date) -> bool {
    window.days.iter().any(|day| holidays::weekday(*day) == date.weekday())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{HolidayDays, MonthDay, OpenHoursRow};
    use crate::resources::common::{Day, DestinationKind};
    use crate::resources::schedule::ScheduleState::{Closed, Holiday, Open};

    fn target_to(name: &str) -> Target {
        Target { kind: DestinationKind::Extension, name: name.to_owned() }
    }

    fn office(weekly: Vec<WindowRow>, holidays: Vec<HolidayRow>) -> ScheduleRow {
        ScheduleRow {
            time_zone: "Europe/Berlin".into(),
            weekly,
            holidays,
            overridden: None,
            open: target_to("open"),
            closed: target_to("closed"),
            holiday: Some(target_to("holiday")),
        }
    }

    fn window(days: &[Day], from: i32, to: i32) -> WindowRow {
        WindowRow { days: days.to_vec(), from_minute: from * 60, to_minute: to * 60 }
    }

    fn berlin() -> TimeZone {
        zone("Europe/Berlin").unwrap()
    }

    fn time(local: &str) -> Timestamp {
        local.parse::<jiff::civil::DateTime>().unwrap().to_zoned(berlin()).unwrap().timestamp()
    }

    fn state(schedule: &ScheduleRow, now: Timestamp) -> ScheduleState {
        match read(schedule, &berlin(), now).target.name.as_str() {
            "open" => Open,
            "closed" => Closed,
            _ => Holiday,
        }
    }

    fn at(schedule: &ScheduleRow, local: &str) -> ScheduleState {
        state(schedule, time(local))
    }

    const EVERY_DAY: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];

    fn yearly(name: &str, month: i8, day: i8) -> HolidayRow {
        let day = MonthDay { month, day };
        HolidayRow {
            name: name.into(),
            days: HolidayDays::Yearly { first: day, last: day },
            from_minute: 0,
            to_minute: 1440,
            open: vec![],
        }
    }

    #[test]
    fn opens_and_closes_on_the_minute() {
        let schedule = office(vec![window(&[Day::Mon], 9, 17)], vec![]);
        assert_eq!(at(&schedule, "2026-11-23T08:59:59"), Closed);
        assert_eq!(at(&schedule, "2026-11-23T09:00:00"), Open);
        assert_eq!(at(&schedule, "2026-11-23T16:59:59"), Open);
        assert_eq!(at(&schedule, "2026-11-23T17:00:00"), Closed);
        assert_eq!(at(&schedule, "2026-11-24T10:00:00"), Closed);
    }

    #[test]
    fn a_night_shift_belongs_to_the_day_it_starts_on() {
        let schedule = office(vec![window(&[Day::Fri], 22, 6)], vec![]);
        assert_eq!(at(&schedule, "2026-11-27T23:00:00"), Open);
        assert_eq!(at(&schedule, "2026-11-28T05:59:00"), Open);
        assert_eq!(at(&schedule, "2026-11-28T06:00:00"), Closed);
        assert_eq!(at(&schedule, "2026-11-27T05:00:00"), Closed);
    }

    #[test]
    fn the_end_of_the_day_is_twenty_four() {
        let schedule = office(vec![window(&[Day::Sat], 0, 24)], vec![]);
        assert_eq!(at(&schedule, "2026-11-28T00:00:00"), Open);
        assert_eq!(at(&schedule, "2026-11-28T23:59:59"), Open);
        assert_eq!(at(&schedule, "2026-11-29T00:00:00"), Closed);
    }

    #[test]
    fn holidays_close_every_year_or_once_and_end_the_night_before_them() {
        let new_year = yearly("New Year", 1, 1);
        let june = jiff::civil::date(2026, 6, 18);
        let once = HolidayRow { days: HolidayDays::Once { first: june, last: june }, ..yearly("Once", 1, 1) };
        let schedule = office(vec![window(&EVERY_DAY, 18, 6)], vec![new_year, once]);
        assert_eq!(at(&schedule, "2026-12-31T23:00:00"), Open);
        assert_eq!(at(&schedule, "2027-01-01T05:00:00"), Holiday);
        // What would have started on the holiday does not run into the next day.
        assert_eq!(at(&schedule, "2027-01-02T05:00:00"), Closed);
        assert_eq!(at(&schedule, "2026-06-18T19:00:00"), Holiday);
        assert_eq!(at(&schedule, "2027-06-18T19:00:00"), Open);
    }

    #[test]
    fn daylight_saving_moves_the_clock_not_the_opening_hours() {
        let schedule = office(vec![window(&EVERY_DAY, 9, 17)], vec![]);
        // 07:30 UTC is 08:30 in winter and 09:30 in summer.
        assert_eq!(state(&schedule, "2026-03-28T07:30:00Z".parse().unwrap()), Closed);
        assert_eq!(state(&schedule, "2026-03-29T07:30:00Z".parse().unwrap()), Open);
        assert_eq!(state(&schedule, "2026-10-24T07:30:00Z".parse().unwrap()), Open);
        assert_eq!(state(&schedule, "2026-10-25T07:30:00Z".parse().unwrap()), Closed);
    }

    #[test]
    fn half_a_day_is_closed_from_a_time_or_until_one() {
        let eve = HolidayRow { from_minute: 12 * 60, ..yearly("Christmas Eve", 12, 24) };
        let late = HolidayRow { to_minute: 10 * 60, ..yearly("Inventory", 1, 4) };
        let schedule = office(vec![window(&EVERY_DAY, 9, 17)], vec![eve, late]);
        assert_eq!(at(&schedule, "2026-12-24T08:59:00"), Closed);
        assert_eq!(at(&schedule, "2026-12-24T11:59:59"), Open);
        assert_eq!(at(&schedule, "2026-12-24T12:00:00"), Holiday);
        assert_eq!(at(&schedule, "2026-12-24T23:59:59"), Holiday);
        assert_eq!(at(&schedule, "2026-12-25T09:00:00"), Open);
        assert_eq!(at(&schedule, "2027-01-04T09:59:59"), Holiday);
        assert_eq!(at(&schedule, "2027-01-04T10:00:00"), Open);
    }

    #[test]
    fn a_night_shift_ends_with_the_day_when_the_holiday_names_its_midnight() {
        let schedule = |from, to| {
            let eve = HolidayRow { from_minute: from * 60, to_minute: to * 60, ..yearly("Eve", 12, 24) };
            office(vec![window(&EVERY_DAY, 22, 6)], vec![eve])
        };
        // Closed from noon: the shift of the 24th does not take place, that of the 23rd ends as it does.
        assert_eq!(at(&schedule(12, 24), "2026-12-24T05:59:00"), Open);
        assert_eq!(at(&schedule(12, 24), "2026-12-24T23:00:00"), Holiday);
        assert_eq!(at(&schedule(12, 24), "2026-12-25T05:00:00"), Closed);
        // Closed at noon only: the shift of the 24th takes place.
        assert_eq!(at(&schedule(12, 14), "2026-12-24T23:00:00"), Open);
        assert_eq!(at(&schedule(12, 14), "2026-12-25T05:00:00"), Open);
    }

    #[test]
    fn a_holiday_of_several_days_starts_on_the_first_and_ends_on_the_last() {
        let day = |month, day| MonthDay { month, day };
        let days = HolidayDays::Yearly { first: day(12, 24), last: day(1, 2) };
        let break_ = HolidayRow { days, from_minute: 12 * 60, to_minute: 10 * 60, ..yearly("Break", 1, 1) };
        let schedule = office(vec![window(&EVERY_DAY, 9, 17)], vec![break_]);
        assert_eq!(at(&schedule, "2026-12-24T11:00:00"), Open);
        assert_eq!(at(&schedule, "2026-12-24T12:00:00"), Holiday);
        assert_eq!(at(&schedule, "2026-12-28T09:30:00"), Holiday);
        assert_eq!(at(&schedule, "2027-01-02T09:59:00"), Holiday);
        assert_eq!(at(&schedule, "2027-01-02T10:00:00"), Open);
    }

    #[test]
    fn a_day_with_hours_of_its_own_is_closed_at_all_others() {
        let hours = |from, to| OpenHoursRow { from_minute: from * 60, to_minute: to * 60 };
        let sale = HolidayRow { open: vec![hours(8, 12), hours(13, 20)], ..yearly("Sale", 11, 29) };
        // 2026-11-29 is a Sunday, on which the week is not open.
        let schedule = office(vec![window(&[Day::Sat], 9, 2)], vec![sale, yearly("Day off", 11, 29)]);
        assert_eq!(at(&schedule, "2026-11-29T01:00:00"), Holiday);
        assert_eq!(at(&schedule, "2026-11-29T08:00:00"), Open);
        assert_eq!(at(&schedule, "2026-11-29T12:00:00"), Holiday);
        assert_eq!(at(&schedule, "2026-11-29T19:59:00"), Open);
        assert_eq!(at(&schedule, "2026-11-29T20:00:00"), Holiday);
        let said = read(&schedule, &berlin(), time("2026-11-29T08:00:00")).describe(&berlin());
        assert_eq!(said, "open on the holiday Sale");
    }

    #[test]
    fn an_override_begins_and_ends_by_itself() {
        let row = OverrideRow {
            from: Some(time("2026-11-23T10:00:00")),
            until: Some(time("2026-11-24T08:00:00")),
            state: Some(Holiday),
            target: None,
        };
        let week = office(vec![window(&EVERY_DAY, 9, 17)], vec![]);
        let schedule = ScheduleRow { overridden: Some(row.clone()), ..week.clone() };
        assert_eq!(at(&schedule, "2026-11-23T09:59:59"), Open);
        assert_eq!(at(&schedule, "2026-11-23T10:00:00"), Holiday);
        assert_eq!(at(&schedule, "2026-11-24T07:59:59"), Holiday);
        assert_eq!(at(&schedule, "2026-11-24T08:00:00"), Closed);
        assert_eq!(at(&schedule, "2026-11-24T09:00:00"), Open);
        let said = read(&schedule, &berlin(), time("2026-11-23T10:00:00")).describe(&berlin());
        assert_eq!(
            said,
            "closed as on a holiday by its override until Tue 2026-11-24 08:00:00 Europe/Berlin"
        );
        // To a destination, without an end; it goes before a holiday, too.
        let target = Some(target_to("elsewhere"));
        let ever = OverrideRow { from: None, until: None, state: None, target };
        let schedule =
            ScheduleRow { overridden: Some(ever), holidays: vec![yearly("New Year", 1, 1)], ..week.clone() };
        let now = time("2027-01-01T10:00:00");
        assert_eq!(read(&schedule, &berlin(), now).target, &target_to("elsewhere"));
        // One whose destination is missing does nothing.
        let schedule = ScheduleRow { overridden: Some(OverrideRow { state: None, ..row }), ..week };
        assert_eq!(at(&schedule, "2026-11-23T10:00:00"), Open);
    }

    /// On the wall clock: an hour that is skipped or comes twice moves nothing else.
    #[test]
    fn half_days_and_overrides_on_the_days_when_clocks_change() {
        let morning = |month, day| HolidayRow { to_minute: 3 * 60, ..yearly("Night", month, day) };
        let schedule = office(vec![window(&EVERY_DAY, 0, 24)], vec![morning(3, 28), morning(10, 31)]);
        // 2027-03-28: 02:00 to 03:00 is skipped. 2027-10-31: 02:00 to 03:00 comes twice.
        for (utc, expected) in [
            ("2027-03-27T22:59:59Z", Open),
            ("2027-03-27T23:00:00Z", Holiday),
            ("2027-03-28T00:59:59Z", Holiday),
            ("2027-03-28T01:00:00Z", Open),
            ("2027-10-30T22:00:00Z", Holiday),
            ("2027-10-31T01:59:59Z", Holiday),
            ("2027-10-31T02:00:00Z", Open),
        ] {
            assert_eq!(state(&schedule, utc.parse().unwrap()), expected, "{utc}");
        }
    }
}
