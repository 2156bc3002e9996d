//! Keys as text, and what the snapshot says about them.

use super::*;
use crate::kernel::fault::Reason;

fn at(seconds: i64) -> Instant {
    chrono::DateTime::from_timestamp(seconds, 0).unwrap()
}

fn key() -> ApiKey {
    ApiKey::new(ApiKeyId(Uuid::from_u128(7)), [9; SECRET])
}

const METHOD: &str = "a.v1.B/C";
const NOBODY: Call<'static> = Call { address: None, id: "a call" };

fn keys(scopes: &[&str], act_for: ActFor) -> ApiKeys {
    let account = ServiceAccountId(Uuid::from_u128(1));
    let known_key = KnownKey {
        account,
        hash: key().hash(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        expires_at: at(100),
        revoked: false,
        last_used_at: None,
    };
    let known = KnownAccount { role: Role::Admin, act_for, disabled: false };
    let keys = ApiKeys::default();
    keys.set(Known {
        keys: [(key().id, known_key)].into(),
        accounts: [(account, known)].into(),
        not_to_act_for: [UserId(Uuid::from_u128(66))].into(),
    });
    keys
}

fn asked(act_for: Option<u128>) -> KeyUseRequest<'static> {
    let act_for = act_for.map(|id| UserId(Uuid::from_u128(id)));
    KeyUseRequest { method: METHOD, in_scopes: true, act_for, by: NOBODY }
}

#[test]
fn a_key_reads_back_and_nothing_else_does() {
    let text = key().text();
    assert_eq!(ApiKey::parse(&text), Some(key()));
    assert_eq!(text.len(), PREFIX.len() + 32 + 1 + 48);
    assert!(text.starts_with(&prefix(key().id)));
    assert!(!format!("{:?}", key()).contains('9'), "{:?}", key());
    for place in 0..text.len() {
        for other in ["A", "a", "_", "-", "0", " ", "", "AA"] {
            let mut bad = text.clone();
            bad.replace_range(place..=place, other);
            assert!(bad == text || ApiKey::parse(&bad).is_none(), "{bad}");
        }
    }
}

#[test]
fn an_expired_key_and_one_of_another_secret_are_refused() {
    let keys = keys(&[METHOD], ActFor::default());
    let text = key().text();
    keys.check(&text, NOBODY, at(99)).unwrap();
    assert!(keys.check(&text, NOBODY, at(100)).is_err());
    let other = ApiKey::new(key().id, [8; SECRET]).text();
    assert!(keys.check(&other, NOBODY, at(99)).is_err());
    let taken = keys.take_uses(at(100));
    let (_, _, noted) = &taken[0];
    assert_eq!(noted.used, Some((at(99), None)));
    let (at, call_id, why) = (at(99), "a call".to_owned(), Refusal::WrongSecret);
    assert_eq!(noted.refused, Some(Refused { at, address: None, call_id, why, count: 2 }));
}

#[test]
fn scopes_are_services_and_methods_and_no_beginnings_of_them() {
    for (scopes, fits) in [
        (&["a.v1.B/C"][..], true),
        (&["a.v1.B"], true),
        (&["x", "a.v1.B"], true),
        (&["a.v1"], false),
        (&["a.v1.B/"], false),
        (&["a.v1.B/D"], false),
        (&["a.v1.BB"], false),
        (&["*"], false),
        (&[""], false),
        (&[], false),
    ] {
        let keys = keys(scopes, ActFor::default());
        assert_eq!(keys.admit(key().id, asked(None), at(0)).is_ok(), fits, "{scopes:?}");
        let asked = KeyUseRequest { in_scopes: false, ..asked(None) };
        assert!(keys.admit(key().id, asked, at(0)).is_err());
    }
}

#[test]
fn a_service_account_acts_for_whom_it_is_granted_and_as_a_customer() {
    let any = ActFor { any_customer: true, customers: Vec::new() };
    let one = ActFor { any_customer: false, customers: vec![UserId(Uuid::from_u128(5))] };
    for (act_for, user, granted) in [
        (ActFor::default(), 5, false),
        (one.clone(), 5, true),
        (one, 6, false),
        (any.clone(), 5, true),
        (any, 66, false),
    ] {
        let keys = keys(&[METHOD], act_for);
        match keys.admit(key().id, asked(Some(user)), at(0)) {
            Ok(caller) => {
                assert!(granted);
                assert_eq!((caller.user.0.as_u128(), caller.role), (user, Role::Customer));
                assert!(caller.service.is_some() && !caller.is_service());
            }
            Err(fault) => assert!(!granted && fault.reason() == Reason::ActForRefused),
        }
    }
}

#[test]
fn what_is_written_down_of_a_key_is_bounded() {
    let keys = keys(&[METHOD], ActFor::default());
    let text = key().text();
    let mut written = 0;
    for second in 0..100 {
        for _ in 0..10 {
            drop(keys.check(&text, NOBODY, at(second)));
            drop(keys.admit(key().id, asked(Some(1)), at(second)));
        }
        written += keys.take_uses(at(second)).len();
    }
    // At once, and a minute later.
    assert_eq!(written, 2);
    // What nobody has is not remembered.
    assert!(
        keys.check(&ApiKey::new(ApiKeyId(Uuid::nil()), [0; 32]).text(), NOBODY, at(1)).is_err()
    );
    assert!(keys.0.uses.lock().unwrap().len() <= 1);
}

#[test]
fn what_could_not_be_written_down_is_taken_again_with_what_came_since() {
    let keys = keys(&[METHOD], ActFor::default());
    let (good, bad) = (key().text(), ApiKey::new(key().id, [8; SECRET]).text());
    let use_both = |second| {
        keys.check(&good, NOBODY, at(second)).unwrap();
        assert!(keys.check(&bad, NOBODY, at(second)).is_err());
    };
    use_both(1);
    let (id, _, what) = keys.take_uses(at(1)).remove(0);
    use_both(2);
    assert!(keys.take_uses(at(2)).is_empty(), "it was taken within the minute");
    keys.put_back(id, what);
    let (_, _, what) = keys.take_uses(at(3)).remove(0);
    assert_eq!(what.used, Some((at(2), None)));
    let refused = what.refused.unwrap();
    assert_eq!((refused.at, refused.count), (at(2), 2));
    assert!(keys.take_uses(at(4)).is_empty());
}
