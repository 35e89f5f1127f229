//! Parses times, days and time zones of schedules.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::plan::{HolidayDays, HolidayRow, MonthDay, OpenHoursRow, OverrideRow, WindowRow};
use crate::resources::Schedule;
use crate::resources::schedule::{Holiday, HolidayWeekday};
use crate::route::schedule::zone;

const MINUTES_OF_A_DAY: i32 = 1440;

type Parsed<T> = Result<T, (String, RefError)>;

fn invalid<T>(field: String, message: String) -> Parsed<T> {
    Err((field, (Reason::InvalidValue, message).into()))
}

/// Parses the weekly windows of a schedule.
pub fn windows(schedule: &Schedule) -> Parsed<Vec<WindowRow>> {
    let mut windows = Vec::new();
    for (index, window) in schedule.spec.weekly.iter().enumerate() {
        let field = |name: &str| format!("spec.weekly[{index}].{name}");
        let from_minute = first_minute(&window.from, &field("from"))?;
        let to_minute = last_minute(&window.to, &field("to"))?;
        if from_minute == to_minute {
            let message = "it must differ from `from`; a whole day is 00:00 to 24:00";
            return invalid(field("to"), message.to_owned());
        }
        windows.push(WindowRow { days: window.days.clone(), from_minute, to_minute });
    }
    Ok(windows)
}

/// Parses the holidays of a schedule.
pub fn holidays(schedule: &Schedule) -> Parsed<Vec<HolidayRow>> {
    let holidays = schedule.spec.holidays.iter().enumerate();
    holidays.map(|(index, holiday)| self::holiday(holiday, &format!("spec.holidays[{index}]"))).collect()
}

fn holiday(holiday: &Holiday, path: &str) -> Parsed<HolidayRow> {
    let days = days(holiday, path)?;
    let from_minute = match &holiday.from {
        Some(from) => first_minute(from, &format!("{path}.from"))?,
        None => 0,
    };
    let to_minute = match &holiday.to {
        Some(to) => last_minute(to, &format!("{path}.to"))?,
        None => MINUTES_OF_A_DAY,
    };
    if holiday.last_date.is_none() && to_minute <= from_minute {
        let message = "it must be after `from`; a holiday over midnight needs lastDate";
        return invalid(format!("{path}.to"), message.to_owned());
    }
    let mut open = Vec::new();
    for (index, hours) in holiday.open.iter().enumerate() {
        let path = |name: &str| format!("{path}.open[{index}].{name}");
        let from_minute = first_minute(&hours.from, &path("from"))?;
        let to_minute = last_minute(&hours.to, &path("to"))?;
        if to_minute <= from_minute {
            return invalid(path("to"), "it must be after `from`, on the same day".to_owned());
        }
        open.push(OpenHoursRow { from_minute, to_minute });
    }
    Ok(HolidayRow { name: holiday.name.clone(), days, from_minute, to_minute, open })
}

/// The days of a holiday. That exactly one of its fields names them is a rule of the schema.
fn days(holiday: &Holiday, path: &str) -> Parsed<HolidayDays> {
    if let Some(easter) = &holiday.easter {
        let calendar = easter.calendar.unwrap_or_default();
        return Ok(HolidayDays::Easter { calendar, offset_days: easter.offset_days });
    }
    if let Some(weekday) = &holiday.weekday {
        return by_weekday(weekday, path);
    }
    let date = holiday.date.as_deref().unwrap_or_default();
    let first = parse(date, &format!("{path}.date"))?;
    let Some(last_date) = &holiday.last_date else {
        return Ok(match first {
            Day::Once(day) => HolidayDays::Once { first: day, last: day },
            Day::Yearly(day) => HolidayDays::Yearly { first: day, last: day },
        });
    };
    let field = format!("{path}.lastDate");
    match (first, parse(last_date, &field)?) {
        (Day::Once(first), Day::Once(last)) if first <= last => Ok(HolidayDays::Once { first, last }),
        (Day::Once(_), Day::Once(_)) => invalid(field, format!("{last_date} is before date, {date}")),
        (Day::Yearly(first), Day::Yearly(last)) => Ok(HolidayDays::Yearly { first, last }),
        _ => invalid(
            field,
            format!("{last_date} must have the form of date, {date}: both with a year, or none"),
        ),
    }
}

fn by_weekday(weekday: &HolidayWeekday, path: &str) -> Parsed<HolidayDays> {
    let (day, offset_days) = (weekday.day, weekday.offset_days.unwrap_or(0));
    if let Some(date) = &weekday.on_or_after {
        let field = format!("{path}.weekday.onOrAfter");
        return match parse(date, &field)? {
            Day::Yearly(from) => Ok(HolidayDays::WeekdayFrom { day, from, offset_days }),
            Day::Once(_) => invalid(field, format!("{date} must be a day of every year; write MM-DD")),
        };
    }
    let small = |number: Option<i32>| number.and_then(|number| i8::try_from(number).ok());
    match (small(weekday.nth), small(weekday.month)) {
        (Some(nth), Some(month)) => Ok(HolidayDays::NthWeekday { day, nth, month, offset_days }),
        _ => invalid(format!("{path}.weekday"), "it needs nth and month, or onOrAfter".to_owned()),
    }
}

/// Parses the override of a schedule in a time zone, without its destination.
pub fn overridden(schedule: &Schedule, time_zone: &str) -> Parsed<Option<OverrideRow>> {
    let Some(spec) = &schedule.spec.overridden else { return Ok(None) };
    let zone = zone(time_zone).unwrap_or(TimeZone::UTC);
    let time = |name: &str, text: &Option<String>| {
        let Some(text) = text else { return Ok(None) };
        let parsed = text.parse::<Timestamp>().ok().or_else(|| {
            // Of a time that comes twice the first is meant; one that is skipped is that much later.
            text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok().map(|time| time.timestamp())
        });
        match parsed {
            Some(time) => Ok(Some(time)),
            None => {
                let message = format!("there is no time {text} in the calendar");
                invalid(format!("spec.override.{name}"), message)
            }
        }
    };
    let (from, until) = (time("from", &spec.from)?, time("until", &spec.until)?);
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        return invalid("spec.override.until".to_owned(), "it must be after `from`".to_owned());
    }
    Ok(Some(OverrideRow { from, until, state: spec.state, target: None }))
}

/// The schedule's own time zone, if it has one.
pub fn time_zone(schedule: &Schedule) -> Parsed<Option<String>> {
    if let Some(name) = &schedule.spec.time_zone {
        known_zone(name).or_else(|message| invalid("spec.timeZone".to_owned(), message))?;
    }
    Ok(schedule.spec.time_zone.clone())
}

/// Checks that a time zone exists; the error is a message that suggests a name.
pub fn known_zone(name: &str) -> Result<(), String> {
    if zone(name).is_some() {
        return Ok(());
    }
    let other_case = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown());
    Err(match other_case.as_ref().and_then(|zone| zone.iana_name()) {
        Some(right) => format!("{name} is no time zone of the IANA database; did you mean {right}?"),
        None => format!("{name} is no time zone of the IANA database; write one such as Europe/Berlin"),
    })
}

/// The minute of the day at which a span starts.
fn first_minute(text: &str, field: &str) -> Parsed<i32> {
    match minute(text).filter(|minute| *minute < MINUTES_OF_A_DAY) {
        Some(minute) => Ok(minute),
        None => invalid(field.to_owned(), format!("{text} is no time from 00:00 to 23:59")),
    }
}

/// The minute of the day at which a span ends.
fn last_minute(text: &str, field: &str) -> Parsed<i32> {
    match minute(text) {
        Some(minute) => Ok(minute),
        None => invalid(field.to_owned(), format!("{text} is no time from 00:00 to 24:00")),
    }
}

/// The minute of the day that `HH:MM` names, 0 to 1440.
fn minute(text: &str) -> Option<i32> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = i32::from(hours) * 60 + i32::from(minutes);
    (minutes < 60 && minute <= MINUTES_OF_A_DAY).then_some(minute)
}

/// A day of the calendar, in one year or in every year.
enum Day {
    Once(Date),
    Yearly(MonthDay),
}

/// Parses a day of the calendar. A yearly holiday may be 29 February.
fn parse(text: &str, field: &str) -> Parsed<Day> {
    const LEAP_YEAR: i16 = 2024;
    let day = |year: Option<&str>, month: &str, day: &str| {
        let (month, day) = (month.parse().ok()?, day.parse().ok()?);
        match year {
            Some(year) => Some(Day::Once(Date::new(year.parse().ok()?, month, day).ok()?)),
            None => Date::new(LEAP_YEAR, month, day).ok().map(|_| Day::Yearly(MonthDay { month, day })),
        }
    };
    let parts: Vec<&str> = text.split('-').collect();
    let found = match parts.as_slice() {
        [month, of_month] => day(None, month, of_month),
        [year, month, of_month] => day(Some(year), month, of_month),
        _ => None,
    };
    match found {
        Some(day) => Ok(day),
        None => invalid(field.to_owned(), format!("there is no day {text} in the calendar")),
    }
}
