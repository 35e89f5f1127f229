//! The row of a schedule.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::tenant::Target;
use crate::resources::common::Day;
use crate::resources::schedule::{EasterCalendar, ScheduleState};

/// A schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleRow {
    /// IANA time zone it is read in.
    pub time_zone: String,
    /// When it is open, in a week without holidays.
    pub weekly: Vec<WindowRow>,
    /// Days with hours of their own, or none: the first that names a time decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holidays: Vec<HolidayRow>,
    /// What applies for a time in place of the weekly windows and the holidays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<OverrideRow>,
    /// Where calls go while open.
    pub open: Target,
    /// Where calls go while closed.
    pub closed: Target,
    /// Where calls go on a holiday; as closed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holiday: Option<Target>,
}

/// A span of time on some days of the week: from the first minute up to, not including, the last.
/// A span whose end is not after its start ends on the next day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowRow {
    /// Days it starts on.
    pub days: Vec<Day>,
    /// Minute of the day it starts at, 0..1440.
    pub from_minute: i32,
    /// Minute of the day it ends at, 0..=1440.
    pub to_minute: i32,
}

/// A holiday: closed from the first minute of its first day up to, not including, the last minute of its
/// last day; with `open`, open at those hours and closed at all others of its days.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HolidayRow {
    /// Name for people.
    pub name: String,
    /// Its days.
    pub days: HolidayDays,
    /// Minute of its first day at which it starts, 0..1440.
    pub from_minute: i32,
    /// Minute of its last day at which it ends, 1..=1440.
    pub to_minute: i32,
    /// Hours at which it is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenHoursRow>,
}

/// The days of a holiday.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum HolidayDays {
    /// In one year.
    Once {
        /// First day.
        first: Date,
        /// Last day, not before the first.
        last: Date,
    },
    /// Every year. A last day that is before the first is in the next year.
    Yearly {
        /// First day.
        first: MonthDay,
        /// Last day.
        last: MonthDay,
    },
    /// The nth day of the week of a month, or its last: a day every year.
    NthWeekday {
        /// Day of the week.
        day: Day,
        /// 1..=5 from the first on, -5..=-1 from the last back.
        nth: i8,
        /// Month, 1..=12.
        month: i8,
        /// Days after it.
        offset_days: i32,
    },
    /// The first day of the week on or after a day: a day every year.
    WeekdayFrom {
        /// Day of the week.
        day: Day,
        /// The earliest day.
        from: MonthDay,
        /// Days after it.
        offset_days: i32,
    },
    /// A day every year, counted from Easter Sunday.
    Easter {
        /// Whose Easter.
        calendar: EasterCalendar,
        /// Days after Easter Sunday.
        offset_days: i32,
    },
}

/// A day of every year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MonthDay {
    /// Month, 1..=12.
    pub month: i8,
    /// Day of the month, 1..=31. Years without it, by 29 February, have no such day.
    pub day: i8,
}

/// Hours within a day: from the first minute up to, not including, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenHoursRow {
    /// Minute of the day it starts at, 0..1440.
    pub from_minute: i32,
    /// Minute of the day it ends at, after its start, 1..=1440.
    pub to_minute: i32,
}

/// What applies in place of the hours of a schedule, from a time until another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideRow {
    /// When it begins; at once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// When it ends, not included; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The state that the schedule is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ScheduleState>,
    /// Where calls go, in place of a state. Without state and target it does nothing: its target is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}
