//! Nobody learns from answers which phones exist.

use std::time::{Duration, Instant};

use super::client::{Answer, Request, connect};
use super::scene::{Scene, device};

/// MAC addresses that are asked for.
const ASKED: usize = 10_000;
/// Every how many of them a Device has.
const EVERY: usize = 50;

fn mac(number: usize) -> [String; 2] {
    let [a, b] = [number / 256, number % 256].map(|byte| format!("{byte:02x}"));
    [format!("80:5e:c0:00:{a}:{b}"), format!("805ec000{a}{b}")]
}

/// The value below which a part of the values lie.
fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort();
    times[(times.len() as f64 * part) as usize]
}

/// What the times of answers differ by on any network.
const NOISE: Duration = Duration::from_micros(100);

#[tokio::test]
async fn ten_thousand_mac_addresses_are_answered_alike() {
    let test = "provision::enumeration::ten_thousand_mac_addresses_are_answered_alike";
    let devices: String = (0..ASKED)
        .step_by(EVERY)
        .map(|number| {
            let spec = if number % (3 * EVERY) == 0 { ", disabled: true" } else { "" };
            device("acme", &format!("d{number}"), &mac(number)[0], spec)
        })
        .collect();
    // 200 Devices are lines of one extension, beyond its limit; the MAC addresses are all that counts here.
    let Some(scene) = Scene::start(test, &devices, &["--provision-guesses", "1000000"]).await else { return };
    let mut stream = connect(scene.address);
    let (mut first, mut known, mut unknown): (Option<Answer>, Vec<Duration>, Vec<Duration>) =
        (None, Vec::new(), Vec::new());
    // Each credential is tried on a MAC address of its own; an unknown one beside each known one.
    for number in 0..ASKED {
        let file = format!("{}.cfg", mac(number)[1]);
        let from = format!("10.{}.{}.1", number / 200, number % 200);
        let request = Request::get(&file).from(&from).with("user-agent", "Yealink SIP-T46U 108.86.0.20");
        let request = match number % 2 {
            0 => request.basic("d-aaaaaaaaaa", &format!("guess{number}")),
            _ => request,
        };
        let started = Instant::now();
        let answer = request.over(&mut stream);
        let took = started.elapsed();
        match &first {
            None => first = Some(answer),
            Some(first) => assert_eq!(&answer, first, "{file}"),
        }
        // Only with a credential: known ones have even numbers.
        match number % EVERY {
            0 => known.push(took),
            2 | 24 | 26 | 48 => unknown.push(took),
            _ => {}
        }
    }
    assert_eq!(first.unwrap().status, 401);
    // A guess at a user that exists, and at one that does not.
    let user = scene.user(&format!("d{EVERY}")).await;
    let (mut of_user, mut of_nobody) = (Vec::new(), Vec::new());
    for number in 0..2000 {
        let from = format!("10.{}.{}.2", number / 200, number % 200);
        let (user, times) = match number % 2 {
            0 => (user.as_str(), &mut of_user),
            _ => ("d-aaaaaaaaaa", &mut of_nobody),
        };
        let request = Request::get("805ec0000032.cfg").from(&from).basic(user, &format!("other{number}"));
        let started = Instant::now();
        assert_eq!(request.over(&mut stream).status, 401);
        times.push(started.elapsed());
    }
    // The difference of the medians, against the spread of either.
    for (what, one, other) in
        [("MAC addresses", &mut known, &mut unknown), ("users", &mut of_user, &mut of_nobody)]
    {
        let (median, of_others) = (quantile(one, 0.5), quantile(other, 0.5));
        let spread = quantile(other, 0.75) - quantile(other, 0.25);
        let difference = median.abs_diff(of_others);
        eprintln!("{what}: {median:?} of known, {of_others:?} of unknown, quartiles apart by {spread:?}");
        assert!(difference < spread.max(NOISE), "{what}: {median:?}, {of_others:?}, {spread:?}");
    }
    assert!(scene.counted("unknown", "credential") > 0.0);
}
