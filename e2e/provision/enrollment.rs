//! The enrollment window: a phone without a credential gets one, once.

use jiff::{SignedDuration, Timestamp};

use super::client::Request;
use super::scene::{PASSWORD, SIP_PASSWORD, Scene, device};

const FILE: &str = "805ec0000001.cfg";
const OFFICE: &str = "192.0.2.1";

fn window(minutes: i64) -> String {
    let until = Timestamp::now() + SignedDuration::from_mins(minutes);
    let until = until.round(jiff::Unit::Second).unwrap();
    format!(", provisioning: {{allowedNetworks: [192.0.2.0/24], enrollUntil: \"{until}\"}}")
}

#[tokio::test]
async fn a_phone_enrolls_once_in_its_window_and_comes_back_for_the_rest() {
    let test = "provision::enrollment::a_phone_enrolls_once_in_its_window_and_comes_back_for_the_rest";
    let desk = |spec: &str| device("acme", "desk", "80:5e:c0:00:00:01", spec);
    let Some(scene) = Scene::start(test, &desk(&window(30)), &[]).await else { return };
    let user = scene.user("desk").await;
    let ask = |from: &str| Request::get(FILE).from(from).send(scene.address);

    assert_eq!(ask("203.0.113.1").status, 401, "from another network");
    assert_eq!(Request::get(FILE).method("HEAD").from(OFFICE).send(scene.address).status, 401);
    let contradicting =
        Request::get(FILE).with("user-agent", "Yealink SIP-T46U 108.86.0.20 80:5e:c0:00:00:99");
    assert_eq!(contradicting.from(OFFICE).send(scene.address).status, 401);

    // Of many at one time, one gets it.
    let address = scene.address;
    let asking: Vec<_> =
        (0..8).map(|_| std::thread::spawn(move || Request::get(FILE).from(OFFICE).send(address))).collect();
    let answers: Vec<_> = asking.into_iter().map(|thread| thread.join().unwrap()).collect();
    let got: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(got.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| [200, 401].contains(&answer.status)));
    let body = &got[0].body;
    assert!(
        body.contains(PASSWORD)
            && body.contains(&user)
            && body.contains("https://phones.example.com/provision")
    );
    assert!(!body.contains(SIP_PASSWORD), "no SIP password before the credential: {body}");
    assert_eq!(ask(OFFICE).status, 401, "once");

    let rest = Request::get(FILE).basic(&user, PASSWORD).from(OFFICE).send(scene.address);
    assert!(rest.status == 200 && rest.body.contains(SIP_PASSWORD), "{rest:?}");
    let history = scene.history("desk", 2).await;
    assert!(history.iter().any(|(_, result)| result == "enrolled"), "{history:?}");
    let mut admin = scene.database.admin().await;
    let enrolled: bool =
        sqlx::query_scalar("SELECT enrolled_at IS NOT NULL AND fingerprint IS NOT NULL FROM public.phones")
            .fetch_one(&mut admin)
            .await
            .unwrap();
    assert!(enrolled);

    // Another window is another chance, for a phone with an old password too.
    let stale = Request::get(FILE).basic(&user, "old").from(OFFICE);
    assert_eq!(stale.send(scene.address).status, 401);
    scene.change(&desk(&window(20)), &stale, 200);
    assert_eq!(stale.send(scene.address).status, 401);
}

#[tokio::test]
async fn wrong_passwords_count_in_a_window_too() {
    let test = "provision::enrollment::wrong_passwords_count_in_a_window_too";
    let desk = device("acme", "desk", "80:5e:c0:00:00:01", &window(30));
    let Some(scene) = Scene::start(test, &desk, &["--provision-guesses", "3"]).await else { return };
    let user = scene.user("desk").await;
    assert_eq!(Request::get(FILE).from(OFFICE).send(scene.address).status, 200, "the window is used");
    let guess = |number: usize| Request::get(FILE).basic(&user, &format!("guess{number}")).from(OFFICE);
    let guessed: Vec<u16> = (0..5).map(|number| guess(number).send(scene.address).status).collect();
    assert_eq!(guessed, [401, 401, 401, 429, 429]);
}

#[tokio::test]
async fn a_window_that_is_over_or_too_long_is_closed() {
    let test = "provision::enrollment::a_window_that_is_over_or_too_long_is_closed";
    let devices = [
        device("acme", "past", "80:5e:c0:00:00:01", &window(-1)),
        device("acme", "long", "80:5e:c0:00:00:02", &window(120)),
        device("acme", "shut", "80:5e:c0:00:00:03", &(window(30) + ", disabled: true")),
        device("acme", "poly", "00:04:f2:00:00:04", &(window(30) + ", vendor: Poly")),
    ];
    let Some(scene) = Scene::start(test, &devices.concat(), &[]).await else { return };
    let ask = |file: &str| Request::get(file).from(OFFICE).send(scene.address);
    for file in [FILE, "805ec0000002.cfg", "805ec0000003.cfg"] {
        assert_eq!(ask(file).status, 401, "{file}");
    }
    // Poly's list of files has no password, and uses nothing up; its phonebook is not for a stranger.
    for _ in 0..2 {
        let master = ask("0004f2000004.cfg");
        assert!(master.status == 200 && master.body.contains("cx-"), "{master:?}");
    }
    assert_eq!(ask("0004f2000004-directory.xml").status, 401);
    let settings = ask("cx-0004f2000004.cfg");
    assert!(settings.status == 200 && settings.body.contains(PASSWORD), "{settings:?}");
    assert!(!settings.body.contains(SIP_PASSWORD));
    assert_eq!(ask("cx-0004f2000004.cfg").status, 401);
}
