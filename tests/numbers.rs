//! Phone numbers of all countries: every spelling of a number is the same number.

use centrex::numbers::{CarrierFormat, Country, DialledNumber, E164};
use centrex::plan::{DialActionRow, DialRuleRow, PlatformPlan};
use centrex::resources::common::{DigitMatch, NumberFormat, NumberType};
use centrex::resources::dial_rule::Phase;
use centrex::route::{Tracer, rules};
use phonenumber::metadata::DATABASE;

/// A country with example numbers of its plan, one of each type.
fn examples() -> impl Iterator<Item = (Country, E164)> {
    Country::codes().into_iter().flat_map(|code| {
        let country = Country::by_code(code).unwrap();
        let types = DATABASE.by_id(code).unwrap().descriptors();
        let examples = [
            types.fixed_line(),
            types.mobile(),
            types.toll_free(),
            types.premium_rate(),
            types.shared_cost(),
            types.personal_number(),
            types.voip(),
            types.uan(),
        ];
        let examples = examples.into_iter().filter_map(|found| found?.example());
        let number = |national: &str| E164::parse(&format!("+{}{national}", country.calling_code()));
        examples.filter_map(number).map(|number| (country, number)).collect::<Vec<_>>()
    })
}

/// How a number of a country is dialled there.
fn spellings(country: Country, number: &E164) -> Vec<String> {
    let national = number.national();
    let mut all = vec![
        number.to_string(),
        format!("{}{}", country.international_prefix(), number.digits()),
        number.digits().to_owned(),
        national.to_owned(),
    ];
    if !country.national_prefix().is_empty() {
        all.push(format!("{}{national}", country.national_prefix()));
    }
    all
}

fn blocking(matches: DigitMatch) -> PlatformPlan {
    let row = DialRuleRow {
        phase: Phase::Before,
        priority: 1,
        matches: vec![matches],
        action: DialActionRow::Block,
    };
    PlatformPlan { dial_rules: [("block".to_owned(), row)].into(), ..PlatformPlan::default() }
}

fn prefix(prefix: &str) -> DigitMatch {
    serde_json::from_value(serde_json::json!({"prefix": prefix})).unwrap()
}

#[test]
fn every_spelling_of_a_number_has_the_number_among_its_readings() {
    for (country, number) in examples() {
        for spelling in spellings(country, &number) {
            let dialled = DialledNumber::new(&spelling, Some(country)).unwrap();
            assert!(dialled.readings().contains(&number), "{country:?} {spelling}: {:?}", dialled.readings());
        }
    }
}

#[test]
fn a_rule_that_blocks_one_spelling_blocks_every_spelling() {
    for (country, number) in examples() {
        let all = spellings(country, &number);
        for blocked in &all {
            let platform = blocking(prefix(blocked.get(..blocked.len() - 2).unwrap()));
            for spelling in &all {
                let dialled = DialledNumber::new(spelling, Some(country)).unwrap();
                let rule = rules::blocking(&platform, &dialled, None, Tracer::OFF);
                assert!(rule.is_some(), "{country:?}: {spelling} passes the rule for {blocked}");
            }
        }
    }
}

#[test]
fn a_rule_for_a_type_or_a_country_blocks_every_spelling() {
    for (country, number) in examples() {
        let kind = number.number_type().unwrap_or_else(|| panic!("{country:?} {number}"));
        let owner = number.country().unwrap();
        for rule in [
            DigitMatch { number_types: vec![kind], ..empty() },
            DigitMatch { countries: vec![owner.code().to_owned()], ..empty() },
        ] {
            let platform = blocking(rule);
            for spelling in spellings(country, &number) {
                let dialled = DialledNumber::new(&spelling, Some(country)).unwrap();
                let rule = rules::blocking(&platform, &dialled, None, Tracer::OFF);
                assert!(rule.is_some(), "{country:?}: {spelling} is {kind:?} of {owner:?}");
            }
        }
    }
}

fn empty() -> DigitMatch {
    serde_json::from_value(serde_json::json!({})).unwrap()
}

#[test]
fn every_carrier_reads_what_is_written_for_it() {
    for (country, number) in examples() {
        for (format, code) in [
            (NumberFormat::E164, None),
            (NumberFormat::E164WithoutPlus, None),
            (NumberFormat::National, Some(country.code())),
            (NumberFormat::National, Some("US")),
            (NumberFormat::National, Some("DE")),
        ] {
            let carrier = CarrierFormat::new(format, code);
            let written = carrier.write(number.as_str());
            assert!(carrier.read(&written).contains(&number), "{number} of {code:?} is written {written}");
        }
    }
}

#[test]
fn numbers_without_a_trunk_prefix_are_written_without_one() {
    for (number, country, written) in [
        ("+493012345600", "DE", "03012345600"),
        ("+12125550100", "DE", "0012125550100"),
        ("+12125550100", "US", "12125550100"),
        ("+442079460123", "US", "011442079460123"),
        // An Italian number has its zero also from abroad.
        ("+390612345678", "IT", "0612345678"),
        ("+393331234567", "IT", "3331234567"),
        // Australian service numbers have no trunk prefix.
        ("+611800555123", "AU", "1800555123"),
        ("+61131234", "AU", "131234"),
        ("+611300555123", "AU", "1300555123"),
        ("+611902555123", "AU", "1902555123"),
        ("+61355501234", "AU", "0355501234"),
        // Short numbers, which libphonenumber does not know.
        ("+4911880", "DE", "11880"),
        ("+44118500", "GB", "118500"),
        ("+333949", "FR", "3949"),
        ("+78001234567", "RU", "88001234567"),
    ] {
        let carrier = CarrierFormat::new(NumberFormat::National, Some(country));
        assert_eq!(carrier.write(number), written, "{number} in {country}");
    }
    for format in [NumberFormat::E164, NumberFormat::E164WithoutPlus, NumberFormat::National] {
        assert_eq!(CarrierFormat::new(format, Some("DE")).write("112"), "112");
    }
}

#[test]
fn what_a_carrier_sends_is_read_in_its_format_first() {
    use NumberFormat::{E164, E164WithoutPlus, National};
    for (sent, format, country, number) in [
        ("2125550100", National, Some("US"), "+12125550100"),
        ("3012345600", National, Some("DE"), "+493012345600"),
        ("00493012345600", E164WithoutPlus, None, "+493012345600"),
        ("00493012345600", E164, None, "+493012345600"),
        ("493012345600", E164, None, "+493012345600"),
        ("31612345678", E164WithoutPlus, None, "+31612345678"),
        // The country code without a plus sign, where national numbers were agreed.
        ("34944000100", National, Some("ES"), "+34944000100"),
        ("493023125999", National, Some("DE"), "+493023125999"),
        // A plus sign is believed whatever was agreed.
        ("+442079460123", National, Some("US"), "+442079460123"),
        ("+442079460123", E164WithoutPlus, None, "+442079460123"),
    ] {
        let read = CarrierFormat::new(format, country).read(sent);
        assert_eq!(read.first().map(|read| read.as_str()), Some(number), "{sent}: {read:?}");
    }
    for nonsense in ["", "+", "12a", "+49;gw=x", "++49", "4 9", "١٢٣", "1".repeat(33).as_str()] {
        for format in [E164, E164WithoutPlus, National] {
            assert_eq!(CarrierFormat::new(format, Some("DE")).read(nonsense), [], "{nonsense}");
        }
    }
    // A caller without a number that exists is shown as received.
    let carrier = CarrierFormat::new(E164WithoutPlus, None);
    assert_eq!(carrier.read_caller("anonymous"), None);
    assert_eq!(carrier.read_caller("1234"), None);
    assert_eq!(carrier.read_caller("31612345678").unwrap().as_str(), "+31612345678");
}

#[test]
fn abroad_is_another_country_and_not_another_calling_code() {
    for (number, from_germany, from_states, from_nowhere) in [
        ("+493012345", false, true, true),
        ("+442079460123", true, true, true),
        // Jamaica has the calling code of the United States.
        ("+18765230123", true, true, true),
        ("+12125550100", true, false, true),
        // Nobody dials 00 in the United States; a route may send it.
        ("00442079460123", true, true, true),
        ("011442079460123", false, true, false),
        ("030123456", false, false, false),
        ("8765230123", false, true, false),
        ("118000", false, false, false),
        ("+4911880", false, true, true),
    ] {
        let is_abroad = |country: Option<&str>| {
            DialledNumber::new(number, country.and_then(Country::by_code)).unwrap().is_abroad()
        };
        assert_eq!(is_abroad(Some("DE")), from_germany, "{number} from Germany");
        assert_eq!(is_abroad(Some("US")), from_states, "{number} from the United States");
        assert_eq!(is_abroad(None), from_nowhere, "{number} from nowhere");
    }
}

#[test]
fn types_are_those_of_the_data() {
    for (number, kind) in [
        ("+611902555123", Some(NumberType::PremiumRate)),
        ("+19005551234", Some(NumberType::PremiumRate)),
        ("+448001111111", Some(NumberType::TollFree)),
        ("+4915112345678", Some(NumberType::Mobile)),
        ("+12125550100", Some(NumberType::FixedLineOrMobile)),
        ("+4911880", None),
        ("+44118500", None),
    ] {
        assert_eq!(E164::parse(number).unwrap().number_type(), kind, "{number}");
    }
}
