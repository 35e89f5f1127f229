//! Parses times, days and time zones of schedules.

use jiff::civil::Date;
use jiff::tz::TimeZoneDatabase;

use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::plan::{HolidayRow, WindowRow};
use crate::resources::Schedule;
use crate::route::schedule::zone;

type Parsed<T> = Result<T, (String, RefError)>;

fn invalid<T>(field: String, message: String) -> Parsed<T> {
    Err((field, (Reason::InvalidValue, message).into()))
}

/// Parses the weekly windows of a schedule.
pub fn windows(schedule: &Schedule) -> Parsed<Vec<WindowRow>> {
    let mut windows = Vec::new();
    for (index, window) in schedule.spec.weekly.iter().enumerate() {
        let field = |name: &str| format!("spec.weekly[{index}].{name}");
        let Some(from_minute) = minute(&window.from).filter(|minute| *minute < 1440) else {
            return invalid(field("from"), format!("{} is no time from 00:00 to 23:59", window.from));
        };
        let Some(to_minute) = minute(&window.to) else {
            return invalid(field("to"), format!("{} is no time from 00:00 to 24:00", window.to));
        };
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
    let mut holidays = Vec::new();
    for (index, holiday) in schedule.spec.holidays.iter().enumerate() {
        let parts: Vec<&str> = holiday.date.split('-').collect();
        let date = match parts.as_slice() {
            [month, day] => parse(None, month, day),
            [year, month, day] => parse(Some(year), month, day),
            _ => None,
        };
        let Some((year, month, day)) = date else {
            let message = format!("{} is no day of the calendar; write MM-DD or YYYY-MM-DD", holiday.date);
            return invalid(format!("spec.holidays[{index}].date"), message);
        };
        holidays.push(HolidayRow { name: holiday.name.clone(), year, month, day });
    }
    Ok(holidays)
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

/// The minute of the day that `HH:MM` names, 0 to 1440.
fn minute(text: &str) -> Option<i32> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = i32::from(hours) * 60 + i32::from(minutes);
    (minutes < 60 && minute <= 1440).then_some(minute)
}

/// Parses a day of the calendar. A yearly holiday may be 29 February.
fn parse(year: Option<&str>, month: &str, day: &str) -> Option<(Option<i16>, i8, i8)> {
    const LEAP_YEAR: i16 = 2024;
    let year: Option<i16> = year.map(str::parse).transpose().ok()?;
    let (month, day) = (month.parse().ok()?, day.parse().ok()?);
    Date::new(year.unwrap_or(LEAP_YEAR), month, day).ok()?;
    Some((year, month, day))
}
