//! Every parser of what comes from outside, as a function of bytes that must neither panic nor take what it
//! should not. Shared with `fuzz/`, which runs them with coverage.

use std::sync::LazyLock;

use chrono::TimeDelta;
use daybook::{
    accounts::{
        customers::search_terms::SearchTerm,
        emails::code::Code,
        second_factor::{
            challenge::{Challenge, Challenges},
            rules::{RecoveryCode, is_code},
        },
        service_accounts::api_key::ApiKey,
        sessions::refresh::{RefreshToken, RefreshTokens},
        signing::{
            key_ring::KeyRing,
            signing_key::{Kid, SigningKey},
            token::{Settings, Tokens},
        },
        throttling::policy::ThrottleKeys,
    },
    config::{Config, DatabaseUrl, OpenHours, SettingsFile, Sources},
    identity::{
        Caller, Credential, Grant, Role, email::Email, master_key::MasterKey, password, pepper,
        phone::Phone,
    },
    kernel::{
        id::{
            AppointmentId, ClosureId, HoldId, ProviderId, RequestId, TimeOffId, TypeId, UserId,
            uuid_v7,
        },
        page::{PageTokens, page_size},
        text,
        time::Instant,
        zone::Zone,
    },
    schedule::{TimeOfDay, name::ScheduleName},
};
use uuid::Uuid;

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// The name of each, which is that of its corpus.
pub const TARGETS: [(&str, Target); 6] = [
    ("token", token),
    ("page_token", page_token),
    ("secrets", secrets),
    ("names", names),
    ("texts", texts),
    ("settings", settings),
];

/// The target of this name.
pub fn named(name: &str) -> Target {
    TARGETS.iter().find(|(known, _)| *known == name).unwrap().1
}

const KEY: [u8; 32] = [7; 32];

fn now() -> Instant {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn user() -> UserId {
    UserId(uuid_v7(now(), &[1; 10]))
}

static TOKENS: LazyLock<(Tokens, String)> = LazyLock::new(|| {
    let settings = Settings {
        issuer: "daybook".to_owned(),
        audience: "daybook".to_owned(),
        time_to_live: TimeDelta::seconds(300),
    };
    let key = SigningKey::from_seed(&KEY).unwrap();
    let tokens = Tokens::new(settings, KeyRing::of(key, now()));
    let caller = Caller {
        user: user(),
        role: Role::Customer,
        session: Uuid::nil(),
        service: None,
        credential: Credential::Token { generation: 0 },
    };
    let grant = Grant { caller, generation: 0 };
    let made = tokens.make(grant, Uuid::nil(), now(), now() + TimeDelta::days(1)).unwrap();
    (tokens, made.text)
});

/// One that is good, for the corpus.
pub fn good_token() -> String {
    TOKENS.1.clone()
}

/// Access tokens: none is taken but the one that was made.
fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (tokens, good) = &*TOKENS;
    let taken = tokens.check(text, now()).is_ok();
    assert_eq!(taken, text == good, "{text}");
}

/// Page tokens: none is taken but for its own list.
fn page_token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let pages = PageTokens::new(&[KEY]);
    let good = pages.make("users", &Uuid::nil());
    match pages.read::<Uuid>("users", text) {
        Ok(None) => assert!(text.is_empty()),
        Ok(Some(cursor)) => assert!(text == good && cursor == Uuid::nil(), "{text}"),
        Err(_) => assert!(text != good),
    }
    assert!(text.is_empty() || pages.read::<Uuid>("providers", text).is_err());
    if let Ok(size) = text.parse::<i32>() {
        assert!(page_size(size).is_err() || size >= 0);
    }
}

/// What opens something: refresh tokens, challenges, codes, device words.
fn secrets(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let refresh = RefreshTokens::new(&[KEY]);
    let given_out = refresh.write(&RefreshToken::first(user(), Uuid::nil(), KEY));
    if let Some((token, true)) = refresh.read(text) {
        assert!(text == given_out && refresh.write(&token) == text, "{text}");
    }
    let challenges = Challenges::new(&[KEY]);
    if let Some(challenge) = challenges.read(text, now()) {
        assert_eq!(challenges.write(&challenge), text);
        assert_eq!(challenge.user, user(), "nobody else was given one");
    }
    let keys = ThrottleKeys::new(&KEY, &[]);
    assert!(keys.knows(text, user()).is_none() || text == keys.word(user(), [1; 16]), "{text}");
    if let Some(key) = ApiKey::parse(text) {
        assert_eq!(key.text(), text);
    }
    if let Some(code) = Code::parse(text) {
        assert_eq!(code.text(), text.trim());
    }
    if let Some(code) = RecoveryCode::parse(text) {
        assert_eq!(RecoveryCode::parse(&code.text()).map(|code| code.text()), Some(code.text()));
    }
    assert!(!is_code(text) || text.len() == 6);
    if let Some(kid) = Kid::parse(text) {
        assert_eq!(kid.to_string(), text);
    }
}

/// A challenge and a refresh token that are good, for the corpus.
pub fn good_secrets() -> Vec<String> {
    let challenge = Challenge {
        user: user(),
        session: Uuid::nil(),
        generation: 3,
        expires_at: now() + TimeDelta::minutes(5),
        device: daybook::accounts::throttling::policy::Device { random: [1; 16], known: true },
    };
    let refresh = RefreshToken::first(user(), Uuid::nil(), KEY);
    vec![
        Challenges::new(&[KEY]).write(&challenge),
        RefreshTokens::new(&[KEY]).write(&refresh),
        ThrottleKeys::new(&KEY, &[]).word(user(), [1; 16]),
    ]
}

/// Resource names: what is read is written the same.
fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let same = |written: Option<String>| assert!(written.is_none_or(|it| it == text), "{text}");
    same(UserId::parse(text).map(UserId::name));
    same(ProviderId::parse(text).map(ProviderId::name));
    same(ProviderId::parse_schedule(text).map(ProviderId::schedule_name));
    same(AppointmentId::parse(text).map(|(provider, id)| id.name(provider)));
    same(HoldId::parse(text).map(|(provider, id)| id.name(provider)));
    same(TimeOffId::parse(text).map(|(provider, id)| id.name(provider)));
    same(TypeId::parse(text).map(TypeId::name));
    same(ScheduleName::parse(text).map(|name| name.to_string()));
    same(ClosureId::parse(text).map(ClosureId::name));
    if let Some(RequestId(id)) = RequestId::parse(text) {
        assert!(id.to_string().eq_ignore_ascii_case(text), "{text}");
    }
}

/// What people type: addresses, zones, times of day, lines. What was read reads again as the same.
fn texts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(email) = Email::parse(text) {
        let again = Email::parse(email.as_str()).unwrap();
        assert_eq!(again.as_str(), email.as_str());
        assert!(email.as_str().is_ascii() && email.as_str().len() <= 254);
    }
    if let Ok(phone) = Phone::parse(text) {
        assert_eq!(Phone::parse(phone.as_str()).as_ref(), Ok(&phone));
        assert!(phone.as_str().len() <= 16 && phone.national_digits().len() <= 17);
    }
    if let Some(needle) = SearchTerm::new(text) {
        let (least, after) = needle.bounds();
        assert!(least < after && !least.is_empty());
    }
    if let Some(zone) = Zone::named(text) {
        assert_eq!(Zone::named(zone.name()), Some(zone));
        assert_eq!(zone.name(), text);
    }
    for longest in [1, 100] {
        for read in [text::line, text::lines, text::filled] {
            if let Ok(kept) = read(text, longest) {
                assert_eq!(read(&kept, longest).as_ref(), Ok(&kept), "{text:?}");
                assert!(kept.chars().count() <= longest);
            }
        }
    }
    drop(password::check(&text.into(), 8));
    if let Ok(minutes) = text.parse::<u16>() {
        assert!(TimeOfDay::new(minutes).is_none_or(|time| time.minutes() == minutes));
    }
}

/// What operators write: settings, database URLs, hours, keys.
fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = SettingsFile { name: "fuzz.toml".to_owned(), text: text.to_owned() };
    if let Ok((config, origins)) = Config::load(Sources { file: Some(file), ..Sources::default() })
    {
        drop(config.render(&origins));
    }
    if let Ok(url) = DatabaseUrl::parse(text.into()) {
        drop(format!("{url:?} {url}"));
    }
    drop(OpenHours::parse(text));
    drop(MasterKey::parse(&text.into()));
    drop(pepper::read(text));
}
