//! Which days a holiday is, in any year.

use jiff::civil::{Date, Weekday};
use jiff::{Span, ToSpan};

use crate::plan::{HolidayDays, MonthDay};
use crate::resources::common::Day;
use crate::resources::schedule::EasterCalendar;

/// First and last day of the holiday that a day is part of; `None` when the day is no part of it.
pub fn span(days: &HolidayDays, day: Date) -> Option<(Date, Date)> {
    // One that is counted from a day, or that lasts over New Year, may begin in the year before or after.
    let years = [day.year(), day.year().checked_sub(1)?, day.year().checked_add(1)?];
    years
        .into_iter()
        .filter_map(|year| in_year(days, year))
        .find(|(first, last)| (*first..=*last).contains(&day))
}

/// First and last day of the holiday that belongs to a year; `None` when the year has none.
fn in_year(days: &HolidayDays, year: i16) -> Option<(Date, Date)> {
    let one = |day: Date, offset: i32| {
        let day = day.checked_add(Span::new().try_days(i64::from(offset)).ok()?).ok()?;
        Some((day, day))
    };
    match days {
        HolidayDays::Once { first, last } => Some((*first, *last)),
        HolidayDays::Yearly { first, last } if first == last => one(date(year, *first)?, 0),
        HolidayDays::Yearly { first, last } => {
            let end = if last < first { year.checked_add(1)? } else { year };
            Some((first_day(year, *first)?, last_day(end, *last)?))
        }
        HolidayDays::NthWeekday { day, nth, month, offset_days } => {
            let found = Date::new(year, *month, 1).ok()?.nth_weekday_of_month(*nth, weekday(*day)).ok()?;
            one(found, *offset_days)
        }
        HolidayDays::WeekdayFrom { day, from, offset_days } => {
            let found = first_day(year, *from)?.yesterday().ok()?.nth_weekday(1, weekday(*day)).ok()?;
            one(found, *offset_days)
        }
        HolidayDays::Easter { calendar, offset_days } => one(easter(*calendar, year)?, *offset_days),
    }
}

/// The day in a year; `None` for 29 February in a year without it.
fn date(year: i16, day: MonthDay) -> Option<Date> {
    Date::new(year, day.month, day.day).ok()
}

/// The day in a year; for 29 February in a year without it, the day after where it would be.
fn first_day(year: i16, day: MonthDay) -> Option<Date> {
    date(year, day).or_else(|| Date::new(year, day.month, 1).ok()?.last_of_month().tomorrow().ok())
}

/// The day in a year; for 29 February in a year without it, the day before where it would be.
fn last_day(year: i16, day: MonthDay) -> Option<Date> {
    date(year, day).or_else(|| Some(Date::new(year, day.month, 1).ok()?.last_of_month()))
}

/// jiff's name of a day of the week.
pub fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}

/// Easter Sunday of a year, by the rules of the church calendars: Sunday after the first full moon of
/// spring, both as the calendars count them. The formulas are those of Butcher (Western) and of Meeus (Julian),
/// J. Meeus, Astronomical Algorithms, chapter 8.
fn easter(calendar: EasterCalendar, year: i16) -> Option<Date> {
    let year = i64::from(year);
    let golden = year % 19;
    // Month times 31, and day from 0.
    let (sum, later) = match calendar {
        EasterCalendar::Western => {
            let (century, of_century) = (year / 100, year % 100);
            let correction = (century - (century + 8) / 25 + 1) / 3;
            let moon = (19 * golden + century - century / 4 - correction + 15) % 30;
            let sunday = (32 + 2 * (century % 4) + 2 * (of_century / 4) - moon - of_century % 4) % 7;
            let exception = (golden + 11 * moon + 22 * sunday) / 451;
            (moon + sunday - 7 * exception + 114, 0)
        }
        EasterCalendar::Orthodox => {
            let moon = (19 * golden + 15) % 30;
            let sunday = (2 * (year % 4) + 4 * (year % 7) - moon + 34) % 7;
            // A day of the Julian calendar, which is behind by so many days.
            (moon + sunday + 114, year / 100 - year / 400 - 2)
        }
    };
    let (month, day) = (i8::try_from(sum / 31).ok()?, i8::try_from(sum % 31 + 1).ok()?);
    Date::new(i16::try_from(year).ok()?, month, day).ok()?.checked_add(later.days()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn easter_is_on_the_days_that_the_churches_publish() {
        for (year, western, orthodox) in [
            (1990, (4, 15), (4, 15)),
            (1997, (3, 30), (4, 27)),
            (2000, (4, 23), (4, 30)),
            (2008, (3, 23), (4, 27)),
            (2011, (4, 24), (4, 24)),
            (2016, (3, 27), (5, 1)),
            (2019, (4, 21), (4, 28)),
            (2024, (3, 31), (5, 5)),
            (2025, (4, 20), (4, 20)),
            (2026, (4, 5), (4, 12)),
            (2027, (3, 28), (5, 2)),
            (2028, (4, 16), (4, 16)),
            (2038, (4, 25), (4, 25)),
            (2049, (4, 18), (4, 25)),
            (2076, (4, 19), (4, 26)),
        ] {
            let of = |calendar| easter(calendar, year).unwrap();
            assert_eq!(of(EasterCalendar::Western), date(year, western.0, western.1), "{year}");
            assert_eq!(of(EasterCalendar::Orthodox), date(year, orthodox.0, orthodox.1), "{year}");
        }
    }

    #[test]
    fn easter_is_a_sunday_within_its_bounds_in_every_year() {
        for year in 1900..2100 {
            let western = easter(EasterCalendar::Western, year).unwrap();
            assert_eq!(western.weekday(), Weekday::Sunday);
            assert!((date(year, 3, 22)..=date(year, 4, 25)).contains(&western), "{western}");
            let orthodox = easter(EasterCalendar::Orthodox, year).unwrap();
            assert_eq!(orthodox.weekday(), Weekday::Sunday);
            assert!((date(year, 4, 4)..=date(year, 5, 8)).contains(&orthodox), "{orthodox}");
            assert!(western <= orthodox);
        }
    }

    /// The days of a year that are part of a holiday.
    fn days_in(days: &HolidayDays, year: i16) -> Vec<String> {
        let first = date(year, 1, 1);
        let all = (0..366).map(|n| first.checked_add(n.days()).unwrap()).filter(|day| day.year() == year);
        all.filter(|day| span(days, *day).is_some()).map(|day| day.strftime("%m-%d").to_string()).collect()
    }

    fn yearly(first: (i8, i8), last: (i8, i8)) -> HolidayDays {
        let day = |(month, day)| MonthDay { month, day };
        HolidayDays::Yearly { first: day(first), last: day(last) }
    }

    #[test]
    fn the_nth_weekday_moves_and_a_missing_fifth_is_no_holiday() {
        let nth = |day, nth, month, offset_days| HolidayDays::NthWeekday { day, nth, month, offset_days };
        let thanksgiving = nth(Day::Thu, 4, 11, 0);
        for (year, day) in [(2026, "11-26"), (2027, "11-25"), (2028, "11-23"), (2029, "11-22")] {
            assert_eq!(days_in(&thanksgiving, year), [day]);
        }
        // 2024 begins November with a Friday: the Friday after the fourth Thursday is the fifth.
        assert_eq!(days_in(&nth(Day::Thu, 4, 11, 1), 2024), ["11-29"]);
        assert_eq!(days_in(&nth(Day::Mon, -1, 5, 0), 2026), ["05-25"]);
        assert_eq!(days_in(&nth(Day::Mon, -1, 5, 0), 2027), ["05-31"]);
        assert_eq!(days_in(&nth(Day::Mon, 5, 2, 0), 2026), [] as [&str; 0]);
        assert_eq!(days_in(&nth(Day::Thu, 5, 2, 0), 2024), ["02-29"]);
        // The Sunday before the first Monday of January may be in the year before.
        assert_eq!(days_in(&nth(Day::Mon, 1, 1, -2), 2023), ["12-30"]);
    }

    #[test]
    fn a_weekday_on_or_after_a_day() {
        let from = |day, month, of_month, offset_days| HolidayDays::WeekdayFrom {
            day,
            from: MonthDay { month, day: of_month },
            offset_days,
        };
        // Midsummer in Sweden, Victoria Day in Canada, and a day that is the weekday itself.
        assert_eq!(days_in(&from(Day::Sat, 6, 20, 0), 2026), ["06-20"]);
        assert_eq!(days_in(&from(Day::Sat, 6, 20, 0), 2027), ["06-26"]);
        assert_eq!(days_in(&from(Day::Mon, 5, 18, 0), 2026), ["05-18"]);
        assert_eq!(days_in(&from(Day::Mon, 5, 18, 0), 2025), ["05-19"]);
    }

    #[test]
    fn days_that_are_counted_from_easter() {
        let offset = |offset_days| HolidayDays::Easter { calendar: EasterCalendar::Western, offset_days };
        assert_eq!(days_in(&offset(-2), 2026), ["04-03"]);
        assert_eq!(days_in(&offset(1), 2026), ["04-06"]);
        assert_eq!(days_in(&offset(39), 2027), ["05-06"]);
        assert_eq!(days_in(&offset(50), 2028), ["06-05"]);
    }

    #[test]
    fn days_from_one_to_another_also_over_new_year_and_february() {
        assert_eq!(days_in(&yearly((12, 30), (1, 2)), 2026), ["01-01", "01-02", "12-30", "12-31"]);
        assert_eq!(days_in(&yearly((2, 28), (3, 1)), 2024), ["02-28", "02-29", "03-01"]);
        assert_eq!(days_in(&yearly((2, 28), (3, 1)), 2026), ["02-28", "03-01"]);
        assert_eq!(days_in(&yearly((2, 27), (2, 29)), 2026), ["02-27", "02-28"]);
        assert_eq!(days_in(&yearly((2, 29), (3, 2)), 2026), ["03-01", "03-02"]);
        assert_eq!(days_in(&yearly((2, 29), (2, 29)), 2026), [] as [&str; 0]);
        assert_eq!(days_in(&yearly((2, 29), (2, 29)), 2028), ["02-29"]);
        let once = HolidayDays::Once { first: date(2026, 12, 30), last: date(2027, 1, 1) };
        assert_eq!(days_in(&once, 2026), ["12-30", "12-31"]);
        assert_eq!(days_in(&once, 2027), ["01-01"]);
        assert_eq!(days_in(&once, 2028), [] as [&str; 0]);
    }
}
